"""Signals during a run: the first asks for checkpoints, a further Ctrl-C kills the workers."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console

from lthsweep.launch.dispatch import Pool

__all__ = ["Interrupt"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
"""Ctrl-C, a request to stop, and the end of a job's time."""


class Interrupt:
    """Counts signals and stops the workers.

    Only a second Ctrl-C kills. A second SIGTERM does not: a preempted job gets one from SLURM and one that the batch
    script forwards, and both mean the same. SIGKILL remains.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._count = 0
        self._pool: Pool | None = None

    def asked(self) -> bool:
        """True if the runs should write their checkpoints and stop."""
        return self._count > 0

    def watch(self, pool: Pool) -> None:
        """Set the pool that a second Ctrl-C kills."""
        self._pool = pool

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle the signals inside the block."""
        before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._count += 1
        if number == signal.SIGINT and self._count > 1 and self._pool is not None:
            self._pool.kill()
        elif self._count == 1:
            self._console.print(
                "stopping: runs write their checkpoints (Ctrl-C to stop at once)", highlight=False
            )
