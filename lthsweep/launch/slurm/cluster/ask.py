"""The one place where SLURM's commands are run: no shell, no variables of an enclosing job, never without a deadline.

An answer is one of three. SLURM did what was asked (exit code 0). It refused, and says why: the caller reads
`Answer.words`. Or nothing can be relied on, because the command hung, died, or could not reach the controller:
`ClusterSilentError`, from which nothing follows, least of all that there are no jobs.
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

__all__ = ["Answer", "ask", "clean_environment", "this_user"]


@dataclass(frozen=True)
class Answer:
    """What a command said.

    Attributes:
        code: its exit code.
        out, err: what it wrote to stdout and stderr.
        cut_off: it was ended because it wrote the text that its caller does not wait beyond.
    """

    code: int
    out: str
    err: str
    cut_off: bool = False

    @property
    def words(self) -> str:
        """SLURM's own sentence on what went wrong, without the names of commands; "" if it said nothing."""
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
        environment: of the command; this process's without what `clean_environment` takes away, if None.

    Raises:
        ClusterSilentError: if it is not installed here, takes too long, is killed, or reaches no controller.
    """
    program = command[0]
    if shutil.which(program) is None:
        raise ClusterSilentError(
            f"there is no {program} on this machine's PATH; SLURM can be asked from a login node "
            f"or from inside a job (`which {program}` there tells)"
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
        raise ClusterSilentError(f"{program} did not answer within {seconds:g} s; SLURM may be busy, or down")
    if answer.cut_off:
        return answer
    if answer.code < 0:
        raise ClusterSilentError(f"{program} was killed by signal {-answer.code} before it had answered")
    if answer.code and _SILENCE.search(answer.err):
        raise ClusterSilentError(
            f"{program} did not reach SLURM's controller: {answer.words}; go where `sinfo` answers, as it does on a "
            f"login node, or try again later if it did before"
        )
    return answer


def clean_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment without what would make an answer, or a job, depend on where it was asked.

    A job's own variables describe that job, and sbatch would take them for options of the next one (as it takes
    SBATCH_TIMELIMIT over the script's own line). SQUEUE_STATES and the like hide jobs. Which cluster is asked is
    said by SLURM_CONF, and how to be let in by SLURM_JWT: these stay.
    """
    known = os.environ if environment is None else environment
    inside = "SLURM_JOB_ID" in known
    return {
        name: value
        for name, value in known.items()
        if name in _KEPT or not (name.startswith(_FOREIGN) or (inside and name in _OF_A_JOB))
    }


def this_user() -> str:
    """The name that SLURM's commands know this user by; the number if the machine has no name for it."""
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


_NOT_FOR_IT = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2})
"""Signals to us. SLURM sends its own to every process of a job, also to the scontrol with which the job puts itself
back into the queue, at once; and an sbatch that dies of one may or may not have queued a job."""


def _start(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start it with these signals held back, which it inherits; for us they arrive a moment later."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _NOT_FOR_IT)
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
    """Read both pipes until the command has ended; None if it had not by then."""
    assert process.stdout is not None
    assert process.stderr is not None
    heard: dict[IO[bytes], bytearray] = {process.stdout: bytearray(), process.stderr: bytearray()}
    with selectors.DefaultSelector() as selector:
        for pipe in heard:
            selector.register(pipe, selectors.EVENT_READ, pipe)
        while selector.get_map():
            rest = deadline - time.monotonic()
            if rest <= 0:
                return None
            for key, _ in selector.select(rest):
                pipe = key.data
                data = os.read(key.fd, 1 << 16)
                heard[pipe] += data
                if not data:
                    selector.unregister(pipe)
                if cut_at is not None and cut_at.encode() in heard[process.stderr]:
                    return Answer(0, *_texts(heard), cut_off=True)
    try:
        code = process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return None
    return Answer(code, *_texts(heard))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Leave nothing behind: neither the command, nor what a wrapper of it started, nor open pipes."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _texts(heard: Mapping[IO[bytes], bytearray]) -> tuple[str, str]:
    out, err = (bytes(data).decode(errors="replace") for data in heard.values())
    return out, err
