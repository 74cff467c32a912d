"""NVIDIA's Multi-Process Service (MPS) for workers that share a GPU: their kernels run side by side, not in turns.

A daemon of our own, in a folder of its own under /tmp, for as long as the workers live. Whoever has a daemon already,
at the default place or by CUDA_MPS_PIPE_DIRECTORY, keeps it: CUDA finds it without us, and it is never touched. A
machine without the program trains the same numbers more slowly.

Source: NVIDIA, "Multi-Process Service", appendices on tools and environment variables.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from lthsweep.errors import LaunchError
from lthsweep.launch.machine import Slot

__all__ = ["CONTROL", "Daemon", "daemon_for", "shares_a_gpu"]

CONTROL = "nvidia-cuda-mps-control"
"""The program; it starts the daemon with `-d`, and else takes commands for it on its standard input."""

_SECONDS = 20.0
"""For any one thing that the program is asked."""

_LONGEST_FOLDER = 60
"""Characters; the daemon makes sockets in it, whose paths may have 107."""

# The daemon must not outlive us, however we end. So a shell waits for its input to close, as workers do, and then ends
# it; `quit` lets clients that are still at work, on their last checkpoints, come to their end.
_KEEPER = 'cat >/dev/null; echo quit | "$0" >/dev/null 2>&1; rm -rf "$1"'


def daemon_for(slots: Sequence[Slot]) -> Daemon | None:
    """Start a daemon if these workers share a GPU and there is none yet; says on standard error if that fails.

    Returns:
        The daemon, to be ended by `quit`, or None: no GPU is shared, MPS is not installed, somebody runs it already,
        or it does not start. Workers are started all the same.
    """
    control = shutil.which(CONTROL)
    if not shares_a_gpu(slots) or control is None:
        return None
    if "CUDA_MPS_PIPE_DIRECTORY" in os.environ or _answers(control, os.environ):
        return None
    try:
        return Daemon(control)
    except LaunchError as error:
        print(f"lthsweep: {error}; workers share their GPUs without it", file=sys.stderr, flush=True)
        return None


def shares_a_gpu(slots: Sequence[Slot]) -> bool:
    """Whether two workers have the same GPU."""
    devices = [slot.device for slot in slots if slot.device.startswith("cuda")]
    return len(set(devices)) < len(devices)


class Daemon:
    """A daemon of our own.

    Args:
        control: path of the program.

    Attributes:
        variables: the environment of its clients.

    Raises:
        LaunchError: if it does not start.
    """

    def __init__(self, control: str) -> None:
        short = len(tempfile.gettempdir()) <= _LONGEST_FOLDER
        folder = Path(tempfile.mkdtemp(prefix="lthsweep-mps-", dir=None if short else "/tmp"))
        own = {"CUDA_MPS_PIPE_DIRECTORY": str(folder / "pipe"), "CUDA_MPS_LOG_DIRECTORY": str(folder / "log")}
        for path in own.values():
            Path(path).mkdir()
        environment = {**os.environ, **own}
        self.variables: Mapping[str, str] = own | _renumbered(os.environ.get("CUDA_VISIBLE_DEVICES"))
        self._keeper = subprocess.Popen(
            ["sh", "-c", _KEEPER, control, str(folder)],
            stdin=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # a Ctrl-C in the terminal is for us
        )
        try:
            _start(control, environment, folder / "log" / "start")
        except LaunchError:
            self.quit()
            raise

    def quit(self) -> None:
        """End the daemon and remove its folder; if workers are still there, that happens when they are gone."""
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._keeper.wait(_SECONDS)


def _start(control: str, environment: Mapping[str, str], log: Path) -> None:
    try:
        with log.open("wb") as output:  # not a pipe: the daemon would keep its end, and we would wait for it
            started = subprocess.run(
                [control, "-d"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                timeout=_SECONDS,
                check=False,
            )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LaunchError(f"{CONTROL} -d: {error}") from error
    if started.returncode or not _answers(control, environment):
        said = " ".join(log.read_text(errors="replace").split()) or f"exit status {started.returncode}"
        raise LaunchError(f"the MPS daemon did not start: {said}")


def _answers(control: str, environment: Mapping[str, str]) -> bool:
    """Whether a daemon is there; the program's exit status is zero if it could speak with it."""
    try:
        asked = subprocess.run(
            [control],
            input="get_server_list\n",
            capture_output=True,
            text=True,
            env=environment,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0


def _renumbered(visible: str | None) -> dict[str, str]:
    """The GPUs as clients must name them: the daemon sees only these, and counts them from 0. UUIDs stay."""
    names = [name.strip() for name in (visible or "").split(",") if name.strip()]
    if not names or not all(name.isdigit() for name in names):
        return {}
    return {"CUDA_VISIBLE_DEVICES": ",".join(map(str, range(len(names))))}
