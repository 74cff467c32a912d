"""The one loop, driven by a pool of workers that live in this process and do what a script says."""

from __future__ import annotations

from collections import deque

from lthsweep.launch.dispatch import HELD_SECONDS, Heard, work_off
from lthsweep.launch.scheduler import Node, Scheduler
from lthsweep.launch.task import Message, Task


def keys(task):
    return [task] if isinstance(task, str) else [one.key for one in task.together]


def a_task(key):
    return Task(key, "ticket", {}, "trunk", "trunk", 1, 0, key, {}, None)


class ScriptedPool:
    """Two workers; each task is answered at once with the next message of its key's script, else "finished"."""

    def __init__(self, script=()):
        self.script = {key: deque(messages) for key, messages in dict(script).items()}
        self.given = []
        self.busy = {}
        self.stopped = False
        self.late = 0

    def idle(self):
        return [name for name in ("a", "b") if name not in self.busy]

    def starting(self):
        return self.late

    def give(self, worker, task):
        self.given.append(task)
        self.busy[worker] = task

    def wait(self, seconds):
        heard = [Heard(worker, self._answer(key)) for worker, task in self.busy.items() for key in keys(task)]
        self.busy.clear()
        return heard

    def stop(self):
        self.stopped = True
        heard = [
            Heard(worker, Message("stopped", key)) for worker, task in self.busy.items() for key in keys(task)
        ]
        self.busy.clear()
        return heard

    def _answer(self, key):
        script = self.script.get(key)
        return script.popleft() if script else Message("finished", key)


NODES = [Node("trunk", None, 2), Node("x", "trunk", 1), Node("y", "trunk", 1)]


def test_everything_is_trained_once_in_order():
    pool = ScriptedPool()

    tally = work_off(Scheduler(NODES), pool, lambda key: key)

    assert pool.given == ["trunk", "x", "y"]
    assert tally.finished == ["trunk", "x", "y"]
    assert pool.stopped


def test_a_failed_attempt_is_repeated_and_the_others_go_on():
    crash = Message("failed", "x", {"cause": "killed", "retry": True})
    pool = ScriptedPool({"x": [crash]})

    tally = work_off(Scheduler(NODES, retries=1), pool, lambda key: key)

    assert sorted(tally.finished) == ["trunk", "x", "y"]
    assert pool.given.count("x") == 2
    assert not tally.failed


def test_a_run_that_fails_for_good_is_named_with_its_cause_and_what_it_blocks():
    crash = Message("failed", "trunk", {"cause": "no weights to rank", "retry": False})

    tally = work_off(Scheduler(NODES, retries=3), ScriptedPool({"trunk": [crash]}), lambda key: key)

    assert tally.failed == {"trunk": "no weights to rank"}
    assert tally.blocked == ["x", "y"]


def test_a_run_that_another_coordinator_holds_is_asked_for_again_later():
    """Two people run one sweep: nobody trains twice, nobody gives up."""
    now = [0.0]
    pool = ScriptedPool({"trunk": [Message("held", "trunk")]})
    waits = []
    plain_wait = pool.wait

    def wait(seconds):
        waits.append(now[0])
        now[0] += 1.0
        return plain_wait(seconds)

    pool.wait = wait
    tally = work_off(Scheduler(NODES), pool, lambda key: key, clock=lambda: now[0])

    assert sorted(tally.finished) == ["trunk", "x", "y"]
    assert pool.given == ["trunk", "trunk", "x", "y"]
    assert len([moment for moment in waits if moment < HELD_SECONDS]) == HELD_SECONDS


def test_asked_to_stop_the_loop_stops_the_pool_and_says_so():
    pool = ScriptedPool()
    answers = iter([False, True])

    tally = work_off(Scheduler(NODES), pool, lambda key: key, asked_to_stop=lambda: next(answers))

    assert tally.stopped
    assert pool.stopped
    assert tally.finished == ["trunk"]


def test_the_listener_hears_every_message():
    heard = []

    work_off(Scheduler(NODES), ScriptedPool(), lambda key: key, listen=heard.append)

    assert [(one.message.kind, one.message.key) for one in heard] == [
        ("finished", "trunk"),
        ("finished", "x"),
        ("finished", "y"),
    ]


def alike(count):
    return [Node("trunk", None, 2), *(Node(f"t{n}", "trunk", 1, "g") for n in range(count))]


def test_runs_that_may_be_trained_as_one_go_to_a_worker_together_and_none_is_left_without():
    """When the trunk is finished all its tickets become ready at once."""
    pool = ScriptedPool()

    tally = work_off(Scheduler(alike(7)), pool, a_task, most=lambda worker, key: 5)

    assert list(map(keys, pool.given)) == [["trunk"], ["t0", "t1", "t2", "t3"], ["t4", "t5", "t6"]]
    assert sorted(tally.finished) == sorted(node.key for node in alike(7))


def test_workers_that_start_up_find_something_left():
    """A sweep that goes on hands out tickets to the first worker that is ready."""
    pool = ScriptedPool()
    pool.late = 6

    work_off(Scheduler(alike(8)[1:]), pool, a_task, most=lambda worker, key: 8)

    assert [len(task.together) for task in pool.given[:2]] == [1, 1]


def test_no_more_than_a_worker_trains_as_one_go_to_it():
    pool = ScriptedPool()

    work_off(Scheduler(alike(9)), pool, a_task, most=lambda worker, key: {"a": 3, "b": 1}[worker])

    assert [len(task.together) for task in pool.given] == [1, 3, 1, 3, 1, 1]


def test_of_runs_that_were_lost_together_each_is_tried_again_alone():
    crash = {key: [Message("failed", key, {"cause": "killed", "retry": True})] for key in ("t0", "t1")}
    pool = ScriptedPool(crash)

    tally = work_off(Scheduler(alike(4), retries=1), pool, a_task, most=lambda worker, key: 2)

    assert list(map(keys, pool.given)) == [["trunk"], ["t0", "t1"], ["t2", "t3"], ["t0"], ["t1"]]
    assert not tally.failed


def test_a_run_that_a_worker_returns_is_handed_out_again():
    back = {"t1": [Message("returned", "t1", {"alone": True}), Message("returned", "t1")]}
    pool = ScriptedPool(back)

    tally = work_off(Scheduler(alike(2)[1:]), pool, a_task, most=lambda worker, key: 1)

    assert list(map(keys, pool.given)) == [["t0"], ["t1"], ["t1"], ["t1"]]
    assert sorted(tally.finished) == ["t0", "t1"]
