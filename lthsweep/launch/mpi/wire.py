"""Messages between MPI ranks: JSON text over plain point-to-point messages. Nothing is pickled.

Only calls that return at once are used, with sleeps in between: a blocking receive of most MPI libraries busy-waits and
takes a core from a worker that trains. The caller imports mpi4py and makes the communicator.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from mpi4py import MPI

__all__ = ["Envelope", "MpiWire", "Tag", "Wire", "backoff", "receive_within"]

_PAUSES = (0.00025, 0.0005, 0.001)


class Tag(IntEnum):
    """The kind of an envelope, its sender, and the type of its body."""

    HELLO = 1  # worker: RankInfo
    SLOT = 2  # coordinator: RankSlot
    TASK = 3  # coordinator: Task
    EVENT = 4  # worker: Event
    ALIVE = 5  # coordinator: empty, a sign of life
    LEAVE = 6  # coordinator: empty, write a checkpoint and leave
    GONE = 7  # worker: Departure


@dataclass(frozen=True)
class Envelope:
    """A message from another rank; the body is JSON."""

    source: int
    tag: Tag
    body: str = ""


class Wire(Protocol):
    """One rank's connection to all other ranks."""

    rank: int
    size: int

    def send(self, to: int, tag: Tag, body: str = "") -> None:
        """Send without waiting for the receiver."""

    def receive(self) -> Envelope | None:
        """Return the next envelope from any rank; None if none has arrived."""

    def abort(self, code: int) -> None:
        """End all ranks of the job now, with an exit code."""


class MpiWire:
    """A `Wire` over an MPI communicator.

    Args:
        comm: all ranks of the job; rank 0 coordinates.
    """

    def __init__(self, comm: MPI.Intracomm) -> None:
        self._comm = comm
        self.rank: int = comm.Get_rank()
        self.size: int = comm.Get_size()
        # MPI reads a buffer until its request is complete, so the buffer has to live as long.
        self._in_flight: list[tuple[MPI.Request, bytes]] = []

    def send(self, to: int, tag: Tag, body: str = "") -> None:
        """Send without waiting for the receiver."""
        data = body.encode()
        self._in_flight = [entry for entry in self._in_flight if not entry[0].Test()]
        self._in_flight.append((self._comm.Isend(data, dest=to, tag=int(tag)), data))

    def receive(self) -> Envelope | None:
        """Return the next envelope from any rank; None if none has arrived."""
        from mpi4py import MPI

        status = MPI.Status()
        if not self._comm.Iprobe(status=status):
            return None
        data = bytearray(status.Get_count(MPI.BYTE))
        source, tag = status.Get_source(), status.Get_tag()
        self._comm.Recv([data, MPI.BYTE], source=source, tag=tag)
        return Envelope(source, Tag(tag), data.decode())

    def abort(self, code: int) -> None:
        """End all ranks of the job now, with an exit code."""
        self._comm.Abort(code)

    def barrier(self, seconds: float | None = None) -> bool:
        """Wait for all ranks without busy-waiting, as MPI_Finalize would.

        Args:
            seconds: time limit; None for no limit.

        Returns:
            Whether all ranks arrived.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        request = self._comm.Ibarrier()
        tries = 0
        while not request.Test():
            if deadline is not None and time.monotonic() > deadline:
                return False
            while self.receive() is not None:
                pass  # addressed to a loop that has ended
            backoff(tries)
            tries += 1
        return True


def receive_within(wire: Wire, seconds: float) -> Envelope | None:
    """Wait up to `seconds` for the next envelope; None if none arrived."""
    deadline = time.monotonic() + seconds
    tries = 0
    while (envelope := wire.receive()) is None and time.monotonic() < deadline:
        backoff(tries)
        tries += 1
    return envelope


def backoff(tries: int) -> None:
    """Sleep between two tries to receive: 0.25 ms after the first, 0.5 ms after the second, then 1 ms.

    Answers often arrive at once. Later a pause should be short compared with a run, and long compared with a try, which
    takes some microseconds.
    """
    time.sleep(_PAUSES[min(tries, len(_PAUSES) - 1)])
