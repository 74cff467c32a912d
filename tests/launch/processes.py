"""Programs that a test starts, interrupts, waits for, and removes when it is over.

The time limits are no expectations: after them a program hangs, even on a slow and busy machine.
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
"""Seconds after which a program hangs."""

MARK = "LTH_STARTED_BY"
"""Environment variable that marks all processes of a program, in any process group or session."""


class Program(subprocess.Popen[str]):
    """A program that leaves no process when a test is over.

    Args:
        command: started in a new session.
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
        """Wait for its end; return its output."""
        try:
            return self.communicate(timeout=PATIENCE)[0]
        except subprocess.TimeoutExpired:
            raise AssertionError(f"hangs; its output:\n{self.put_down()}") from None

    def put_down(self) -> str:
        """Kill it and all processes that it started, stopped ones and orphans too; return its output."""
        wait_until(lambda: not self._kill_all())
        return self.communicate(timeout=60)[0]

    def _kill_all(self) -> bool:
        """Kill them; return whether any was left. A process can hold files open while it ends."""
        mark, found = f"{MARK}={self._mark}".encode(), False
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has just ended, or belongs to another user
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found = True
                    os.kill(int(entry.name), signal.SIGKILL)
        return found


def wait_until(condition: Callable[[], object], program: Program | None = None, seconds: float = 300) -> None:
    """Wait for a condition. Fails as soon as the program that should fulfill it has ended."""
    deadline = time.monotonic() + seconds
    while not condition():
        if program is not None and program.poll() is not None:
            raise AssertionError(
                f"ended with {program.returncode} too early; its output:\n{program.put_down()}"
            )
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@dataclass(frozen=True)
class Held:
    """Sweeps whose steps take long until `let_go`, so that a fault falls into the training. Results do not change.

    Attributes:
        folder: of the step counter, which reads there how long a step has to take.
    """

    folder: Path

    @property
    def variables(self) -> dict[str, str]:
        """The environment of such a sweep."""
        path = os.pathsep.join(filter(None, [str(ODOMETER), os.environ.get("PYTHONPATH")]))
        return {"PYTHONPATH": path, "LTH_ODOMETER": str(self.folder)}

    def pace(self, seconds: float) -> None:
        """Make every step take so much longer."""
        (self.folder / "pace").write_text(str(seconds))

    def let_go(self) -> None:
        """Return to full speed."""
        self.pace(0)
