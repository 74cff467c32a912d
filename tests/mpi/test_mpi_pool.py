"""The pool of MPI ranks and a rank's line, over a wire of this process and a clock that jumps: no MPI is needed."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import pytest

from lthsweep.errors import LaunchError
from lthsweep.launch.dispatch import Heard, work_off
from lthsweep.launch.mpi.pool import START_SECONDS, MpiPool, gather_hellos
from lthsweep.launch.mpi.ranks import Hello
from lthsweep.launch.mpi.wire import Parcel, Tag
from lthsweep.launch.mpi.worker import MpiLine
from lthsweep.launch.scheduler import Node, Scheduler
from lthsweep.launch.slots import Slot
from lthsweep.launch.task import Message, Task
from lthsweep.store import claims
from lthsweep.store.layout import SweepDir
from lthsweep.store.owners import Owner


class FakeWire:
    """Rank 0's wire: what was sent is kept, what is to be received is put in."""

    rank, size = 0, 3

    def __init__(self):
        self.sent = []
        self.coming = deque()

    def send(self, to, tag, values):
        self.sent.append((to, tag, values))

    def receive(self):
        return self.coming.popleft() if self.coming else None

    def abort(self, code):
        self.sent.append(("all", "abort", code))

    def say(self, rank, kind, key="", **values):
        self.coming.append(Parcel(rank, Tag.MESSAGE, {"kind": kind, "key": key, "values": values}))

    def tags(self, rank):
        return [tag for to, tag, _ in self.sent if to == rank]


HELLOS = [Hello(rank, "node", 100 + rank, (0, 1), "", 0) for rank in (1, 2)]
ONE, TWO = (hello.name for hello in HELLOS)


def a_task(key="k"):
    return Task(key, "dense", {}, key, None, 0, 0, key, {"seconds": 0}, None, operation="sleep")


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
    return MpiPool(sweep, wire, HELLOS, slots, silence=100, clock=lambda: now[0])


def ready(pool, wire, *ranks):
    for rank in ranks:
        wire.say(rank, "ready")
    pool.wait(0)


def test_a_rank_is_told_its_place_and_is_idle_once_it_is_ready(pool, wire):
    assert wire.sent[0][2] | {"sweep": ""} == {
        "sweep": "",
        "silence": 100,
        "device": "cpu",
        "cores": (0,),
        "threads": 1,
    }
    assert pool.idle() == []

    ready(pool, wire, 2)

    assert pool.idle() == [TWO]


def test_a_rank_with_a_task_is_not_idle_until_it_says_how_it_ended(pool, wire):
    ready(pool, wire, 1)
    pool.give(ONE, a_task())
    wire.say(1, "progress", "k")
    pool.wait(0)
    assert pool.idle() == []

    wire.say(1, "finished", "k", outcome="slept")

    assert pool.wait(0) == [Heard(ONE, Message("finished", "k", {"outcome": "slept"}))]
    assert pool.idle() == [ONE]


def test_a_rank_that_hangs_loses_its_run_and_its_claim_and_gets_none_again(pool, wire, sweep, now):
    """It lives, so its claim would be respected for ever on this machine."""
    holder = Owner("node", "elsewhere", 101, 1, "token")
    assert claims.take(sweep, "k", holder, stale_seconds=900)
    ready(pool, wire, 1, 2)
    pool.give(ONE, a_task())
    now[0] = 101

    (heard,) = pool.wait(0)
    wire.say(1, "finished", "k", outcome="slept")  # it woke up

    assert (heard.message.kind, heard.message.values["retry"]) == ("failed", True)
    assert "rank 1 (node pid 101) said nothing for 101 s" in heard.message.values["cause"]
    assert claims.holder(sweep, "k", 900) is None
    assert pool.wait(0) == []
    assert pool.idle() == [TWO]


def a_bundle(*keys):
    lead, *companions = map(a_task, keys)
    return replace(lead, companions=companions)


def test_a_rank_with_several_runs_is_idle_when_it_has_said_how_each_ended(pool, wire):
    """A run that is returned is handed out again, and the rank stays."""
    ready(pool, wire, 1)
    pool.give(ONE, a_bundle("k", "l", "m"))
    for kind, key in (("finished", "l"), ("progress", "m"), ("held", "k"), ("finished", "l")):
        wire.say(1, kind, key)
        pool.wait(0)
        assert pool.idle() == []

    wire.say(1, "returned", "m", width=1)
    pool.wait(0)

    assert pool.idle() == [ONE]


