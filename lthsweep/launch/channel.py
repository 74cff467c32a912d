"""The channel between a coordinator and one worker: tasks in one direction, events in the other."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass, field
from typing import IO, Protocol

from lthsweep.launch.events import Event, event_to_json
from lthsweep.launch.task import Task

__all__ = ["Channel", "PipeChannel"]


class Channel(Protocol):
    """The worker's end of a channel.

    The channel closes when the coordinator asks the worker to leave, when the coordinator is gone, or through `close`.
    A run that trains while its channel closes writes a checkpoint and ends before its next step.
    """

    def receive(self) -> Task | None:
        """Wait for the next task; None once the channel is closed."""

    def is_closed(self) -> bool:
        """Return whether the worker has to leave; called before every training step."""

    def close(self) -> None:
        """Close this end. Safe to call from a signal handler."""

    def send(self, event: Event) -> None:
        """Send an event to the coordinator.

        Raises:
            BrokenPipeError: if the coordinator is gone.
        """


@dataclass
class PipeChannel:
    """A channel over two files: tasks are lines of JSON on one, events are lines of JSON on the other.

    Attributes:
        tasks: read to its end, which closes the channel.
        events: written one line at a time.
    """

    tasks: IO[str]
    events: IO[str]
    # SimpleQueue, unlike Queue, allows `put` in a signal handler.
    _received: queue.SimpleQueue[Task | None] = field(default_factory=queue.SimpleQueue)
    _closed: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        threading.Thread(target=self._read, daemon=True).start()

    def receive(self) -> Task | None:
        """Wait for the next task; None once the channel is closed."""
        return self._received.get()

    def is_closed(self) -> bool:
        """Return whether the worker has to leave."""
        return self._closed.is_set()

    def close(self) -> None:
        """Close the channel, as if the input had ended."""
        self._closed.set()
        self._received.put(None)

    def send(self, event: Event) -> None:
        """Write one line."""
        self.events.write(event_to_json(event) + "\n")
        self.events.flush()

    def _read(self) -> None:
        for line in self.tasks:
            self._received.put(Task.from_json(line))
        self.close()
