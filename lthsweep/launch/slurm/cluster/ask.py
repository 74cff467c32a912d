"""Run SLURM's commands: without a shell, without variables of an enclosing job, and always with a deadline.

A command has one of three outcomes. It succeeded (exit code 0). SLURM refused it, with a reason in `Answer.words`. Or
it hung, died, or could not reach the controller: then `ClusterSilentError` is raised and the state of the queue is
unknown; in particular, it does not mean that there are no jobs.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from lthsweep.errors import ClusterSilentError

__all__ = ["Answer", "ask", "clean_environment", "ignored_variables", "this_user"]


@dataclass(frozen=True)
class Answer:
    """Output of a command.

    Attributes:
        code: its exit code.
        out, err: its stdout and stderr.
        cut_off: the command was ended because it wrote the text beyond which its caller does not wait.
    """

    code: int
    out: str
    err: str
    cut_off: bool = False

    @property
    def words(self) -> str:
        """SLURM's error message without the names of commands; "" if stderr is empty."""
        lines = [_PREFIX.sub("", line.strip()) for line in self.err.splitlines()]
        return "; ".join(dict.fromkeys(line for line in lines if line and not line.startswith("Try ")))


def ask(
    command: Sequence[str],
    *,
    seconds: float,
    cut_at: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Answer:
    """Run one of SLURM's commands.

    Args:
        command: program and arguments.
        seconds: how long it may take. SLURM's own deadline for one message is 10 to 100 s.
        cut_at: end the command once this text is on its stderr.
        environment: of the command; None for this process's environment after `clean_environment`.

    Raises:
        ClusterSilentError: if it is not installed here, takes too long, is killed, or reaches no controller.
    """
    program = command[0]
    if shutil.which(program) is None:
        raise ClusterSilentError(
            f"there is no {program} on this machine's PATH; run this on a login node or inside a job, "
            f"where `which {program}` finds it"
        )
    try:
        process = _start(command, clean_environment() if environment is None else environment)
    except OSError as error:
        raise ClusterSilentError(f"{program} cannot be run: {error.strerror or error}") from error
    try:
        answer = _listen(process, time.monotonic() + seconds, cut_at)
    finally:
        _end(process)
    if answer is None:
        raise ClusterSilentError(f"{program} did not answer within {seconds:g} s; SLURM may be busy or down")
    if answer.cut_off:
        return answer
    if answer.code < 0:
        raise ClusterSilentError(f"{program} was killed by signal {-answer.code} before it answered")
    if answer.code and _SILENCE.search(answer.err):
        raise ClusterSilentError(
            f"{program} did not reach SLURM's controller: {answer.words}; run this where `sinfo` works, such as a "
            f"login node, or try again later if it worked before"
        )
    return answer


def clean_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment without variables that would make an answer or a job depend on the calling job.

    A job's own variables describe that job, and sbatch would use them as options of the next one (SBATCH_TIMELIMIT
    overrides the script's own line). SQUEUE_STATES and similar variables hide jobs. SLURM_CONF selects the cluster and
    SLURM_JWT authenticates the user, so these stay.
    """
    known = os.environ if environment is None else environment
    inside = "SLURM_JOB_ID" in known
    return {
        name: value
        for name, value in known.items()
        if name in _KEPT or not (name.startswith(_FOREIGN) or (inside and name in _OF_A_JOB))
    }


def ignored_variables(environment: Mapping[str, str] | None = None) -> list[str]:
    """Return the variables of the user that would choose where jobs run, and are not passed to SLURM's commands.

    Inside a job there are none: its variables describe that job.
    """
    known = os.environ if environment is None else environment
    if "SLURM_JOB_ID" in known:
        return []
    return sorted(name for name in known if name.startswith("SBATCH_") or name == "SLURM_CLUSTERS")


def this_user() -> str:
    """Return this user's name as SLURM's commands use it, or the user id if this machine has no name for it."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


_KEPT = frozenset({"SLURM_CONF", "SLURM_JWT"})
_FOREIGN = (
    *("SLURM_", "SLURMD_", "SBATCH_", "SALLOC_", "SRUN_", "SQUEUE_", "SACCT_", "SCANCEL_", "SCONTROL_"),
    *("SUBMITIT_", "PMI_", "PMIX_", "OMPI_"),
)
_OF_A_JOB = frozenset(
    {"TMPDIR", "CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK"}
)

_PREFIX = re.compile(
    r"^((sbatch|squeue|scancel|scontrol|sacct|sacctmgr): )?(error: |fatal: )?"
    r"(Batch job submission failed: |slurm_\w+ error: )?(?=\S)"
)

_SILENCE = re.compile(
    r"unable to contact slurm|socket timed out|connection (refused|reset|timed out)|connect failure"
    r"|communication (connection )?failure|zero bytes were transmitted|unable to establish con"
    r"|could not establish a configuration source|unexpected message received|authentication (error|cred)"
    r"|munge|standby mode|unable to resolve|no route to host|network is unreachable|broken pipe"
    r"|incompatible versions of client|system call interrupted|transport endpoint|message receive failure",
    re.IGNORECASE,
)


_BLOCKED_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2})
"""Signals to this process that SLURM's commands must not receive. SLURM signals every process of a job, including the
scontrol with which the job requeues itself; and an sbatch killed by a signal may or may not have queued a job."""


def _start(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start the command with these signals blocked, which it inherits; this process receives them a moment later."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED_SIGNALS)
    try:
        return subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            start_new_session=True,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _listen(process: subprocess.Popen[bytes], deadline: float, cut_at: str | None) -> Answer | None:
    """Read both pipes until the command ends; None if the deadline comes first."""
    assert process.stdout is not None
    assert process.stderr is not None
    received: dict[IO[bytes], bytearray] = {process.stdout: bytearray(), process.stderr: bytearray()}
    with selectors.DefaultSelector() as selector:
        for pipe in received:
            selector.register(pipe, selectors.EVENT_READ, pipe)
        while selector.get_map():
            rest = deadline - time.monotonic()
            if rest <= 0:
                return None
            for key, _ in selector.select(rest):
                pipe = key.data
                data = os.read(key.fd, 1 << 16)
                received[pipe] += data
                if not data:
                    selector.unregister(pipe)
                if cut_at is not None and cut_at.encode() in received[process.stderr]:
                    return Answer(0, *_texts(received), cut_off=True)
    try:
        code = process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return None
    return Answer(code, *_texts(received))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the command and the processes that a wrapper of it started, and close the pipes."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _texts(received: Mapping[IO[bytes], bytearray]) -> tuple[str, str]:
    out, err = (bytes(data).decode(errors="replace") for data in received.values())
    return out, err
