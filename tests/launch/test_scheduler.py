"""Dependencies are respected, the longest remaining chain goes first, failures block only what depends on them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lthsweep.launch.scheduler import Node, Scheduler

ALIKE = [Node(f"t{number}", None, 1, group="g") for number in range(5)]

TRUNK_AND_TICKETS = [
    Node("trunk", None, 8),
    Node("k0", "trunk", 8),
    Node("k2", "trunk", 6),
    Node("deep", "k2", 6),
]


@st.composite
def graphs(draw):
    """Trees of runs with parents before children."""
    nodes = []
    for number in range(draw(st.integers(1, 30))):
        parents = [None, *(node.key for node in nodes)]
        cost = draw(st.integers(1, 9))
        group = draw(st.sampled_from([None, "g", "h"]))
        nodes.append(Node(f"n{number}", draw(st.sampled_from(parents)), cost, group))
    return nodes


def test_a_child_waits_for_its_parent():
    """It ranks the final weights of its parent."""
    scheduler = Scheduler(TRUNK_AND_TICKETS)

    assert scheduler.take() == "trunk"
    assert scheduler.take() is None
    assert scheduler.finish("trunk") == ["k0", "k2"]


def test_heads_of_longest_remaining_chains_go_first():
    """k2 is shorter than k0, but a level waits behind it."""
    scheduler = Scheduler(TRUNK_AND_TICKETS)
    scheduler.take()
    scheduler.finish("trunk")

    assert [scheduler.take(), scheduler.take()] == ["k2", "k0"]
    assert scheduler.remaining_chain("k2") == 12


def test_first_nodes_precede_longer_chains():
    """A worker job trains its share before it pulls other runs."""
    nodes = [Node("long", None, 9), Node("b", None, 1), Node("a", None, 2), Node("child", "long", 1)]
    scheduler = Scheduler(nodes, first={"a", "b", "child"})

    assert [scheduler.take() for _ in range(4)] == ["a", "b", "long", None]
    scheduler.requeue("b")
    scheduler.finish("long")
    assert [scheduler.take() for _ in range(2)] == ["b", "child"]


def test_first_nodes_lead_their_group():
    """Also if they are trained as one ensemble."""
    scheduler = Scheduler(ALIKE, first={"t3", "t4"})

    assert scheduler.take() == "t3"
    assert scheduler.take_with("t3", 2) == ["t4", "t0"]


def test_a_parent_outside_the_graph_is_finished():
    """Runs that have a record are no nodes."""
    assert Scheduler([Node("ticket", "finished trunk", 1)]).take() == "ticket"


def test_the_last_failed_attempt_blocks_descendants():
    """Earlier ones are repeated."""
    scheduler = Scheduler(TRUNK_AND_TICKETS, retries=1)

    scheduler.take()
    assert scheduler.fail("trunk") is True
    assert scheduler.take() == "trunk"
    assert scheduler.fail("trunk") is False

    assert scheduler.failed == {"trunk"}
    assert scheduler.blocked == {"k0", "k2", "deep"}
    assert scheduler.idle


def test_a_failure_that_would_repeat_is_final():
    """Retries would waste time."""
    scheduler = Scheduler([Node("a", None, 1)], retries=5)
    scheduler.take()

    assert scheduler.fail("a", retry=False) is False


def test_a_requeued_run_keeps_its_attempts():
    """A run that another coordinator holds was not attempted."""
    scheduler = Scheduler([Node("a", None, 1)], retries=0)
    for _ in range(5):
        assert scheduler.take() == "a"
        scheduler.requeue("a")

    scheduler.take()
    scheduler.finish("a")
    assert scheduler.idle


def test_ready_nodes_of_a_group_are_taken_together():
    """Longest chain first, without other groups and without nodes that wait for a parent."""
    others = [Node("other", None, 1, group="h"), Node("single", None, 1), Node("child", "t4", 7, group="g")]
    scheduler = Scheduler([*ALIKE, *others])

    assert scheduler.take() == "t4"  # its child makes it the longest
    assert scheduler.take_with("t4", 2) == ["t0", "t1"]
    assert scheduler.running == {"t4", "t0", "t1"}
    assert scheduler.take_with("t4", 9) == ["t2", "t3"]
    assert [scheduler.take() for _ in range(3)] == ["other", "single", None]


def test_a_failed_node_is_trained_alone():
    """A node that kills its worker fails the others of its ensemble only once."""
    scheduler = Scheduler(ALIKE, retries=1)
    for key in (scheduler.take(), *scheduler.take_with("t0", 2)):
        scheduler.fail(key)
    scheduler.requeue(scheduler.take(), alone=True)  # t0, which would have come first

    taken = {(key := scheduler.take()): scheduler.take_with(key, 9) for _ in range(4)}

    assert taken == {"t0": [], "t1": [], "t2": [], "t3": ["t4"]}


@given(nodes=graphs(), data=st.data())
def test_every_node_is_handed_out_once(nodes, data):
    """In its group and after its parent, however many nodes are taken together."""
    scheduler = Scheduler(nodes, retries=1)
    known = {node.key: node for node in nodes}
    attempts = dict.fromkeys(known, 0)
    alone = set()
    while not scheduler.idle:
        most = data.draw(st.integers(0, 4))
        lead = scheduler.take()
        taken = [lead, *scheduler.take_with(lead, most)]

        assert len(taken) <= 1 + most
        assert {known[key].group for key in taken} == {known[lead].group}
        assert len(taken) == 1 or (known[lead].group is not None and not alone & set(taken))
        for key in taken:
            assert known[key].parent is None or known[key].parent in scheduler.finished
            attempts[key] += 1
            if attempts[key] == 1 and data.draw(st.booleans()):
                scheduler.fail(key)
                alone.add(key)
            else:
                scheduler.finish(key)

    assert scheduler.finished == known.keys()
    assert attempts == {key: 1 + (key in alone) for key in known}


@given(nodes=graphs(), workers=st.integers(1, 6))
def test_list_scheduling_keeps_graham_s_bound(nodes, workers):
    """No idle worker while a run is ready, so makespan ≤ total/m + longest chain (Graham 1969)."""
    scheduler = Scheduler(nodes)
    costs = {node.key: node.cost for node in nodes}
    parents = {node.key: node.parent for node in nodes}
    now, running, ended = 0.0, {}, {}
    while not scheduler.idle:
        while len(running) < workers and (key := scheduler.take()) is not None:
            assert parents[key] is None or ended[parents[key]] <= now
            running[key] = now + costs[key]
        key = min(running, key=running.__getitem__)
        now = ended[key] = running.pop(key)
        scheduler.finish(key)

    longest = max(scheduler.remaining_chain(node.key) for node in nodes)
    assert len(ended) == len(nodes)
    assert max(sum(costs.values()) / workers, longest) <= now <= sum(costs.values()) / workers + longest
