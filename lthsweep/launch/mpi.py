"""MPI ranks as a pool: rank 0 holds it, every other rank is a worker (`lthsweep.launch.mpi_worker`).

A rank that is killed takes the whole job with it, as MPI will have it; the next job goes on from the checkpoints. A
rank that hangs says nothing: after a while its run is given to another, and it gets none again.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from lthsweep.errors import LaunchError, StoreError
from lthsweep.launch.machine import Slot
from lthsweep.launch.pool import Heard
from lthsweep.launch.ranks import Hello
from lthsweep.launch.task import STALE_SECONDS, Message, Task
from lthsweep.launch.wire import Parcel, Tag, Wire, receive_within, rest
from lthsweep.store import claims
from lthsweep.store.layout import SweepDir

__all__ = ["SILENCE_SECONDS", "MpiPool", "gather_hellos"]

SILENCE_SECONDS = STALE_SECONDS
"""A rank with a run says something about once a second; one that was silent for this long hangs."""

ALIVE_SECONDS = 60.0
"""How often rank 0 tells the others that it is there."""

GRACE_SECONDS = 60.0
"""How long ranks get to write their checkpoints and leave."""

START_SECONDS = 300.0
"""How long a rank may take to start: hundreds that import torch from one file system at once take minutes."""


@dataclass
class _Rank:
    """A worker as rank 0 sees it."""

    hello: Hello
    heard: float
    ready: bool = False
    untold: list[str] = field(default_factory=list)  # keys of its task that it has not said the end of


def gather_hellos(wire: Wire, seconds: float = START_SECONDS) -> list[Hello]:
    """Hear from every other rank what it has to work with.

    Raises:
        LaunchError: if one says nothing.
    """
    hellos: dict[int, Hello] = {}
    deadline = time.monotonic() + seconds
    while len(hellos) < wire.size - 1:
        parcel = receive_within(wire, deadline - time.monotonic())
        if parcel is None:
            missing = sorted(set(range(1, wire.size)) - hellos.keys())
            raise LaunchError(
                f"rank {', '.join(map(str, missing))} of {wire.size} did not start within {seconds:.0f} s; check that "
                f"lthsweep is installed at the same place on all hosts, and the network between them"
            )
        if parcel.tag == Tag.HELLO:
            hellos[parcel.source] = Hello.from_dict(parcel.values)
    return [hellos[rank] for rank in sorted(hellos)]


class MpiPool:
    """The ranks of this MPI job but rank 0, which holds it.

    Args:
        sweep: the sweep directory they work on.
        wire: rank 0's.
        hellos: what the ranks said.
        slots: rank → where it works.
        silence: seconds after which a rank with a run that says nothing is given up.
        sole: no other pool works beside this one, so without ranks there is nobody left.
        clock: seconds, monotonic.

    Attributes:
        asked_to_stop: a rank was sent a signal that asks for the end; `mpirun` tells some ranks only, at times.
    """

    def __init__(
        self,
        sweep: SweepDir,
        wire: Wire,
        hellos: Sequence[Hello],
        slots: Mapping[int, Slot],
        *,
        silence: float = SILENCE_SECONDS,
        sole: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.asked_to_stop = False
        self._sweep = sweep
        self._wire = wire
        self._silence = silence
        self._sole = sole
        self._clock = clock
        self._ranks = {hello.rank: _Rank(hello, clock()) for hello in hellos}
        self._numbers = {hello.name: hello.rank for hello in hellos}
        self._idle: dict[str, None] = {}  # in the order in which they became so
        self._last_words = "none of them said why"
        self._next_alive = self._next_look = clock()
        for rank in self._ranks:
            slot = slots[rank]
            place = {"device": slot.device, "cores": slot.cores, "threads": slot.threads}
            wire.send(rank, Tag.SLOT, {"sweep": str(sweep.path.resolve()), "silence": silence, **place})

    def idle(self) -> list[str]:
        """Ranks that wait for a task."""
        return list(self._idle)

    def starting(self) -> int:
        """Ranks that start up."""
        return sum(not rank.ready for rank in self._ranks.values())

    def give(self, worker: str, task: Task) -> None:
        """Hand a task to an idle rank."""
        del self._idle[worker]
        rank = self._ranks[self._numbers[worker]]
        rank.untold, rank.heard = [one.key for one in task.together], self._clock()
        self._wire.send(rank.hello.rank, Tag.TASK, {"task": task.to_json()})

    def wait(self, seconds: float) -> list[Heard]:
        """What ranks say, at the latest after `seconds`; the runs of one that hangs are heard as failed.

        Raises:
            LaunchError: if all ranks are gone and this is the sole pool.
        """
        if not self._ranks and self._sole:
            raise LaunchError(f"no rank is left to train on; {self._last_words}")
        deadline = time.monotonic() + seconds
        looks = 0
        while not (found := self._look()) and time.monotonic() < deadline:
            rest(looks)
            looks += 1
        return found

    def stop(self) -> list[Heard]:
        """Ask all ranks to write checkpoints and leave; who does not within the grace period stays behind."""
        found: list[Heard] = []
        for rank in self._ranks:
            self._wire.send(rank, Tag.LEAVE, {})
        deadline = time.monotonic() + GRACE_SECONDS
        while self._ranks and time.monotonic() < deadline:
            found += self.wait(0.1)
        return found

    def kill(self) -> None:
        """End the whole job now, this rank included."""
        self._wire.abort(3)

    def _look(self) -> list[Heard]:
        found: list[Heard] = []
        while (parcel := self._wire.receive()) is not None:
            found += self._note(parcel)
        now = self._clock()
        if now >= self._next_look:
            self._next_look = now + min(1.0, self._silence / 10)
            for rank in list(self._ranks.values()):
                patience = self._silence if rank.ready else max(self._silence, START_SECONDS)
                if now - rank.heard > patience and (rank.untold or not rank.ready):
                    found += self._give_up(rank, now)
        if now >= self._next_alive:
            self._next_alive = now + min(ALIVE_SECONDS, self._silence / 5)
            for number in self._ranks:
                self._wire.send(number, Tag.ALIVE, {})
        return found

    def _note(self, parcel: Parcel) -> list[Heard]:
        rank = self._ranks.get(parcel.source)
        if rank is None:
            return []  # it was given up, and its run is another's
        rank.heard = self._clock()
        if parcel.tag == Tag.GONE:
            return self._let_go(rank, parcel.values)
        if parcel.tag != Tag.MESSAGE:
            return []
        message = Message(**parcel.values)
        if message.kind == "ready":
            rank.ready = True
        elif message.kind != "progress" and message.key in rank.untold:
            rank.untold.remove(message.key)
        if (
            message.kind not in ("progress", "stopped") and not rank.untold
        ):  # one that stopped is about to leave
            self._idle[rank.hello.name] = None
        return [Heard(rank.hello.name, message)]

    def _let_go(self, rank: _Rank, values: Mapping[str, object]) -> list[Heard]:
        self._forget(rank)
        self.asked_to_stop |= bool(values.get("signaled"))
        cause = values.get("cause")
        if cause:
            self._last_words = f"the last one ({rank.hello.name}) said:\n{cause}"
        if not cause:
            return [Heard(rank.hello.name, Message("stopped", key)) for key in rank.untold]
        return _failed(rank, f"its worker ended: {cause}", "WorkerDied")

    def _give_up(self, rank: _Rank, now: float) -> list[Heard]:
        self._forget(rank)
        hello = rank.hello
        silent = f"rank {hello.rank} ({hello.host} pid {hello.pid}) said nothing for {now - rank.heard:.0f} s"
        self._last_words = f"{silent}, as did all others"
        for key in rank.untold:
            with contextlib.suppress(StoreError):  # then its claim is free when it is stale
                claims.evict(self._sweep, key, hello.host, hello.pid)
        return _failed(rank, f"{silent}; it gets no run again", "WorkerSilent")

    def _forget(self, rank: _Rank) -> None:
        del self._ranks[rank.hello.rank]
        self._idle.pop(rank.hello.name, None)


def _failed(rank: _Rank, cause: str, error: str) -> list[Heard]:
    values = {"cause": cause, "error": error, "retry": True, "infrastructure": True}
    return [Heard(rank.hello.name, Message("failed", key, values)) for key in rank.untold]
