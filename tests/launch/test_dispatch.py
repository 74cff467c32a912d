"""The scheduling loop, with workers that live in this process and follow a script."""

from __future__ import annotations

import pytest

from lthsweep.launch.dispatch import HELD_SECONDS, Elsewhere, dispatch
from lthsweep.launch.events import Failed, Finished, Held, Requeued
from lthsweep.launch.scheduler import Node, Scheduler
from tests.launch.cases import ScriptedPool, make_task

NODES = [Node("trunk", None, 2), Node("x", "trunk", 1), Node("y", "trunk", 1)]


def test_every_run_is_trained_once_in_order():
    """Parents before children."""
    pool = ScriptedPool()

    summary = dispatch(Scheduler(NODES), pool, make_task)

    assert pool.given_keys == [["trunk"], ["x"], ["y"]]
    assert summary.finished == ["trunk", "x", "y"]
    assert pool.stopped


def test_a_failed_attempt_is_repeated():
    """The other runs go on."""
    pool = ScriptedPool({"x": [Failed("x", "killed", retry=True)]})

    summary = dispatch(Scheduler(NODES, retries=1), pool, make_task)

    assert sorted(summary.finished) == ["trunk", "x", "y"]
    assert pool.given_keys.count(["x"]) == 2
    assert not summary.failed


@pytest.mark.parametrize("retries", [0, 2])
def test_the_last_attempt_reports_no_retry(retries):
    """The display promises another attempt only if there is one."""
    crash = Failed("trunk", "killed", retry=True)
    pool = ScriptedPool({"trunk": [crash] * (retries + 1)})
    received = []

    dispatch(Scheduler(NODES, retries=retries), pool, make_task, on_message=received.append)

    failures = [one.event.retry for one in received if isinstance(one.event, Failed)]
    assert failures == [True] * retries + [False]


def test_a_final_failure_blocks_descendants():
    """The summary names the cause."""
    crash = Failed("trunk", "no weights to rank", retry=False)

    summary = dispatch(Scheduler(NODES, retries=3), ScriptedPool({"trunk": [crash]}), make_task)

    assert summary.failed == {"trunk": "no weights to rank"}
    assert summary.blocked == ["x", "y"]


def test_a_held_run_is_handed_out_again_later():
    """Two coordinators share a sweep: no run is trained twice, and none is lost."""
    now = [0.0]
    pool = ScriptedPool({"trunk": [Held("trunk")]})
    waits = []
    plain_wait = pool.wait

    def wait(seconds):
        waits.append(now[0])
        now[0] += 1.0
        return plain_wait(seconds)

    pool.wait = wait
    summary = dispatch(Scheduler(NODES), pool, make_task, clock=lambda: now[0])

    assert sorted(summary.finished) == ["trunk", "x", "y"]
    assert pool.given_keys == [["trunk"], ["trunk"], ["x"], ["y"]]
    assert len([moment for moment in waits if moment < HELD_SECONDS]) == HELD_SECONDS


def test_runs_recorded_elsewhere_are_not_handed_out():
    """Their children are ready."""
    pool = ScriptedPool()
    answers = {"trunk": Elsewhere.DONE, "x": Elsewhere.DIVERGED}

    summary = dispatch(Scheduler([*NODES, Node("z", "x", 1)]), pool, make_task, elsewhere=answers.get)

    assert pool.given_keys == [["y"]]
    assert summary.present == ["trunk", "x"]
    assert summary.finished == ["y"]
    assert summary.skipped == ["z"]


def test_a_failure_elsewhere_blocks_descendants():
    """It is final, and is not reported as a failure of this coordinator."""
    pool = ScriptedPool()
    nodes = [*NODES, Node("other", None, 1)]

    summary = dispatch(
        Scheduler(nodes, retries=3), pool, make_task, elsewhere={"trunk": Elsewhere.FAILED}.get
    )

    assert pool.given_keys == [["other"]]
    assert summary.blocked == ["x", "y"]
    assert not summary.failed


def test_a_run_held_elsewhere_is_asked_for_again():
    """Until the other coordinator has finished with it."""
    now, answers = [0.0], {"trunk": [Elsewhere.HELD, Elsewhere.HELD, Elsewhere.DONE]}
    pool = ScriptedPool()
    pool.wait = advancing(now, pool.wait)

    summary = dispatch(
        Scheduler(NODES),
        pool,
        make_task,
        elsewhere=lambda key: answers[key].pop(0) if answers.get(key) else None,
        clock=lambda: now[0],
    )

    assert now[0] >= 2 * HELD_SECONDS
    assert sorted(pool.given_keys) == [["x"], ["y"]]
    assert summary.present == ["trunk"]


