"""What a signal does to a sweep that runs."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console

from lthsweep.launch.dispatch import Pool

__all__ = ["Interrupt"]


class Interrupt:
    """The first signal asks for checkpoints: Ctrl-C, SIGTERM, or SIGUSR2, the end of a job's time.

    Another Ctrl-C kills. A second SIGTERM kills nothing: a preempted job gets one from SLURM, and one more from the
    batch script that passes its own on, and both mean the same. Who is not satisfied with that has SIGKILL.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._count = 0
        self._pool: Pool | None = None

    def asked(self) -> bool:
        """Whether the runs are to stop."""
        return self._count > 0

    def watch(self, pool: Pool) -> None:
        """Take note of the pool to kill."""
        self._pool = pool

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle the signals inside of the block."""
        asking = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
        before = {number: signal.signal(number, self._note) for number in asking}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: Any) -> None:
        self._count += 1
        if number == signal.SIGINT and self._count > 1 and self._pool is not None:
            self._pool.kill()
        elif self._count == 1:
            self._console.print(
                "stopping: runs write their checkpoints (Ctrl-C to stop at once)", highlight=False
            )
