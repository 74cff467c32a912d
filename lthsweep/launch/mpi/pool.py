"""A pool of MPI ranks. Rank 0 holds it; every other rank is a worker (`lthsweep.launch.mpi.rank_worker`).

MPI ends the whole job when a rank is killed; the next job continues from the checkpoints. A rank that hangs is silent:
after some time its runs are given to another rank, and it gets no more.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from lthsweep.errors import LaunchError, StoreError
from lthsweep.launch.dispatch import Pool
from lthsweep.launch.events import Failed, Message, Ready, RunProgress, Stopped, event_from_json
from lthsweep.launch.mpi.ranks import DEPARTURE, RANK_INFO, RANK_SLOT, Departure, RankInfo, RankSlot
from lthsweep.launch.mpi.wire import Envelope, Tag, Wire, backoff, receive_within
from lthsweep.launch.slots import Slot
from lthsweep.launch.task import STALE_SECONDS, Task
from lthsweep.store import claims
from lthsweep.store.layout import SweepDir

__all__ = ["SILENCE_SECONDS", "CombinedPool", "MpiPool", "gather_ranks"]

SILENCE_SECONDS = STALE_SECONDS
"""A rank that trains reports about once a second. After this time without a report it hangs."""

ALIVE_SECONDS = 60.0
"""Time between two signs of life from rank 0."""

GRACE_SECONDS = 60.0
"""Time for ranks to write their checkpoints and leave."""

START_SECONDS = 300.0
"""Time for a rank to start: hundreds of ranks that import torch from one file system at once take minutes."""

_TURN_SECONDS = 0.002
"""How long `CombinedPool` waits for one pool before it looks at the next."""


def gather_ranks(wire: Wire, seconds: float = START_SECONDS) -> list[RankInfo]:
    """Return the resources of every rank but rank 0.

    Raises:
        LaunchError: if a rank does not report within `seconds`.
    """
    found: dict[int, RankInfo] = {}
    deadline = time.monotonic() + seconds
    while len(found) < wire.size - 1:
        envelope = receive_within(wire, deadline - time.monotonic())
        if envelope is None:
            missing = sorted(set(range(1, wire.size)) - found.keys())
            raise LaunchError(
                f"rank {', '.join(map(str, missing))} of {wire.size} did not start within {seconds:.0f} s; check that "
                f"lthsweep is installed at the same place on all hosts, and the network between them"
            )
        if envelope.tag == Tag.HELLO:
            found[envelope.source] = RANK_INFO.validate_json(envelope.body)
    return [found[rank] for rank in sorted(found)]


@dataclass
class _Rank:
    """A worker, as rank 0 knows it."""

    info: RankInfo
    last_sign: float
    ready: bool = False
    pending: list[str] = field(default_factory=list)  # keys of its task whose end it has not reported


class MpiPool(Pool):
    """The ranks of this MPI job, without rank 0.

    Args:
        sweep: the sweep directory.
        wire: of rank 0.
        ranks: from `gather_ranks`.
        slots: rank → where it works.
        silence: seconds without a report after which a rank that trains is given up.
        sole: whether there is no other pool, so that the sweep cannot go on without ranks.
        clock: monotonic seconds.

    Attributes:
        asked_to_stop: whether a rank received a signal. `mpirun` sometimes passes a signal on to some ranks only.
    """

    def __init__(
        self,
        sweep: SweepDir,
        wire: Wire,
        ranks: Sequence[RankInfo],
        slots: Mapping[int, Slot],
        *,
        silence: float = SILENCE_SECONDS,
        sole: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.asked_to_stop = False
        self._sweep = sweep
        self._wire = wire
        self._slots = slots
        self._silence = silence
        self._sole = sole
        self._clock = clock
        self._ranks = {info.rank: _Rank(info, clock()) for info in ranks}
        self._numbers = {info.name: info.rank for info in ranks}
        self._idle: dict[str, None] = {}  # in the order in which they became idle
        self._last_cause = "none of them reported a cause"
        self._next_alive = self._next_check = clock()
        for rank in self._ranks:
            place = RankSlot(sweep.path.resolve(), slots[rank], silence)
            wire.send(rank, Tag.SLOT, RANK_SLOT.dump_json(place).decode())

    def devices(self) -> set[str]:
        """Return the devices on which the ranks train."""
        return {slot.device for slot in self._slots.values()}

    def idle(self) -> list[str]:
        """Return the ranks that wait for a task."""
        return list(self._idle)

    def starting(self) -> int:
        """Return how many ranks are starting up."""
        return sum(not rank.ready for rank in self._ranks.values())

    def give(self, worker: str, task: Task) -> None:
        """Send a task to an idle rank."""
        del self._idle[worker]
        rank = self._ranks[self._numbers[worker]]
        rank.pending, rank.last_sign = [one.key for one in task.each], self._clock()
        self._wire.send(rank.info.rank, Tag.TASK, task.to_json())

    def wait(self, seconds: float) -> list[Message]:
        """Return messages of ranks, after `seconds` at the latest; the runs of a rank that hangs are failed.

        Raises:
            LaunchError: if all ranks are gone and this is the sole pool.
        """
        if not self._ranks and self._sole:
            raise LaunchError(f"no rank is left to train on; {self._last_cause}")
        deadline = time.monotonic() + seconds
        tries = 0
        while not (found := self._receive()) and time.monotonic() < deadline:
            backoff(tries)
            tries += 1
        return found

    def stop(self) -> list[Message]:
        """Ask all ranks to write checkpoints and leave; return without those that exceed the grace period."""
        found: list[Message] = []
        for rank in self._ranks:
            self._wire.send(rank, Tag.LEAVE)
        deadline = time.monotonic() + GRACE_SECONDS
        while self._ranks and time.monotonic() < deadline:
            found += self.wait(0.1)
        return found

    def kill(self) -> None:
        """End the whole job now, this rank included."""
        self._wire.abort(3)

    def _receive(self) -> list[Message]:
        found: list[Message] = []
        while (envelope := self._wire.receive()) is not None:
            found += self._note(envelope)
        now = self._clock()
        if now >= self._next_check:
            self._next_check = now + min(1.0, self._silence / 10)
            for rank in list(self._ranks.values()):
                patience = self._silence if rank.ready else max(self._silence, START_SECONDS)
                if now - rank.last_sign > patience and (rank.pending or not rank.ready):
                    found += self._give_up(rank, now)
        if now >= self._next_alive:
            self._next_alive = now + min(ALIVE_SECONDS, self._silence / 5)
            for number in self._ranks:
                self._wire.send(number, Tag.ALIVE)
        return found

    def _note(self, envelope: Envelope) -> list[Message]:
        rank = self._ranks.get(envelope.source)
        if rank is None:
            return []  # it was given up, and its run belongs to another rank
        rank.last_sign = self._clock()
        if envelope.tag == Tag.GONE:
            return self._depart(rank, DEPARTURE.validate_json(envelope.body))
        if envelope.tag != Tag.EVENT:
            return []
        event = event_from_json(envelope.body)
        if isinstance(event, Ready):
            rank.ready = True
        elif not isinstance(event, RunProgress) and event.key in rank.pending:
            rank.pending.remove(event.key)
        # A rank that has stopped is about to leave.
        if not isinstance(event, RunProgress | Stopped) and not rank.pending:
            self._idle[rank.info.name] = None
        return [Message(rank.info.name, event)]

    def _depart(self, rank: _Rank, departure: Departure) -> list[Message]:
        self._remove(rank)
        self.asked_to_stop |= departure.signaled
        if not departure.cause:
            return [Message(rank.info.name, Stopped(key)) for key in rank.pending]
        self._last_cause = f"the last one ({rank.info.name}) reported:\n{departure.cause}"
        return _failed(rank, f"its worker ended: {departure.cause}", "WorkerDied")

    def _give_up(self, rank: _Rank, now: float) -> list[Message]:
        self._remove(rank)
        info = rank.info
        silent = f"rank {info.rank} ({info.host} pid {info.pid}) was silent for {now - rank.last_sign:.0f} s"
        self._last_cause = f"{silent}, as were all others"
        for key in rank.pending:
            with contextlib.suppress(StoreError):  # then its claim is free once it is stale
                claims.evict(self._sweep, key, info.host, info.pid)
        return _failed(rank, f"{silent}; it gets no more runs", "WorkerSilent")

    def _remove(self, rank: _Rank) -> None:
        del self._ranks[rank.info.rank]
        self._idle.pop(rank.info.name, None)


def _failed(rank: _Rank, cause: str, error: str) -> list[Message]:
    return [
        Message(rank.info.name, Failed(key, cause, error, retry=True, infrastructure=True))
        for key in rank.pending
    ]


class CombinedPool(Pool):
    """Pools that share one graph of runs: MPI ranks, and a worker process next to rank 0.

    Args:
        pools: started; the names of their workers differ.
    """

    def __init__(self, *pools: Pool) -> None:
        self._pools = pools
        self._pool_of: dict[str, Pool] = {}

    def devices(self) -> set[str]:
        """Return the devices of all pools."""
        return {device for pool in self._pools for device in pool.devices()}

    def idle(self) -> list[str]:
        """Return the workers of all pools that wait for a task."""
        found: list[str] = []
        for pool in self._pools:
            names = pool.idle()
            self._pool_of |= dict.fromkeys(names, pool)
            found += names
        return found

    def starting(self) -> int:
        """Return how many workers of all pools are starting up."""
        return sum(pool.starting() for pool in self._pools)

    def give(self, worker: str, task: Task) -> None:
        """Send a task to an idle worker."""
        self._pool_of[worker].give(worker, task)

    def wait(self, seconds: float) -> Sequence[Message]:
        """Return messages of the workers of all pools, which are asked in turn."""
        deadline = time.monotonic() + seconds
        found: list[Message] = []
        while not found:
            for pool in self._pools:
                found += pool.wait(0.0 if found else _TURN_SECONDS)
            if time.monotonic() >= deadline:
                break
        return found

    def stop(self) -> Sequence[Message]:
        """Stop every pool."""
        return [message for pool in self._pools for message in pool.stop()]

    def kill(self) -> None:
        """Kill every pool, the MPI job last, because its end is the end of this process."""
        for pool in reversed(self._pools):
            pool.kill()