def test_companions_held_elsewhere_are_not_handed_out():
    """Nor those with a record or a final failure."""
    answers = {"t1": Elsewhere.DONE, "t2": Elsewhere.HELD, "t3": Elsewhere.FAILED}
    pool = ScriptedPool()

    summary = dispatch(
        Scheduler(one_group(6)[1:]),
        pool,
        make_task,
        fuse_width=lambda worker, key: 6,
        elsewhere=answers.get,
        patience=lambda: 0.0,
    )

    assert sorted(key for given in pool.given_keys for key in given) == ["t0", "t4", "t5"]
    assert summary.present == ["t1"]


def test_patience_leaves_held_runs_to_others():
    """A job must not occupy its cores while it waits for the runs of other jobs."""
    now = [0.0]
    pool = ScriptedPool()
    pool.wait = advancing(now, pool.wait)

    summary = dispatch(
        Scheduler([*NODES, Node("other", None, 1)]),
        pool,
        make_task,
        elsewhere={"trunk": Elsewhere.HELD}.get,
        patience=lambda: 10.0,
        clock=lambda: now[0],
    )

    assert pool.given_keys == [["other"]]
    assert 10 < now[0] <= 13
    assert not summary.stopped
    assert pool.stopped


def test_a_long_run_does_not_exhaust_the_patience():
    """It can make other runs ready."""
    now = [0.0]
    pool = ScriptedPool()
    finish = pool.wait
    pool.wait = advancing(now, lambda seconds: finish(seconds) if now[0] >= 50 else [])

    summary = dispatch(
        Scheduler([*NODES, Node("other", None, 1)]),
        pool,
        make_task,
        elsewhere={"other": Elsewhere.HELD}.get,
        patience=lambda: 10.0,
        clock=lambda: now[0],
    )

    assert sorted(summary.finished) == ["trunk", "x", "y"]


def advancing(now, wait):
    """Wait, and let a second pass on a clock."""

    def advance(seconds):
        now[0] += 1.0
        return wait(seconds)

    return advance


def test_a_request_to_stop_stops_the_pool():
    """The summary reports it."""
    pool = ScriptedPool()
    answers = iter([False, True])

    summary = dispatch(Scheduler(NODES), pool, make_task, should_stop=lambda: next(answers))

    assert summary.stopped
    assert pool.stopped
    assert summary.finished == ["trunk"]


def test_on_message_receives_every_message():
    """Displays and failure files are made from them."""
    received = []

    dispatch(Scheduler(NODES), ScriptedPool(), make_task, on_message=received.append)

    assert [message.event for message in received] == [Finished("trunk"), Finished("x"), Finished("y")]


def one_group(count):
    return [Node("trunk", None, 2), *(Node(f"t{n}", "trunk", 1, "g") for n in range(count))]


def test_a_group_is_shared_among_idle_workers():
    """When the dense run is finished, all its tickets are ready at once."""
    pool = ScriptedPool()

    summary = dispatch(Scheduler(one_group(7)), pool, make_task, fuse_width=lambda worker, key: 5)

    assert pool.given_keys == [["trunk"], ["t0", "t1", "t2", "t3"], ["t4", "t5", "t6"]]
    assert sorted(summary.finished) == sorted(node.key for node in one_group(7))


def test_starting_workers_find_runs_left():
    """A resumed sweep has ready tickets before all workers are ready."""
    pool = ScriptedPool()
    pool.late = 6

    dispatch(Scheduler(one_group(8)[1:]), pool, make_task, fuse_width=lambda worker, key: 8)

    assert [len(given) for given in pool.given_keys[:2]] == [1, 1]


def test_ensembles_are_no_larger_than_the_fuse_width():
    """The width depends on the worker's device."""
    pool = ScriptedPool()

    dispatch(
        Scheduler(one_group(9)), pool, make_task, fuse_width=lambda worker, key: {"a": 3, "b": 1}[worker]
    )

    assert [len(given) for given in pool.given_keys] == [1, 3, 1, 3, 1, 1]


def test_runs_lost_together_are_retried_alone():
    """One of them may be the reason."""
    pool = ScriptedPool({key: [Failed(key, "killed", retry=True)] for key in ("t0", "t1")})

    summary = dispatch(Scheduler(one_group(4), retries=1), pool, make_task, fuse_width=lambda worker, key: 2)

    assert pool.given_keys == [["trunk"], ["t0", "t1"], ["t2", "t3"], ["t0"], ["t1"]]
    assert not summary.failed


def test_a_requeued_run_is_handed_out_again():
    """As often as a worker returns it."""
    pool = ScriptedPool({"t1": [Requeued("t1", alone=True), Requeued("t1")]})

    summary = dispatch(Scheduler(one_group(2)[1:]), pool, make_task, fuse_width=lambda worker, key: 1)

    assert pool.given_keys == [["t0"], ["t1"], ["t1"], ["t1"]]
    assert sorted(summary.finished) == ["t0", "t1"]
