"""The scheduling loop, with workers that live in this process and follow a script."""

from __future__ import annotations

from collections import deque

from lthsweep.launch.dispatch import HELD_SECONDS, dispatch
from lthsweep.launch.events import Failed, Finished, Held, Message, Requeued, Stopped
from lthsweep.launch.scheduler import Node, Scheduler
from tests.launch.cases import make_task


def keys(task):
    return [one.key for one in task.each]


class ScriptedPool:
    """Two workers that answer each run at once: with the next event of the script of its key, else `Finished`."""

    def __init__(self, script=()):
        self.script = {key: deque(events) for key, events in dict(script).items()}
        self.given = []
        self.busy = {}
        self.stopped = False
        self.late = 0

    @property
    def given_keys(self):
        return [keys(task) for task in self.given]

    def idle(self):
        return [name for name in ("a", "b") if name not in self.busy]

    def starting(self):
        return self.late

    def give(self, worker, task):
        self.given.append(task)
        self.busy[worker] = task

    def wait(self, seconds):
        return self._each_run(self._answer)

    def stop(self):
        self.stopped = True
        return self._each_run(Stopped)

    def _each_run(self, event_of):
        found = [Message(worker, event_of(key)) for worker, task in self.busy.items() for key in keys(task)]
        self.busy.clear()
        return found

    def _answer(self, key):
        script = self.script.get(key)
        return script.popleft() if script else Finished(key)


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
