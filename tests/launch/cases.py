"""Tasks, workers, disks and queues for tests that hand out runs without training them."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from lthsweep.launch.disk_status import DiskStatus, RunStatus
from lthsweep.launch.events import Finished, Message, Stopped
from lthsweep.launch.slurm.array_tasks import match_tasks
from lthsweep.launch.slurm.cluster.queue import Element, QueueSnapshot
from lthsweep.launch.slurm.journal import Submission
from lthsweep.launch.slurm.queue_status import QueueStatus
from lthsweep.launch.task import Operation, Task
from lthsweep.plan.run import Recipe, Run
from tests.plan.cases import make_plan

RECIPE = Recipe(model={}, data={}, train={"epochs": 1})

PLAN = make_plan({"sparsity": [0.5, 0.8], "rewind_epoch": [0, 1], "seed": [0]}, train={"epochs": 4})
DENSE, *TICKETS = PLAN.runs
CHAIN = make_plan({"sparsity": [0.5, 0.8], "seed": [0]}, prune={"schedule": "iterative"})
NOW = 1e9


def make_task(key: str, *companions: str, sleep_seconds: float = 0.0) -> Task:
    """A task that sleeps, with companions that sleep too."""
    return Task(
        Run(key, {}, RECIPE, seed=0, trunk=key),
        operation=Operation.SLEEP,
        sleep_seconds=sleep_seconds,
        companions=tuple(make_task(name, sleep_seconds=sleep_seconds) for name in companions),
    )


class ScriptedPool:
    """Workers that answer each run at once: with the next event of the script of its key, else `Finished`.

    Args:
        script: run → events.
        workers: their names.
    """

    def __init__(self, script=(), workers=("a", "b")):
        self.script = {key: deque(events) for key, events in dict(script).items()}
        self.workers = workers
        self.given = []
        self.busy = {}
        self.stopped = False
        self.late = 0

    @property
    def given_keys(self):
        return [[one.key for one in task.each] for task in self.given]

    def devices(self):
        return {"cpu"}

    def idle(self):
        return [name for name in self.workers if name not in self.busy]

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
        found = [
            Message(worker, event_of(one.key)) for worker, task in self.busy.items() for one in task.each
        ]
        self.busy.clear()
        return found

    def _answer(self, key):
        script = self.script.get(key)
        return script.popleft() if script else Finished(key)


def on_disk(plan=PLAN, *, done=(), failures=None, beats=(), jobs=None):
    """The files of a sweep: records, failures, and heartbeats with the SLURM jobs of their workers."""
    failures, states = failures or {}, {}
    beats = {beat.key: beat for beat in beats}
    for key, run in plan.runs.items():
        before = states.get(run.parent, "done")
        states[key] = RunStatus(
            "done"
            if key in done
            else "running"
            if key in beats
            else "failed"
            if key in failures
            else "ready"
            if before == "done"
            else "waiting"
        )
    return DiskStatus(states, failures, beats, frozenset(), {key: (jobs or {}).get(key, "") for key in beats})


def submitted(*shares, number=1, job="77", created=0.0):
    """A submission of worker jobs, one for each share."""
    return Submission(number, f"lth-0-000{number}", "workers", shares, created=created, job=job)


def element(index, state="PENDING", job="77", **more):
    """SLURM's line of an element of the first submission."""
    return Element(job, index, "lth-0-0001", state, raw=str(100 + index), **more)


def listed(journal, queue, **more):
    """The jobs of a sweep if SLURM answers."""
    status = QueueStatus(
        taken=NOW, lag_seconds=60, slots=2, snapshot=QueueSnapshot(tuple(queue), NOW), **more
    )
    return replace(status, tasks=match_tasks(journal, queue, fresh=lambda one, index: status.is_young(one)))


def silent(journal):
    """The jobs of a sweep if SLURM does not answer."""
    return QueueStatus(match_tasks(journal, (), fresh=lambda one, index: True), silence="down", taken=NOW)
