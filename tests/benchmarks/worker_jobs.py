"""A sweep on a simulated cluster: makespan and core-hours of worker jobs that pull, by the product's own decisions.

    python -m tests.benchmarks.worker_jobs

Jobs have one worker. `arrays_of` decides which runs get a job and its walltime, `Scheduler` the order in which workers
pull. The clock, the queue and preemption are simulated. Every job takes `START_UP` seconds to start, and at most N jobs
run at a time. The bound of any schedule is max(training ÷ N, longest chain) plus one start-up.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from lthsweep.launch.dispatch import HELD_SECONDS
from lthsweep.launch.scheduler import Node, Scheduler
from lthsweep.launch.slurm.array_tasks import ArrayTask, SubmittedTasks
from lthsweep.launch.slurm.cluster.limits import Limits
from lthsweep.launch.slurm.journal import Submission
from lthsweep.launch.slurm.pulling import CLAIM_SECONDS, PATIENCE_SECONDS
from lthsweep.launch.slurm.sites.site import Site
from lthsweep.launch.slurm.step_decision import arrays_of
from lthsweep.plan.expand import expand
from lthsweep.spec import load_spec

START_UP = 120.0
SITE = Site(workers=1)
LIMITS = Limits(max_array=1001, capacity=None, minutes=None)

CASES = (
    ("cifar10-mobilenetv2", 60, 32),
    ("cifar10-mobilenetv2", 5, 32),
    ("digits-cnn-rounds", 60, 32),
    ("paper-lenet-mnist", 60, 8),
    ("paper-lenet-mnist", 60, 32),
    ("paper-conv6-cifar10", 60, 8),
    ("digits-controls", 5, 8),
)
"""Preset, seconds per epoch, jobs at a time."""


@dataclass
class Job:
    """A worker job: its share, its walltime in seconds, and when its node was assigned."""

    share: tuple[str, ...]
    seconds: float
    begun: float = 0.0
    idle_since: float | None = None
    run: str | None = None


@dataclass
class Simulation:
    """One sweep on one cluster.

    `used` is in seconds of all jobs, `makespan` the time of the last record.

    Attributes:
        nodes: all runs, parents first, cost in seconds.
        at_a_time: jobs that the cluster runs at the same time.
        queue_wait: seconds from a submission to the earliest start.
        preempted_every: mean seconds between preemptions of a running job; 0 for none. A preempted job loses the
            seconds since its last checkpoint, at most `checkpoint_seconds`, and goes back to the queue.
    """

    nodes: Sequence[Node]
    at_a_time: int
    queue_wait: float = 0.0
    preempted_every: float = 0.0
    checkpoint_seconds: float = 300.0
    now: float = 0.0
    used: float = 0.0
    started: int = 0
    submissions: int = 0
    makespan: float = 0.0
    finished: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._cost = {node.key: node.cost for node in self.nodes}
        self._left = dict(self._cost)
        self._children: dict[str | None, int] = {}
        for node in self.nodes:
            self._children[node.parent] = self._children.get(node.parent, 0) + 1
        self._chain = Scheduler(self.nodes)
        self._parent = {node.key: node.parent for node in self.nodes}
        self._pending: list[tuple[float, Job]] = []
        self._running: list[Job] = []
        self._claimed: set[str] = set()
        self._events: list[tuple[float, int, str, Job | None]] = []
        self._ids = itertools.count()
        self._random = random.Random(0)

    def run(self) -> None:
        """Simulate until every run is finished and every job has left."""
        self._submit()
        while self._events:
            self.now, _, kind, job = heapq.heappop(self._events)
            if kind == "submit":
                self._submit()
            elif kind == "place":
                pass
            elif job is not None and job in self._running:
                self._advance(job, kind)
            self._place()
        assert self.finished == self._cost.keys()

    def _after(self, seconds: float, kind: str, job: Job | None = None) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._ids), kind, job))

    def _submit(self) -> None:
        jobs = [*(job for _, job in self._pending), *self._running]
        live = Submission(1, "", "workers", shares=tuple(job.share for job in jobs))
        tasks = SubmittedTasks(tuple(ArrayTask(live, i, None, settled=False) for i in range(len(jobs))))
        left = [node for node in self.nodes if node.key not in self.finished]
        taken = self._claimed | {key for job in jobs for key in job.share}
        for array in arrays_of(left, tasks, taken, (), SITE, LIMITS):
            self.submissions += 1
            for share in array.shares:
                self._pending.append((self.now + self.queue_wait, Job(share.keys, 60.0 * array.minutes)))
            self._after(self.queue_wait, "place")

    def _place(self) -> None:
        while self._pending and len(self._running) < self.at_a_time and self._pending[0][0] <= self.now:
            _, job = self._pending.pop(0)
            job.begun, job.idle_since, job.run = self.now, None, None
            self.started += 1
            self._running.append(job)
            self._after(START_UP, "pull", job)
            if self.preempted_every:
                self._after(self._random.expovariate(1 / self.preempted_every), "preempt", job)

    def _advance(self, job: Job, kind: str) -> None:
        if kind == "preempt":
            self._preempt(job)
            return
        if kind == "done" and job.run is not None:
            key, job.run = job.run, None
            self._claimed.discard(key)
            self.finished.add(key)
            self.makespan = self.now
            if self._children.get(key, 0) > 1:
                self._after(CLAIM_SECONDS, "submit")
        if job.run is not None:
            return
        key = self._next(job)
        if key is not None:
            job.run, job.idle_since = key, None
            self._claimed.add(key)
            self._after(self._left[key], "done", job)
        elif job.idle_since is None and self._patience(job):
            job.idle_since = self.now
            self._after(HELD_SECONDS, "pull", job)
        elif job.idle_since is not None and self.now - job.idle_since < self._patience(job):
            self._after(HELD_SECONDS, "pull", job)
        else:
            self._running.remove(job)
            self.used += self.now - job.begun
            self._after(0.0, "submit")

    def _next(self, job: Job) -> str | None:
        left = job.seconds - (self.now - job.begun)
        ready = [
            key
            for key in self._cost
            if key not in self.finished
            and key not in self._claimed
            and (self._parent[key] is None or self._parent[key] in self.finished)
            and (key in job.share or self._cost[key] <= left)
        ]
        return min(
            ready, key=lambda key: (key not in job.share, -self._chain.remaining_chain(key)), default=None
        )

    def _patience(self, job: Job) -> float:
        left = job.seconds - (self.now - job.begun)
        fits = any(cost <= left for key, cost in self._cost.items() if key not in self.finished)
        return PATIENCE_SECONDS if fits else 0.0

    def _preempt(self, job: Job) -> None:
        if job.run is not None:
            begun = self._cost[job.run] - self._left[job.run]
            done = self.now - job.begun - START_UP
            self._left[job.run] = max(
                1.0, self._cost[job.run] - begun - max(0.0, done - self.checkpoint_seconds)
            )
            self._claimed.discard(job.run)
        self._running.remove(job)
        self.used += self.now - job.begun
        self._pending.append((self.now + self.queue_wait, Job(job.share, job.seconds)))
        self._after(self.queue_wait, "place")


def nodes_of(preset: str, epoch_seconds: float) -> list[Node]:
    """Return the runs of a preset; every epoch takes the same time, and a time budget all of it."""
    plan = expand(load_spec(preset))
    return [
        Node(run.key, run.parent, run.budget.seconds if run.budget else run.epochs() * epoch_seconds)
        for run in plan.runs.values()
    ]


def bound(nodes: Sequence[Node], at_a_time: int) -> float:
    """Return a lower bound of the makespan in seconds."""
    scheduler = Scheduler(nodes)
    longest = max(scheduler.remaining_chain(node.key) for node in nodes)
    return START_UP + max(sum(node.cost for node in nodes) / at_a_time, longest)


def main() -> None:
    """Print one row for each case, without and with waiting and preemption."""
    print(
        "preset | s/epoch | jobs | conditions | hours | bound | core-hours | / needed | jobs started | sbatch"
    )
    for preset, seconds, at_a_time in CASES:
        nodes = nodes_of(preset, seconds)
        for name, conditions in (
            ("quiet", {}),
            ("20 min in the queue", {"queue_wait": 1200.0}),
            ("preempted every 2 h", {"preempted_every": 7200.0}),
        ):
            found = Simulation(nodes, at_a_time, **conditions)
            found.run()
            training = sum(node.cost for node in nodes) + START_UP * found.started
            print(
                f"{preset} | {seconds} | {at_a_time} | {name} | {found.makespan / 3600:.2f} | "
                f"{bound(nodes, at_a_time) / 3600:.2f} | {found.used / 3600:.1f} | {found.used / training:.3f} | "
                f"{found.started} | {found.submissions}"
            )


if __name__ == "__main__":
    main()
