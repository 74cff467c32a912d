"""How a worker hears from its coordinator and answers: the one thing that differs between pools."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass, field
from typing import IO, Protocol

from lthsweep.launch.task import Message, Task

__all__ = ["Line", "PipeLine"]


class Line(Protocol):
    """A line between one worker and its coordinator.

    It is closed when the coordinator asks the worker to leave, when the coordinator is gone, or by `close`. What a
    worker trains on a closed line ends before its next step, with a checkpoint.
    """

    def take(self) -> Task | None:
        """Wait for the next task; None once the line is closed."""

    def is_closed(self) -> bool:
        """Whether the worker is to leave; asked before every step of a training."""

    def close(self) -> None:
        """Behave as if the coordinator had closed the line. Called from signal handlers."""

    def say(self, message: Message) -> None:
        """Tell the coordinator.

        Raises:
            BrokenPipeError: if there is nobody to tell any more.
        """


@dataclass
class PipeLine:
    """Tasks as JSON lines on one file, messages as JSON lines on another.

    Attributes:
        tasks: read until it ends, which closes the line.
        events: written to, a line at a time.
    """

    tasks: IO[str]
    events: IO[str]
    # Of the two queues of the standard library this is the one that a signal handler may put to.
    _taken: queue.SimpleQueue[Task | None] = field(default_factory=queue.SimpleQueue)
    _closed: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        threading.Thread(target=self._read, daemon=True).start()

    def take(self) -> Task | None:
        """Wait for the next task; None once the line is closed."""
        return self._taken.get()

    def is_closed(self) -> bool:
        """Whether the worker is to leave."""
        return self._closed.is_set()

    def close(self) -> None:
        """Leave, as if the input had ended."""
        self._closed.set()
        self._taken.put(None)

    def say(self, message: Message) -> None:
        """Write a line."""
        self.events.write(message.to_json() + "\n")
        self.events.flush()

    def _read(self) -> None:
        for line in self.tasks:
            self._taken.put(Task.from_json(line))
        self.close()
