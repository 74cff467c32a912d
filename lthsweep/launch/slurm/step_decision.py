"""What one step of a sweep on SLURM submits, before anything is published.

`advance` carries the decision out; `plan --on slurm` shows it. Only the measured seconds per epoch are read from disk.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from lthsweep.launch.scheduler import Node
from lthsweep.launch.slurm.array_tasks import SubmittedTasks
from lthsweep.launch.slurm.cluster.limits import Limits
from lthsweep.launch.slurm.journal import Submission
from lthsweep.launch.slurm.shares import Share, divide
from lthsweep.launch.slurm.sites.site import Site
from lthsweep.launch.slurm.walltime import walltime_minutes
from lthsweep.launch.work import seconds_of, seconds_per_epoch
from lthsweep.plan.run import Plan
from lthsweep.store.layout import SweepDir

__all__ = [
    "Decision",
    "WorkerArray",
    "arrays_of",
    "capacity_for",
    "decide",
    "fitting",
    "in_seconds",
    "walltime_limit",
]


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
class Decision:
    """What a step submits, before anything is published; `plan --on slurm` shows it. Pure.

    Attributes:
        wanted: the worker jobs that the ready runs need.
        capacity: elements that can be submitted now; None for any number.
        leaves_controller: whether a new controller job follows.
        as_arrays: whether the cluster has job arrays.
    """

    wanted: tuple[WorkerArray, ...]
    capacity: int | None
    leaves_controller: bool
    as_arrays: bool

    @property
    def arrays(self) -> list[WorkerArray]:
        """Return the worker jobs that fit now."""
        return fitting(self.wanted, self.capacity)

    def missed_by(self, submitted: Iterable[Submission]) -> int:
        """Return the number of runs that need a job and are in the share of no submission."""
        given = {key for submission in submitted for keys in submission.shares for key in keys}
        return sum(key not in given for array in self.wanted for share in array.shares for key in share.keys)

    def controller_after(
        self, tasks: SubmittedTasks, submitted: Sequence[Submission]
    ) -> tuple[Submission, ...]:
        """Return the submissions that the controller job waits for; none if it starts by the clock.

        It starts by the clock to submit runs that got no job, and if SLURM does not list all jobs yet.
        """
        return (*tasks.live, *submitted) if tasks.listed and not self.missed_by(submitted) else ()


def decide(
    nodes: Sequence[Node],
    tasks: SubmittedTasks,
    taken: Collection[str],
    broken: Collection[str],
    site: Site,
    limits: Limits | None,
    *,
    own: str | None = None,
) -> Decision:
    """Return what a step of an unfinished sweep submits.

    Args:
        nodes: the runs that are left, parents first, cost in seconds.
        tasks: the jobs there are.
        taken: runs that need no further job.
        broken: runs whose last attempt broke.
        site: the cluster.
        limits: of the cluster; None only if no run is left.
        own: as for `advance`.
    """
    needs_controller = tasks.next_controller(other_than=own) is None
    if limits is None:
        return Decision((), None, needs_controller, as_arrays=True)
    live = tasks.live_elements - any(task.is_live and task.submission.name == own for task in tasks.all)
    capacity = capacity_for(site, limits, live, reserve=1 if needs_controller else 0)
    if capacity == 0 and not tasks.live:
        # The only place that is left goes to a worker job, which leaves a controller job at its end.
        capacity = capacity_for(site, limits, live, reserve=0)
        needs_controller = needs_controller and capacity != 1
    wanted = arrays_of(nodes, tasks, taken, broken, site, limits)
    return Decision(tuple(wanted), capacity, needs_controller, as_arrays=limits.max_array > 0)


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
