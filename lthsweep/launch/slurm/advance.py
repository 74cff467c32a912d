"""One step of a sweep on SLURM: read the state, and submit as many worker jobs as there is ready work and capacity for.

`lthsweep run --on slurm`, the controller job, and worker jobs whose runs made more runs ready than there are workers
take this step. Any process can take it at any time, and several can take it at once: a decision is published in the
journal before it is submitted to SLURM, and it is valid only if no other decision was published in between.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from lthsweep.errors import NotNowError, RefusedError
from lthsweep.launch.scheduler import Node
from lthsweep.launch.slurm.array_tasks import SubmittedTasks
from lthsweep.launch.slurm.cluster.limits import Limits, read_limits
from lthsweep.launch.slurm.decisions import note_decision, write_step_note
from lthsweep.launch.slurm.journal import Submission
from lthsweep.launch.slurm.reconcile import SweepView, reconcile
from lthsweep.launch.slurm.shares import Share, divide
from lthsweep.launch.slurm.sites.site import Site
from lthsweep.launch.slurm.submitting import Overtaken, submit_controller, submit_workers
from lthsweep.launch.slurm.walltime import walltime_minutes
from lthsweep.launch.work import seconds_of, seconds_per_epoch
from lthsweep.plan.run import Plan
from lthsweep.store.layout import SweepDir
from lthsweep.wording import plural

__all__ = [
    "Advance",
    "WorkerArray",
    "advance",
    "arrays_of",
    "capacity_for",
    "fitting",
    "in_seconds",
    "walltime_limit",
]


UNCONFIRMED_SECONDS = 10.0
"""How long a step waits for the id of a controller job that another coordinator submits."""


@dataclass(frozen=True)
class WorkerArray:
    """Worker jobs that one call of sbatch submits; one job where the cluster has no arrays.

    Attributes:
        shares: the runs that each job trains first.
        minutes: walltime of each job.
    """

    shares: tuple[Share, ...]
    minutes: int


@dataclass(frozen=True)
class Advance:
    """Result of one step.

    Attributes:
        view: the state that the decision is based on.
        limits: of the cluster; None if the step had no runs to submit.
        submitted: the worker jobs submitted by this step.
        controller: the next controller job, new or old; None if none is needed, or SLURM refused it.
        unsubmitted: ready runs that got no job because of limits; a later step submits them.
        refusal: SLURM's message for the first job that it refused for now.
        guessed: the seconds per epoch of some recipe are unknown.
    """

    view: SweepView
    limits: Limits | None = None
    submitted: tuple[Submission, ...] = ()
    controller: Submission | None = None
    unsubmitted: int = 0
    refusal: str = ""
    guessed: bool = False


def advance(plan: Plan, sweep: SweepDir, site: Site, *, own: str | None = None) -> Advance:
    """Take one step.

    Args:
        plan: all runs.
        sweep: its journal must be open.
        site: the cluster.
        own: name of the submission whose job takes this step and ends after it. The job neither counts as the next
            controller job nor takes the place of another job.

    Raises:
        ClusterSilentError: if SLURM does not answer, or it is unknown whether it accepted a job; repeat the step later.
        RefusedError: if SLURM refuses the requested resources; the message names the option to change.
        StoreError: if the journal cannot be written.
    """
    submitted: list[Submission] = []
    patience = time.monotonic() + UNCONFIRMED_SECONDS
    while True:
        view = reconcile(plan, sweep, site)
        if time.monotonic() < patience and view.tasks.has_unconfirmed_controller(
            time.time() - UNCONFIRMED_SECONDS
        ):
            time.sleep(1.0)  # jobs that end at the same moment need one controller job, not one each
            continue
        try:
            step = _act(plan, sweep, site, view, own, submitted)
            write_step_note(sweep, _limit_of(step))
            return step
        except RefusedError as refusal:
            write_step_note(sweep, str(refusal))
            raise
        except Overtaken:
            # Another coordinator published a decision meanwhile, which can make this one unnecessary.
            continue


def _limit_of(step: Advance) -> str:
    """Return why ready runs got no job; "" if all have one."""
    if step.refusal or not step.unsubmitted:
        return step.refusal
    named = "" if step.limits is None else "; ".join(step.limits.named[:1])
    return f"a limit on jobs is reached: {named or 'slurm.max_elements'}"


def _act(
    plan: Plan, sweep: SweepDir, site: Site, view: SweepView, own: str | None, submitted: list[Submission]
) -> Advance:
    if view.halt is not None or view.is_over:
        return Advance(view)
    tasks, number = view.tasks, view.number
    controller = tasks.next_controller(other_than=own)
    limits, refusal, guessed, missed, takes_last_place = None, "", False, 0, False
    if view.open:
        limits = read_limits(site)
        nodes, guessed = in_seconds(plan, sweep, site, view.open)
        arrays = arrays_of(nodes, tasks, view.taken, view.work.found.failures, site, limits)
        live = tasks.live_elements - any(task.is_live and task.submission.name == own for task in tasks.all)
        capacity = capacity_for(site, limits, live, reserve=0 if controller else 1)
        if capacity == 0 and not tasks.live:
            # The only place that is left goes to a worker job, which leaves a controller job at its end.
            capacity = capacity_for(site, limits, live, reserve=0)
            takes_last_place = capacity == 1
        for array in fitting(arrays, capacity):
            number += 1
            try:
                submitted.append(
                    submit_workers(
                        sweep,
                        site,
                        number,
                        array.shares,
                        array.minutes,
                        array=limits.max_array > 0,
                        exclude=view.bad_nodes,
                    )
                )
            except NotNowError as error:  # no element was queued
                refusal = str(error)
                break
            note_decision(sweep, _submitted(submitted[-1], len(view.open), len(view.taken)))
        given = {key for submission in submitted for keys in submission.shares for key in keys}
        missed = sum(key not in given for array in arrays for share in array.shares for key in share.keys)
    if controller is None and not takes_last_place:
        # A controller job by the clock submits runs that got no job; otherwise it waits for the jobs there are.
        after = {each.name: each for each in (*tasks.live, *submitted)} if tasks.listed and not missed else {}
        try:
            controller = submit_controller(
                sweep, site, number + 1, after=tuple(after.values()), exclude=view.bad_nodes
            )
            when = f"after {', '.join(after)}" if after else f"in {site.controller_minutes:g} min"
            note_decision(sweep, f"submitted {controller.name}, job {controller.job}: controller job, {when}")
        except NotNowError as error:  # a worker job takes the next step at its end
            refusal = refusal or str(error)
    return Advance(view, limits, tuple(submitted), controller, missed, refusal, guessed)


def _submitted(submission: Submission, left: int, taken: int) -> str:
    runs = sum(len(keys) for keys in submission.shares)
    return (
        f"submitted {submission.name}, job {submission.job}: {plural(submission.elements, 'worker job')} for "
        f"{plural(runs, 'ready run')}; {plural(left, 'run')} left, {taken} of them at work or in the queue"
    )


def in_seconds(
    plan: Plan, sweep: SweepDir, site: Site, nodes: Sequence[Node]
) -> tuple[tuple[Node, ...], bool]:
    """Convert the cost of runs from epochs to seconds, using the measurements of earlier runs in the directory.

    Args:
        plan: all runs.
        sweep: contains the measurements.
        site: its target length of a job is the assumed length of a run whose recipe has not been measured.
        nodes: remaining runs, cost in epochs.

    Returns:
        The runs, and whether the length of any of them is assumed.
    """
    known = seconds_per_epoch(plan, sweep)
    lengths = {node.key: seconds_of(plan, node, known) for node in nodes}
    assumed = 60 * site.target_minutes
    found = tuple(
        Node(node.key, node.parent, assumed if (seconds := lengths[node.key]) is None else seconds)
        for node in nodes
    )
    return found, None in lengths.values()


def arrays_of(
    nodes: Sequence[Node],
    tasks: SubmittedTasks,
    taken: Collection[str],
    broken: Collection[str],
    site: Site,
    limits: Limits,
) -> list[WorkerArray]:
    """Return the worker jobs that a sweep needs in addition to those there are.

    Args:
        nodes: the runs that are left, parents first, cost in seconds.
        tasks: the jobs there are.
        taken: runs that need no further job.
        broken: runs whose last attempt broke.
        site: the cluster.
        limits: of the cluster.
    """
    shortest, limit = 60 * site.floor_minutes, walltime_limit(site, limits)
    shares = divide(
        nodes,
        taken,
        slots=site.slots,
        shortest=shortest,
        has_workers=bool(tasks.live),
        broken=broken,
    )
    arrays = []
    for start in range(0, len(shares), most := max(1, limits.max_array)):
        some = tuple(shares[start : start + most])
        # A job lasts as long as its share. If more work follows, it lasts at least for the target.
        follows = min(60 * site.target_minutes, max(share.work for share in some) / site.slots)
        seconds = max(*(share.seconds for share in some), follows)
        arrays.append(WorkerArray(some, walltime_minutes(seconds, shortest, limit)))
    return arrays


def fitting(arrays: Sequence[WorkerArray], capacity: int | None) -> list[WorkerArray]:
    """Return the arrays, shortened to the number of elements that there is capacity for."""
    if capacity is None:
        return list(arrays)
    found = []
    for array in arrays:
        shares = array.shares[:capacity]
        capacity -= len(shares)
        if shares:
            found.append(WorkerArray(shares, array.minutes))
    return found


def walltime_limit(site: Site, limits: Limits) -> float | None:
    """Return the maximum length of a job in seconds; None for any."""
    known = [minutes for minutes in (site.minutes, limits.minutes) if minutes is not None]
    return 60.0 * min(known) if known else None


def capacity_for(site: Site, limits: Limits, live: int, *, reserve: int) -> int | None:
    """Return how many elements can be submitted now; None for any number.

    Args:
        site: its own cap, out of consideration for other users.
        limits: elements that SLURM accepts in addition to the queue.
        live: elements of this sweep in the queue.
        reserve: jobs to leave space for.
    """
    own = None if site.max_elements is None else site.max_elements - live
    known = [capacity for capacity in (limits.capacity, own) if capacity is not None]
    return max(0, min(known) - reserve) if known else None
