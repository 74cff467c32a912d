"""The pool of MPI ranks and the channel of a rank, with a fake wire and a fake clock; no MPI is needed."""

from __future__ import annotations

from collections import deque

import pytest

from lthsweep.errors import LaunchError
from lthsweep.launch.dispatch import dispatch
from lthsweep.launch.events import (
    Failed,
    Finished,
    Held,
    Message,
    Ready,
    Requeued,
    RunProgress,
    Stopped,
    TaskOutcome,
    event_to_json,
)
from lthsweep.launch.mpi.pool import START_SECONDS, MpiPool, gather_ranks
from lthsweep.launch.mpi.rank_worker import MpiChannel
from lthsweep.launch.mpi.ranks import DEPARTURE, RANK_INFO, RANK_SLOT, Departure, RankInfo, RankSlot
from lthsweep.launch.mpi.wire import Envelope, Tag
from lthsweep.launch.scheduler import Node, Scheduler
from lthsweep.launch.slots import Slot
from lthsweep.launch.task import Task
from lthsweep.store import claims
from lthsweep.store.layout import SweepDir
from lthsweep.store.owners import Owner
from tests.launch.cases import make_task

pytestmark = pytest.mark.slow


class FakeWire:
    """The wire of rank 0: it keeps sent messages, and returns those that a test puts in."""

    rank, size = 0, 3

    def __init__(self):
        self.sent = []
        self.coming = deque()

    def send(self, to, tag, body=""):
        self.sent.append((to, tag, body))

    def receive(self):
        return self.coming.popleft() if self.coming else None

    def abort(self, code):
        self.sent.append(("all", "abort", code))

    def report(self, rank, event):
        self.coming.append(Envelope(rank, Tag.EVENT, event_to_json(event)))

    def depart(self, rank, **values):
        self.coming.append(Envelope(rank, Tag.GONE, DEPARTURE.dump_json(Departure(**values)).decode()))

    def tags(self, rank):
        return [tag for to, tag, _ in self.sent if to == rank]


RANKS = [RankInfo(rank, "node", 100 + rank, (0, 1), "", 0) for rank in (1, 2)]
ONE, TWO = (info.name for info in RANKS)


@pytest.fixture
def now():
    return [0.0]


@pytest.fixture
def wire():
    return FakeWire()


@pytest.fixture
def sweep(tmp_path):
    return SweepDir(tmp_path / "sweep").create()


@pytest.fixture
def pool(wire, sweep, now):
    slots = {1: Slot("cpu", (0,), 1), 2: Slot("cpu", (1,), 1)}
    return MpiPool(sweep, wire, RANKS, slots, silence=100, clock=lambda: now[0])


def ready(pool, wire, *ranks):
    for rank in ranks:
        wire.report(rank, Ready())
    pool.wait(0)


def test_a_rank_gets_a_slot_and_becomes_idle(pool, wire, sweep):
    """Idle once it is ready."""
    place = RankSlot(sweep.path.resolve(), Slot("cpu", (0,), 1), silence=100)
    assert RANK_SLOT.validate_json(wire.sent[0][2]) == place
    assert pool.idle() == []

    ready(pool, wire, 2)

    assert pool.idle() == [TWO]


def test_a_rank_is_busy_until_its_report(pool, wire):
    ready(pool, wire, 1)
    pool.give(ONE, make_task("k"))
    wire.report(1, RunProgress("k"))
    pool.wait(0)
    assert pool.idle() == []

    wire.report(1, Finished("k", TaskOutcome.SLEPT))

    assert pool.wait(0) == [Message(ONE, Finished("k", TaskOutcome.SLEPT))]
    assert pool.idle() == [ONE]


def test_a_rank_that_hangs_loses_its_claim(pool, wire, sweep, now):
    """Its process is alive, so the claim would never be stale on this machine. It gets no more runs."""
    holder = Owner("node", "elsewhere", 101, 1, "token")
    assert claims.take(sweep, "k", holder, stale_seconds=900)
    ready(pool, wire, 1, 2)
    pool.give(ONE, make_task("k"))
    now[0] = 101

    (message,) = pool.wait(0)
    wire.report(1, Finished("k", TaskOutcome.SLEPT))  # it woke up

    assert isinstance(message.event, Failed)
    assert message.event.retry
    assert "rank 1 (node pid 101) was silent for 101 s" in message.event.cause
    assert claims.holder(sweep, "k", 900) is None
    assert pool.wait(0) == []
    assert pool.idle() == [TWO]


def test_ranks_are_busy_until_all_runs_end(pool, wire):
    """A requeued run is one of them."""
    ready(pool, wire, 1)
    pool.give(ONE, make_task("k", "l", "m"))
    for event in (Finished("l"), RunProgress("m"), Held("k"), Finished("l")):
        wire.report(1, event)
        pool.wait(0)
        assert pool.idle() == []

    wire.report(1, Requeued("m", fuse_width=1))
    pool.wait(0)

    assert pool.idle() == [ONE]