def test_a_rank_that_hangs_loses_all_its_runs_but_those_that_it_has_finished(pool, wire, sweep, now):
    holder = Owner("node", "elsewhere", 101, 1, "token")
    assert all(claims.take(sweep, key, holder, stale_seconds=900) for key in "klm")
    ready(pool, wire, 1)
    pool.give(ONE, a_bundle("k", "l", "m"))
    wire.say(1, "finished", "l")
    pool.wait(0)
    now[0] = 101

    heard = pool.wait(0)

    assert [(one.message.kind, one.message.key) for one in heard] == [("failed", "k"), ("failed", "m")]
    assert [claims.holder(sweep, key, 900) is None for key in "klm"] == [True, False, True]


def test_progress_keeps_a_rank_from_being_given_up_and_idle_ranks_may_be_silent(pool, wire, now):
    ready(pool, wire, 1, 2)
    pool.give(ONE, a_task())
    for moment in range(0, 1000, 90):
        now[0] = moment
        wire.say(1, "progress", "k")
        assert [heard.message.kind for heard in pool.wait(0)] == ["progress"]

    assert pool.idle() == [TWO]


def test_a_rank_may_take_long_to_import_torch(pool, wire, now):
    now[0] = START_SECONDS - 1
    pool.wait(0)
    ready(pool, wire, 1)

    assert pool.idle() == [ONE]


def test_without_any_rank_the_pool_says_why(pool, wire):
    for rank in (1, 2):
        wire.coming.append(Parcel(rank, Tag.GONE, {"cause": "ImportError: no libtorch", "signaled": False}))
    pool.wait(0)

    with pytest.raises(LaunchError, match=r"(?s)no rank is left to train on; .*no libtorch"):
        pool.wait(0)


def test_a_rank_that_was_signaled_asks_for_the_end_of_all(pool, wire):
    ready(pool, wire, 1, 2)
    pool.give(ONE, a_task())
    wire.say(1, "stopped", "k")
    wire.coming.append(Parcel(1, Tag.GONE, {"cause": "", "signaled": True}))

    heard = pool.wait(0)

    assert [one.message.kind for one in heard] == ["stopped"]
    assert pool.asked_to_stop
    assert pool.idle() == [TWO]


def test_stopping_waits_for_the_last_messages(pool, wire):
    ready(pool, wire, 1, 2)
    pool.give(ONE, a_task())
    wire.say(1, "stopped", "k")
    for rank in (1, 2):
        wire.coming.append(Parcel(rank, Tag.GONE, {"cause": "", "signaled": False}))

    heard = pool.stop()

    assert [one.message.kind for one in heard] == ["stopped"]
    assert wire.tags(1)[-1] == wire.tags(2)[-1] == Tag.LEAVE


def test_rank_0_tells_the_others_that_it_is_there(pool, wire, now):
    now[0] = 30
    pool.wait(0)

    assert Tag.ALIVE in wire.tags(1)
    assert Tag.ALIVE in wire.tags(2)


def test_the_one_loop_drives_ranks(pool, wire):
    """Every task is answered at once, by whom it was given to."""
    send = wire.send

    def answer(to, tag, values):
        send(to, tag, values)
        if tag == Tag.TASK:
            wire.say(to, "finished", Task.from_json(values["task"]).key, outcome="slept")
        elif tag == Tag.LEAVE:
            wire.coming.append(Parcel(to, Tag.GONE, {"cause": "", "signaled": False}))

    wire.send = answer
    ready(pool, wire, 1, 2)

    tally = work_off(Scheduler([Node("a", None, 1), Node("b", "a", 1), Node("c", None, 1)]), pool, a_task)

    assert sorted(tally.finished) == ["a", "b", "c"]


def test_ranks_that_do_not_start_are_named(wire):
    wire.coming.append(Parcel(2, Tag.HELLO, HELLOS[1].to_dict()))

    with pytest.raises(LaunchError, match="rank 1 of 3 did not start within 0 s"):
        gather_hellos(wire, seconds=0)


def test_a_line_closes_when_rank_0_is_silent_for_too_long(wire, now):
    """A network that is lost says nothing, for ever."""
    line = MpiLine(wire, silence=100, clock=lambda: now[0])
    wire.coming.append(Parcel(0, Tag.TASK, {"task": a_bundle("k", "l").to_json()}))
    assert line.take() == a_bundle("k", "l")
    now[0] = 99
    assert not line.is_closed()
    wire.coming.append(Parcel(0, Tag.ALIVE, {}))
    assert not line.is_closed()
    now[0] = 198
    assert not line.is_closed()

    now[0] = 200

    assert line.is_closed()
    assert line.deserted
    assert line.take() is None


def test_a_line_closes_when_rank_0_or_a_signal_says_so(wire):
    line, other = MpiLine(wire), MpiLine(wire)
    other.close()
    assert other.is_closed()

    wire.coming.append(Parcel(0, Tag.LEAVE, {}))

    assert line.is_closed()
    assert (line.signaled, other.signaled) == (False, True)
