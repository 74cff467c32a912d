"""Words between MPI ranks: JSON text over plain point-to-point messages. Nothing is pickled.

Only calls that return at once are used, and waiting is sleeping: a blocking receive of most MPI libraries spins, and
takes a core from whoever trains beside it. mpi4py is imported by whoever makes the communicator.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from mpi4py import MPI

__all__ = ["MpiWire", "Parcel", "Tag", "Wire", "receive_within", "rest"]

_PAUSES = (0.00025, 0.0005, 0.001)


class Tag(IntEnum):
    """What a parcel is."""

    HELLO = 1  # worker: what its rank has to work with
    SLOT = 2  # coordinator: where it is to work
    TASK = 3  # coordinator
    MESSAGE = 4  # worker
    ALIVE = 5  # coordinator: nothing to say, and there
    LEAVE = 6  # coordinator: write a checkpoint and leave
    GONE = 7  # worker: left, for the reason given


@dataclass(frozen=True)
class Parcel:
    """What came from a rank."""

    source: int
    tag: Tag
    values: Mapping[str, Any]


class Wire(Protocol):
    """The end of the wires that one rank holds."""

    rank: int
    size: int

    def send(self, to: int, tag: Tag, values: Mapping[str, Any]) -> None:
        """Send without waiting for the receiver."""

    def receive(self) -> Parcel | None:
        """The next parcel that is there, from whichever rank; None if there is none."""

    def abort(self, code: int) -> None:
        """End all ranks of the job now."""


class MpiWire:
    """A `Wire` over an MPI communicator.

    Args:
        comm: of all ranks of the job; rank 0 coordinates.
    """

    def __init__(self, comm: MPI.Intracomm) -> None:
        self._comm = comm
        self.rank: int = comm.Get_rank()
        self.size: int = comm.Get_size()
        self._under_way: list[
            tuple[MPI.Request, bytes]
        ] = []  # MPI reads a buffer until its request is complete

    def send(self, to: int, tag: Tag, values: Mapping[str, Any]) -> None:
        """Send without waiting for the receiver."""
        data = json.dumps(values, default=str).encode()
        self._under_way = [entry for entry in self._under_way if not entry[0].Test()]
        self._under_way.append((self._comm.Isend(data, dest=to, tag=int(tag)), data))

    def receive(self) -> Parcel | None:
        """The next parcel that is there, from whichever rank; None if there is none."""
        from mpi4py import MPI

        status = MPI.Status()
        if not self._comm.Iprobe(status=status):
            return None
        data = bytearray(status.Get_count(MPI.BYTE))
        source, tag = status.Get_source(), status.Get_tag()
        self._comm.Recv([data, MPI.BYTE], source=source, tag=tag)
        return Parcel(source, Tag(tag), json.loads(data))

    def abort(self, code: int) -> None:
        """End all ranks of the job now, with an exit code."""
        self._comm.Abort(code)

    def part(self, seconds: float | None = None) -> bool:
        """Wait until all ranks part, so that the end of MPI, where waiting is spinning, takes no time.

        Args:
            seconds: how long to wait at most; None for ever.

        Returns:
            Whether all did.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        request = self._comm.Ibarrier()
        looks = 0
        while not request.Test():
            if deadline is not None and time.monotonic() > deadline:
                return False
            while self.receive() is not None:
                pass  # a parcel to somebody who had left already
            rest(looks)
            looks += 1
        return True


def receive_within(wire: Wire, seconds: float) -> Parcel | None:
    """The next parcel, waited for at most `seconds`; None if none came."""
    deadline = time.monotonic() + seconds
    looks = 0
    while (parcel := wire.receive()) is None and time.monotonic() < deadline:
        rest(looks)
        looks += 1
    return parcel


def rest(looks: int) -> None:
    """Sleep between two looks for a parcel: 0.25 ms after the first one, 0.5 after the next, then 1 ms.

    An answer often comes at once. After that a pause is to be short beside a run, and long beside a look (some
    microseconds).
    """
    time.sleep(_PAUSES[min(looks, len(_PAUSES) - 1)])