def test_a_rank_that_hangs_loses_unfinished_runs(pool, wire, sweep, now):
    """A finished run of the ensemble has its record."""
    holder = Owner("node", "elsewhere", 101, 1, "token")
    assert all(claims.take(sweep, key, holder, stale_seconds=900) for key in "klm")
    ready(pool, wire, 1)
    pool.give(ONE, make_task("k", "l", "m"))
    wire.report(1, Finished("l"))
    pool.wait(0)
    now[0] = 101

    messages = pool.wait(0)

    assert [(type(one.event), one.event.key) for one in messages] == [(Failed, "k"), (Failed, "m")]
    assert [claims.holder(sweep, key, 900) is None for key in "klm"] == [True, False, True]


def test_progress_and_idleness_are_no_hang(pool, wire, now):
    """An idle rank has nothing to report."""
    ready(pool, wire, 1, 2)
    pool.give(ONE, make_task("k"))
    for moment in range(0, 1000, 90):
        now[0] = moment
        wire.report(1, RunProgress("k"))
        assert [message.event for message in pool.wait(0)] == [RunProgress("k")]

    assert pool.idle() == [TWO]


def test_a_rank_can_take_long_to_start(pool, wire, now):
    """Hundreds of ranks import torch from one file system."""
    now[0] = START_SECONDS - 1
    pool.wait(0)
    ready(pool, wire, 1)

    assert pool.idle() == [ONE]


def test_a_pool_without_ranks_raises(pool, wire):
    """The message contains the last cause."""
    for rank in (1, 2):
        wire.depart(rank, cause="ImportError: no libtorch")
    pool.wait(0)

    with pytest.raises(LaunchError, match=r"(?s)no rank is left to train on; .*no libtorch"):
        pool.wait(0)


def test_a_signal_to_one_rank_stops_all(pool, wire):
    """`mpirun` can pass a signal on to some ranks only."""
    ready(pool, wire, 1, 2)
    pool.give(ONE, make_task("k"))
    wire.report(1, Stopped("k"))
    wire.depart(1, signaled=True)

    messages = pool.wait(0)

    assert [one.event for one in messages] == [Stopped("k")]
    assert pool.asked_to_stop
    assert pool.idle() == [TWO]


def test_stop_waits_for_the_last_messages(pool, wire):
    """They tell which runs have checkpoints."""
    ready(pool, wire, 1, 2)
    pool.give(ONE, make_task("k"))
    wire.report(1, Stopped("k"))
    for rank in (1, 2):
        wire.depart(rank)

    messages = pool.stop()

    assert [one.event for one in messages] == [Stopped("k")]
    assert wire.tags(1)[-1] == wire.tags(2)[-1] == Tag.LEAVE


def test_rank_0_sends_signs_of_life(pool, wire, now):
    """Without them ranks take it for dead."""
    now[0] = 30
    pool.wait(0)

    assert Tag.ALIVE in wire.tags(1)
    assert Tag.ALIVE in wire.tags(2)


def test_the_scheduling_loop_drives_ranks(pool, wire):
    """The fake ranks finish every task at once."""
    send = wire.send

    def answer(to, tag, body=""):
        send(to, tag, body)
        if tag == Tag.TASK:
            wire.report(to, Finished(Task.from_json(body).key, TaskOutcome.SLEPT))
        elif tag == Tag.LEAVE:
            wire.depart(to)

    wire.send = answer
    ready(pool, wire, 1, 2)

    summary = dispatch(
        Scheduler([Node("a", None, 1), Node("b", "a", 1), Node("c", None, 1)]), pool, make_task
    )

    assert sorted(summary.finished) == ["a", "b", "c"]


def test_ranks_that_do_not_start_are_named(wire):
    """The user can look for their hosts."""
    wire.coming.append(Envelope(2, Tag.HELLO, RANK_INFO.dump_json(RANKS[1]).decode()))

    with pytest.raises(LaunchError, match="rank 1 of 3 did not start within 0 s"):
        gather_ranks(wire, seconds=0)


def test_a_channel_closes_when_rank_0_is_silent(wire, now):
    """A lost network reports no error."""
    channel = MpiChannel(wire, silence=100, clock=lambda: now[0])
    wire.coming.append(Envelope(0, Tag.TASK, make_task("k", "l").to_json()))
    assert channel.receive().to_json() == make_task("k", "l").to_json()
    now[0] = 99
    assert not channel.is_closed()
    wire.coming.append(Envelope(0, Tag.ALIVE))
    assert not channel.is_closed()
    now[0] = 198
    assert not channel.is_closed()

    now[0] = 200

    assert channel.is_closed()
    assert channel.deserted
    assert channel.receive() is None


def test_a_channel_closes_on_request_or_signal(wire):
    """`signaled` distinguishes the two."""
    channel, other = MpiChannel(wire), MpiChannel(wire)
    other.close()
    assert other.is_closed()

    wire.coming.append(Envelope(0, Tag.LEAVE))

    assert channel.is_closed()
    assert (channel.signaled, other.signaled) == (False, True)
