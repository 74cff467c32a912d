"""Several pools are one pool to the loop."""

from __future__ import annotations

from lthsweep.launch.dispatch import Heard, work_off
from lthsweep.launch.mpi.pool import Together
from lthsweep.launch.scheduler import Node, Scheduler
from lthsweep.launch.task import Message


class OneWorker:
    """A pool of one worker that finishes at once whatever it is given."""

    def __init__(self, name):
        self.name = name
        self.done = []
        self.task = None
        self.ended = ""

    def idle(self):
        return [self.name] if self.task is None else []

    def starting(self):
        return 0

    def give(self, worker, task):
        assert worker == self.name
        self.task = task

    def wait(self, seconds):
        if self.task is None:
            return []
        self.done.append(self.task)
        task, self.task = self.task, None
        return [Heard(self.name, Message("finished", task))]

    def stop(self):
        self.ended = "stopped"
        return []

    def kill(self):
        self.ended = "killed"


def test_the_workers_of_all_pools_share_the_work():
    ranks, beside = OneWorker("rank"), OneWorker("beside")
    nodes = [Node(str(number), None, 1) for number in range(4)]

    tally = work_off(Scheduler(nodes), Together(ranks, beside), lambda key: key)

    assert sorted(tally.finished) == ["0", "1", "2", "3"]
    assert (ranks.done, beside.done) == (["0", "2"], ["1", "3"])
    assert (ranks.ended, beside.ended) == ("stopped", "stopped")


def test_all_pools_are_killed():
    ranks, beside = OneWorker("rank"), OneWorker("beside")

    Together(ranks, beside).kill()

    assert (ranks.ended, beside.ended) == ("killed", "killed")
