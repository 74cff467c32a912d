"""How ready runs are divided among new worker jobs: every run once, and no job without enough work."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lthsweep.launch.scheduler import Node
from lthsweep.launch.slurm.shares import Share, divide

FLOOR = 10.0
"""Minimum length of a job in seconds."""


def runs(*costs):
    return [Node(f"r{number}", None, cost) for number, cost in enumerate(costs)]


def divided(nodes, taken=(), *, slots=1, has_workers=False, broken=()):
    return divide(nodes, taken, slots=slots, shortest=FLOOR, has_workers=has_workers, broken=broken)


def keys(shares):
    return [share.keys for share in shares]


@st.composite
def states(draw):
    """Trees of runs with parents before children, taken runs, and the arguments of `divide`."""
    nodes = []
    for number in range(draw(st.integers(0, 25))):
        parents = [None, "finished", *(node.key for node in nodes)]
        nodes.append(Node(f"n{number}", draw(st.sampled_from(parents)), draw(st.integers(1, 30))))
    some = st.sets(st.sampled_from([node.key for node in nodes])) if nodes else st.just(set())
    arguments = {
        "slots": draw(st.integers(1, 4)),
        "has_workers": draw(st.booleans()),
        "broken": draw(some),
    }
    return nodes, draw(some), arguments


def ready_of(nodes, taken):
    """The runs that a new job can start with."""
    left = {node.key for node in nodes}
    return {node.key for node in nodes if node.parent not in left} - taken


def total(key, nodes):
    """Seconds of a run and all of its descendants."""
    children = [node for node in nodes if node.parent == key]
    own = next(node.cost for node in nodes if node.key == key)
    return own + sum(total(child.key, nodes) for child in children)


@given(states())
def test_shares_have_ready_untaken_runs_once(state):
    """A run that waits for its parent or has a worker gets no job."""
    nodes, taken, arguments = state
    submitted = [key for share in divided(nodes, taken, **arguments) for key in share.keys]

    assert len(submitted) == len(set(submitted))
    assert set(submitted) <= ready_of(nodes, taken)


@given(states())
def test_only_a_short_remainder_gets_no_job(state):
    """Workers pull it, but no run whose last attempt broke."""
    nodes, taken, arguments = state
    shares = divided(nodes, taken, **arguments)
    rest = ready_of(nodes, taken) - {key for share in shares for key in share.keys}

    assert not rest or arguments["has_workers"] or shares
    assert not rest & arguments["broken"]
    assert sum(total(key, nodes) for key in rest) < FLOOR * arguments["slots"]


@given(states())
def test_every_share_but_the_last_fills_a_job(state):
    """With a run for each worker, and work of the minimum length for each."""
    nodes, taken, arguments = state
    shares = divided(nodes, taken, **arguments)
    slots = arguments["slots"]

    for share in shares[:-1]:
        assert len(share.keys) >= slots
        assert share.work >= FLOOR * slots
    for share in shares:
        assert share.work == sum(total(key, nodes) for key in share.keys)


@given(states())
def test_a_share_stops_when_it_fills_a_job(state):
    """A longer share would leave cores of the cluster unused."""
    nodes, taken, arguments = state
    slots = arguments["slots"]

    for share in divided(nodes, taken, **arguments):
        shorter = share.keys[:-1]
        assert len(shorter) < slots or sum(total(key, nodes) for key in shorter) < FLOOR * slots


@given(states())
def test_the_same_state_gives_the_same_shares(state):
    """Two coordinators that decide at the same time decide alike."""
    nodes, taken, arguments = state

    assert divided(nodes, sorted(taken), **arguments) == divided(nodes, sorted(taken)[::-1], **arguments)


@given(states())
def test_a_long_run_shares_no_one_worker_job(state):
    nodes, taken, arguments = state
    cost = {node.key: node.cost for node in nodes}

    for share in divided(nodes, taken, **arguments | {"slots": 1}):
        assert len(share.keys) == 1 or all(cost[key] < FLOOR for key in share.keys)


def test_long_runs_have_a_job_each():
    assert keys(divided(runs(30, 20, 10))) == [("r0",), ("r1",), ("r2",)]


def test_short_runs_share_a_job():
    """Each job costs a start of its workers and a place in the queue."""
    assert keys(divided(runs(*[4] * 6))) == [("r0", "r1", "r2"), ("r3", "r4", "r5")]


def test_descendants_count_as_work_of_a_share():
    """The job pulls them when their parent is finished."""
    dense = runs(2, 2)
    tickets = [Node(f"t{number}", "r0", 8) for number in range(4)]

    assert keys(divided([*dense, *tickets], has_workers=True)) == [("r0",)]


@pytest.mark.parametrize(("slots", "shares"), [(1, 4), (2, 2), (3, 2), (4, 1)])
def test_a_job_has_a_run_for_each_worker(slots, shares):
    """An idle worker would waste its core."""
    assert len(divided(runs(40, 40, 40, 40), slots=slots)) == shares


def test_the_longest_remaining_chain_goes_first():
    """It decides when the sweep is finished."""
    nodes = [Node("short", None, 12), Node("head", None, 11), Node("level", "head", 11)]

    assert keys(divided(nodes)) == [("head",), ("short",)]


@pytest.mark.parametrize(("has_workers", "shares"), [(True, []), (False, [("r0",)])])
def test_a_short_remainder_is_left_to_workers(has_workers, shares):
    """If there are any."""
    assert keys(divided(runs(3), has_workers=has_workers)) == shares


def test_a_short_remainder_is_left_to_new_jobs():
    """They pull it after their shares."""
    assert keys(divided(runs(30, 3))) == [("r0",)]


def test_a_broken_run_is_never_left_to_workers():
    """Only a job that has it in its share tries it again, so that its attempts are counted."""
    assert keys(divided(runs(30, 3), has_workers=True, broken={"r1"})) == [("r0",), ("r1",)]


def test_the_length_of_a_share_is_its_makespan():
    """On the workers of one job, in the order of the share."""
    assert divided(runs(12, 11), slots=2) == [Share(("r0", "r1"), 12.0, 23.0)]
    assert divided(runs(9, 5, 4, 3), slots=2) == [Share(("r0", "r1", "r2", "r3"), 12.0, 21.0)]


def test_a_sweep_without_ready_runs_needs_no_job():
    assert divided([], has_workers=False) == []
    assert divided([Node("dense", None, 30), Node("ticket", "dense", 30)], {"dense"}) == []
