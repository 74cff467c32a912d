"""NVIDIA's Multi-Process Service (MPS): workers that share a GPU run their kernels side by side, not in turns.

The daemon lives in a folder under /tmp, as long as the workers. A daemon that was there before, at the default place or
through CUDA_MPS_PIPE_DIRECTORY, is used and never touched: CUDA finds it. Without the program the numbers are the same,
and training is slower.

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
from lthsweep.launch.slots import Slot

__all__ = ["CONTROL", "MpsDaemon", "daemon_for", "shares_a_gpu"]

CONTROL = "nvidia-cuda-mps-control"
"""The program. With `-d` it starts the daemon; otherwise it reads commands for the daemon on its standard input."""

_SECONDS = 20.0
"""Time limit of each call of the program."""

_LONGEST_FOLDER = 60
"""Characters. The daemon makes sockets in the folder, and a socket path has at most 107."""

# The daemon must not outlive this process, however it ends. So a shell waits until its input closes, as workers do, and
# then ends the daemon. `quit` waits for clients that still write their last checkpoints.
_KEEPER = 'cat >/dev/null; echo quit | "$0" >/dev/null 2>&1; rm -rf "$1"'


def daemon_for(slots: Sequence[Slot]) -> MpsDaemon | None:
    """Start a daemon if workers share a GPU; print a warning to standard error if that fails.

    Returns:
        The daemon, to be ended with `quit`. None if no GPU is shared, MPS is not installed, a daemon is running
        already, or the daemon does not start. The workers start in any case.
    """
    control = shutil.which(CONTROL)
    if not shares_a_gpu(slots) or control is None:
        return None
    if "CUDA_MPS_PIPE_DIRECTORY" in os.environ or _responds(control, os.environ):
        return None
    try:
        return MpsDaemon(control)
    except LaunchError as error:
        print(f"lthsweep: {error}; workers share their GPUs without it", file=sys.stderr, flush=True)
        return None


def shares_a_gpu(slots: Sequence[Slot]) -> bool:
    """Return whether two workers have the same GPU."""
    devices = [slot.device for slot in slots if slot.device.startswith("cuda")]
    return len(set(devices)) < len(devices)


class MpsDaemon:
    """A daemon that this process has started.

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
            start_new_session=True,  # keeps Ctrl-C in the terminal from it
        )
        try:
            _start(control, environment, folder / "log" / "start")
        except LaunchError:
            self.quit()
            raise

    def quit(self) -> None:
        """End the daemon and remove its folder, as soon as the last worker has ended."""
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._keeper.wait(_SECONDS)


def _start(control: str, environment: Mapping[str, str], log: Path) -> None:
    try:
        with log.open("wb") as output:  # not a pipe: the daemon would keep it open, and `run` would wait
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
    if started.returncode or not _responds(control, environment):
        output_text = " ".join(log.read_text(errors="replace").split()) or f"exit status {started.returncode}"
        raise LaunchError(f"the MPS daemon did not start: {output_text}")


def _responds(control: str, environment: Mapping[str, str]) -> bool:
    """Return whether a daemon is running: the exit status of the program is 0 if it could connect."""
    try:
        called = subprocess.run(
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
    return called.returncode == 0


def _renumbered(visible: str | None) -> dict[str, str]:
    """Return the names of the GPUs for clients: the daemon sees only these and counts them from 0. UUIDs stay."""
    names = [name.strip() for name in (visible or "").split(",") if name.strip()]
    if not names or not all(name.isdigit() for name in names):
        return {}
    return {"CUDA_VISIBLE_DEVICES": ",".join(map(str, range(len(names))))}
