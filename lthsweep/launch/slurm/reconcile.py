"""Compare records, journal and queue: the state of a sweep that a coordinator decides from.

On the way, jobs that SLURM holds forever are canceled, lost intents are voided, and runs without another attempt and a
halt of the sweep are recorded.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from lthsweep.launch.scheduler import Node
from lthsweep.launch.slurm.array_tasks import YOUNG_SECONDS, SubmittedTasks, match_tasks
from lthsweep.launch.slurm.attempts import find_failed
from lthsweep.launch.slurm.circuit_breaker import bad_nodes
from lthsweep.launch.slurm.cluster.queue import Element, find_by_name, read_queue
from lthsweep.launch.slurm.cluster.sbatch import cancel
from lthsweep.launch.slurm.decisions import note_decision
from lthsweep.launch.slurm.endings import endings, silent
from lthsweep.launch.slurm.halt import Halt, halt_on_equal_failures, read_halt, read_reset
from lthsweep.launch.slurm.job_files import has_ended
from lthsweep.launch.slurm.journal import Submission, note_id, read_journal, read_submission, void
from lthsweep.launch.slurm.sites.site import Site
from lthsweep.launch.work import Work, work_left
from lthsweep.plan.run import Plan
from lthsweep.store.layout import SweepDir

__all__ = ["SweepView", "reconcile", "reconcile_submissions", "still_open", "taken_runs"]


@dataclass(frozen=True)
class SweepView:
    """State of a sweep at one moment.

    Attributes:
        work: runs without a record.
        number: of the last submission in the journal; a decision based on this view is number + 1.
        tasks: the jobs.
        open: runs that can be trained now or later: neither failed nor below a failed run.
        taken: runs that a worker trains, or that are in the share of a job in the queue.
        failed: run → cause, for runs without another attempt.
        bad_nodes: nodes of the cluster on which all elements fail.
        halt: why the sweep is halted, if so.
    """

    work: Work
    number: int
    tasks: SubmittedTasks
    open: tuple[Node, ...]
    taken: frozenset[str]
    failed: Mapping[str, str]
    bad_nodes: frozenset[str]
    halt: Halt | None

    @property
    def is_over(self) -> bool:
        """True if no run can be trained any more and no worker job is left."""
        return not self.open and not self.tasks.live


def reconcile(plan: Plan, sweep: SweepDir, site: Site) -> SweepView:
    """Read queue, journal and records, in this order, so that no submission or record in between is missed.

    A submission made in between is recent, and a run that ends in between has its record.

    Raises:
        ClusterSilentError: if SLURM does not answer; the state of the jobs is unknown then.
        StoreError: if the directory cannot be read or written.
    """
    queue = _take_back_stuck(read_queue(), sweep)
    journal = reconcile_submissions(sweep, read_journal(sweep), queue, site.lag_seconds)
    young = min(site.lag_seconds, YOUNG_SECONDS)

    def fresh(submission: Submission, index: int) -> bool:
        return _is_young(submission, young) and not has_ended(sweep, submission.name, index)

    tasks = match_tasks(journal, queue, fresh=fresh)
    work = work_left(plan, sweep)
    last_reset = read_reset(sweep)
    counted = [task for task in tasks.all if task.submission.number > last_reset]
    ends = endings(sweep, counted)
    blocklisted = bad_nodes(ends)
    if (stopped := read_halt(sweep)) is None:
        vanished = silent(ends, blocklisted, at_work=bool(tasks.live))
        halt_on_equal_failures(sweep, work.found.failures.values(), len(work.found.done), vanished)
        stopped = read_halt(sweep)
    taken = taken_runs(work, tasks, queue, plan.spec.local.retries)
    # The job that takes this step has written its end, and SLURM still lists it.
    ended = [
        task for task in counted if not task.is_live or has_ended(sweep, task.submission.name, task.index)
    ]
    failed = find_failed(sweep, work, taken, ended, site.attempts, blocklisted)
    return SweepView(
        work=work,
        number=journal[-1].number if journal else 0,
        tasks=tasks,
        open=still_open(work.nodes, failed),
        taken=taken,
        failed=failed,
        bad_nodes=blocklisted,
        halt=stopped,
    )


def _take_back_stuck(queue: Sequence[Element], sweep: SweepDir) -> list[Element]:
    """Cancel jobs that SLURM holds after a failed launch, and return the rest of the queue.

    SLURM would never release them, and their dependents would wait forever. A new job takes their runs, as if they had
    vanished.
    """
    names = {submission.name for submission in read_journal(sweep)}
    stuck = [element for element in queue if element.is_stuck and element.name in names]
    if stuck:
        note_decision(
            sweep,
            f"canceled {', '.join(element.id for element in stuck)}: SLURM held them after a failed launch",
        )
        cancel([element.id for element in stuck])
    return [element for element in queue if element not in stuck]


def reconcile_submissions(
    sweep: SweepDir, journal: Sequence[Submission], queue: Sequence[Element], lag_seconds: float
) -> list[Submission]:
    """Find the jobs of submissions whose coordinator died before it recorded their ids.

    SLURM is searched for the name. If the job is found, its id is recorded. If it is not found, and the submission is
    so old that sbatch itself must have ended, the submission is void, and its runs can be submitted again.
    """
    by_name = {element.name: element.job for element in queue}
    settled = []
    for submission in journal:
        if submission.outcome == "open" and submission.job is None:
            job = by_name.get(submission.name)
            if job is None and not _is_young(submission, lag_seconds):
                job = find_by_name(submission.name)
                if job is None:
                    void(sweep, submission.name, "no job of this name reached SLURM")
                    note_decision(sweep, f"{submission.name} is void: no job of this name reached SLURM")
            if job is not None:
                note_id(sweep, submission.name, job)
            submission = read_submission(sweep, submission.name)
        settled.append(submission)
    return settled


def _is_young(submission: Submission, lag_seconds: float) -> bool:
    return time.time() - submission.created < lag_seconds


def still_open(nodes: Sequence[Node], failed: Collection[str]) -> tuple[Node, ...]:
    """Return the nodes that have neither failed nor a failed ancestor."""
    blocked = set(failed)
    found = []
    for node in nodes:  # parents come first
        if node.parent in blocked:
            blocked.add(node.key)
        if node.key not in blocked:
            found.append(node)
    return tuple(found)


def taken_runs(work: Work, tasks: SubmittedTasks, queue: Iterable[Element], retries: int) -> frozenset[str]:
    """Return the runs that need no further job.

    A worker trains them: its claim is alive, and SLURM lists its job, if it has one. Or they are in the share of a live
    job that has not used up its attempts at them.

    Args:
        work: the runs that are left.
        tasks: the jobs.
        queue: SLURM's list, from which `tasks` follow.
        retries: how often a job tries a run again.
    """
    listed = {element.raw for element in queue}
    training = {key for key, job in work.found.jobs.items() if not job or job in listed}
    known = work.found.failures
    shares = {
        key
        for key, task in tasks.covered.items()
        if key not in known or known[key].time < task.submission.created or known[key].attempt <= retries
    }
    return frozenset(training | shares)
