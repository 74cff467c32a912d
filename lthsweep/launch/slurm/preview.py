"""The jobs that `run --on slurm` would submit now: worker jobs, limits, and batch scripts. Writes no files.

It takes the decision of `advance`, and publishes nothing. Limits are read from SLURM if it is available; without
SLURM, for example on a laptop, usual limits are assumed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lthsweep.errors import ClusterSilentError, StoreError
from lthsweep.launch.slurm.array_tasks import SubmittedTasks
from lthsweep.launch.slurm.cluster.limits import Limits, read_limits
from lthsweep.launch.slurm.cluster.sbatch import text_of
from lthsweep.launch.slurm.journal import Submission, read_journal, read_prefix
from lthsweep.launch.slurm.queue_status import QueueStatus, read_queue_status
from lthsweep.launch.slurm.reconcile import still_open, taken_runs
from lthsweep.launch.slurm.sites.site import Site
from lthsweep.launch.slurm.step_decision import WorkerArray, decide, in_seconds
from lthsweep.launch.slurm.submitting import CONTROLLER_MINUTES, controller_job, workers_job
from lthsweep.launch.work import Work
from lthsweep.plan.run import Plan
from lthsweep.store.layout import SweepDir

__all__ = ["Planned", "Preview", "preview"]

_USUAL = Limits(max_array=1001, capacity=None, minutes=None)
"""Limits of a SLURM with its default configuration, for machines without SLURM."""

_PREFIX = "lth-xxxxxxxx"
"""Placeholder for the prefix of a sweep's job names, a random number chosen at its first submission."""


@dataclass(frozen=True)
class Planned:
    """One call of sbatch.

    Attributes:
        intent: the entry for the journal.
        array: its worker jobs; None for a controller job.
        text: the batch script. Ids of jobs that are not submitted yet are written as "ID-OF-" and their name.
    """

    intent: Submission
    array: WorkerArray | None
    text: str


@dataclass(frozen=True)
class Preview:
    """Result of a step without submission.

    Attributes:
        site: the cluster, from profile and file.
        limits: of the cluster.
        assumed: why the usual limits are used instead of the cluster's; "" if they were read.
        queue: jobs that were submitted before.
        planned: worker jobs that would be submitted now.
        controller: the controller job that would be submitted; None if one exists, or none is needed.
        capacity: elements that can be submitted now; None for any number.
        seconds: of training that the sweep still needs; None if no epoch was measured.
        unsubmitted: ready runs without a worker that get no job now.
        waiting: runs that wait for another run; workers pull them when they are ready.
        failed: number of runs that failed or were canceled, or have such an ancestor.
    """

    site: Site
    limits: Limits
    assumed: str
    queue: QueueStatus
    planned: tuple[Planned, ...]
    controller: Planned | None
    capacity: int | None
    seconds: float | None
    unsubmitted: int
    waiting: int
    failed: int

    @property
    def jobs(self) -> int:
        """Return the worker jobs that would be submitted now."""
        return sum(planned.intent.elements for planned in self.planned)

    @property
    def device_hours(self) -> float | None:
        """Return the GPU-hours that the sweep still needs, core-hours without GPUs; None if no epoch was measured."""
        if self.seconds is None:
            return None
        return self.seconds / self.site.slots * (self.site.gpus or self.site.cpus) / 3600


def preview(plan: Plan, sweep: SweepDir, site: Site, work: Work) -> Preview:
    """Take a step without submitting anything.

    Args:
        plan: all runs.
        sweep: the sweep directory, which need not exist.
        site: the cluster.
        work: runs without a record.

    Raises:
        RefusedError: if SLURM is available and has no such partition.
        SpecError: if sbatch cannot represent an option.
        LaunchError: if submitit is not installed.
    """
    queue = read_queue_status(sweep, lambda: site)
    tasks = queue.tasks or SubmittedTasks(())
    limits, assumed = _limits(site)
    failed = {key for key, failure in work.found.failures.items() if failure.is_final}
    left = still_open(work.nodes, failed)
    # `run` by hand resumes a sweep that the user canceled.
    halted = queue.halt is not None and queue.halt.by != "user"
    nodes, guessed = in_seconds(plan, sweep, site, () if halted else left)
    elements = () if queue.snapshot is None else queue.snapshot.elements
    taken = taken_runs(work, tasks, elements, plan.spec.local.retries)
    decision = decide(nodes, tasks, taken, work.found.failures, site, limits)
    scripts = _Scripts(sweep, site, has_arrays=decision.as_arrays)
    planned = [scripts.workers(array) for array in decision.arrays]
    submitted = {key for each in planned for keys in each.intent.shares for key in keys}
    keys = {node.key for node in nodes}
    ready = {node.key for node in nodes if node.parent not in keys}
    controller = None
    if decision.leaves_controller and not halted and (left or tasks.live):
        controller = scripts.controller(decision.controller_after(tasks, [each.intent for each in planned]))
    return Preview(
        site=site,
        limits=limits,
        assumed=assumed,
        queue=queue,
        planned=tuple(planned),
        controller=controller,
        capacity=decision.capacity,
        seconds=None if guessed else math.fsum(node.cost for node in nodes),
        unsubmitted=len(ready - taken - submitted),
        waiting=len(keys - ready),
        failed=len(work.nodes) - len(left),
    )


def _limits(site: Site) -> tuple[Limits, str]:
    try:
        return read_limits(site), ""
    except ClusterSilentError as silence:
        return _USUAL, str(silence)


class _Scripts:
    """Names, numbers and scripts, as the step would create them."""

    def __init__(self, sweep: SweepDir, site: Site, *, has_arrays: bool) -> None:
        self._sweep = sweep
        self._site = site
        self._has_arrays = has_arrays
        try:
            self._number = max((submission.number for submission in read_journal(sweep)), default=0)
        except StoreError:
            self._number = 0
        self._prefix = _prefix(sweep)

    def workers(self, array: WorkerArray) -> Planned:
        """Return a submission of worker jobs."""
        shares = tuple(share.keys for share in array.shares)
        intent = Submission(
            *self._next(), "workers", shares=shares, minutes=array.minutes, array=self._has_arrays
        )
        return Planned(intent, array, text_of(workers_job(self._sweep, self._site, intent), self._site))

    def controller(self, after: Sequence[Submission]) -> Planned:
        """Return the controller job: after all these jobs, or by the clock if there are none."""
        names = tuple(submission.name for submission in after)
        intent = Submission(*self._next(), "controller", minutes=CONTROLLER_MINUTES, after=names)
        ids = [submission.job or f"ID-OF-{submission.name}" for submission in after]
        return Planned(
            intent, None, text_of(controller_job(self._sweep, self._site, intent, ids), self._site)
        )

    def _next(self) -> tuple[int, str]:
        self._number += 1
        return self._number, f"{self._prefix}-{self._number:04d}"


def _prefix(sweep: SweepDir) -> str:
    try:
        return read_prefix(sweep)
    except (FileNotFoundError, StoreError):
        return _PREFIX
