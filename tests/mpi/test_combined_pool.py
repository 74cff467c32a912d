"""Several pools act as one pool in the scheduling loop."""

from __future__ import annotations

from lthsweep.launch.dispatch import dispatch
from lthsweep.launch.events import Finished, Message
from lthsweep.launch.mpi.pool import CombinedPool
from lthsweep.launch.scheduler import Node, Scheduler
from tests.launch.cases import make_task


class OneWorker:
    """A pool of one worker that finishes every run at once."""

    def __init__(self, name):
        self.name = name
        self.done = []
        self.key = None
        self.ended = ""

    def idle(self):
        return [self.name] if self.key is None else []

    def starting(self):
        return 0

    def give(self, worker, task):
        assert worker == self.name
        self.key = task.key

    def wait(self, seconds):
        if self.key is None:
            return []
        self.done.append(self.key)
        key, self.key = self.key, None
        return [Message(self.name, Finished(key))]

    def stop(self):
        self.ended = "stopped"
        return []

    def kill(self):
        self.ended = "killed"


def test_workers_of_all_pools_share_the_runs():
    """With two ranks, rank 0 trains too."""
    ranks, local = OneWorker("rank"), OneWorker("local")
    nodes = [Node(str(number), None, 1) for number in range(4)]

    summary = dispatch(Scheduler(nodes), CombinedPool(ranks, local), make_task)

    assert sorted(summary.finished) == ["0", "1", "2", "3"]
    assert (ranks.done, local.done) == (["0", "2"], ["1", "3"])
    assert (ranks.ended, local.ended) == ("stopped", "stopped")


def test_all_pools_are_killed():
    """A second Ctrl-C leaves no worker behind."""
    ranks, local = OneWorker("rank"), OneWorker("local")

    CombinedPool(ranks, local).kill()

    assert (ranks.ended, local.ended) == ("killed", "killed")
