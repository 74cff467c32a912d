"""Programs that a test starts: awaited with patience, met at work, and gone when the test is over.

Times here are none that anything should take: after them something hangs, on however slow and busy a machine.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.slurm.faults.interrupted import ODOMETER

PATIENCE = 900.0
"""Seconds until a program hangs."""

MARK = "LTH_STARTED_BY"
"""A variable by which processes are known that a program has started, in whatever group or session they are."""


class Program(subprocess.Popen[str]):
    """A program of which nothing has to stay when a test is over.

    Args:
        command: what to run, in a session of its own.
        env: its environment.
    """

    def __init__(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        self._mark = uuid.uuid4().hex
        super().__init__(
            command,
            env={**env, MARK: self._mark},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def end(self) -> str:
        """Wait for its end; returns what it said."""
        try:
            return self.communicate(timeout=PATIENCE)[0]
        except subprocess.TimeoutExpired:
            raise AssertionError(f"hangs; it said:\n{self.put_down()}") from None

    def put_down(self) -> str:
        """SIGKILL to it and to all that it has started, be they stopped or orphans; returns what it said."""
        wait_until(lambda: not self._kill_all())
        return self.communicate(timeout=60)[0]

    def _kill_all(self) -> bool:
        """Whether any was left; who ends late still has files open."""
        mark, found = f"{MARK}={self._mark}".encode(), False
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has just ended, or is somebody else's
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found = True
                    os.kill(int(entry.name), signal.SIGKILL)
        return found


def wait_until(condition: Callable[[], object], program: Program | None = None, seconds: float = 300) -> None:
    """Wait until something is so. If a program is to make it so, that fails as soon as the program has ended."""
    deadline = time.monotonic() + seconds
    while not condition():
        if program is not None and program.poll() is not None:
            raise AssertionError(f"ended with {program.returncode} too early; it said:\n{program.put_down()}")
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@dataclass(frozen=True)
class Held:
    """Sweeps whose steps last long until they are let go: what happens to one until then happens while it trains.

    The science does not change by it.

    Attributes:
        folder: of the odometer, which reads there how long a step is to last.
    """

    folder: Path

    @property
    def variables(self) -> dict[str, str]:
        """What the environment of such a sweep has."""
        path = os.pathsep.join(filter(None, [str(ODOMETER), os.environ.get("PYTHONPATH")]))
        return {"PYTHONPATH": path, "LTH_ODOMETER": str(self.folder)}

    def pace(self, seconds: float) -> None:
        """Let every step last so much longer."""
        (self.folder / "pace").write_text(str(seconds))

    def let_go(self) -> None:
        """Full speed from now on."""
        self.pace(0)
