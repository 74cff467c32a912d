"""Submit one decision: intent, sbatch, id, in this order."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from lthsweep.errors import RefusedError
from lthsweep.launch.slurm.cluster.sbatch import Job, submit
from lthsweep.launch.slurm.journal import (
    Submission,
    forget_queue,
    note_id,
    publish_intent,
    read_submission,
    void,
)
from lthsweep.launch.slurm.shares import Share
from lthsweep.launch.slurm.sites.site import Site
from lthsweep.store.layout import SweepDir

__all__ = ["Overtaken", "controller_job", "submit_controller", "submit_workers", "workers_job"]

CONTROLLER_MINUTES = 60
_LONGEST_LIST = 100  # jobs in a dependency; with more of them the controller job starts by the clock


class Overtaken(Exception):
    """Another coordinator published a decision first."""


def submit_workers(
    sweep: SweepDir,
    site: Site,
    number: int,
    shares: Sequence[Share],
    minutes: int,
    *,
    array: bool = True,
    exclude: Collection[str] = (),
) -> Submission:
    """Submit worker jobs, one for each share.

    Args:
        sweep: the sweep directory.
        site: the cluster.
        number: of the submission in the journal.
        shares: the runs that each job trains first.
        minutes: walltime of each job.
        array: whether they are a job array; False only for one share.
        exclude: nodes to avoid.

    Raises:
        Overtaken: if another coordinator took the number.
        RefusedError, NotNowError: if SLURM refused it; the intent is void then.
        ClusterSilentError: if it is unknown whether SLURM accepted it; the intent stays open until a later step.
    """
    keys = tuple(share.keys for share in shares)
    intent = _publish(sweep, Submission(number, "", "workers", shares=keys, minutes=minutes, array=array))
    return _hand_over(sweep, site, intent, workers_job(sweep, site, intent, exclude))


def submit_controller(
    sweep: SweepDir, site: Site, number: int, *, after: Sequence[Submission], exclude: Collection[str] = ()
) -> Submission:
    """Submit a controller job: after all jobs of `after`, or by the clock if it is empty.

    Raises:
        As `submit_workers`.
    """
    names = tuple(submission.name for submission in after)
    intent = _publish(sweep, Submission(number, "", "controller", minutes=CONTROLLER_MINUTES, after=names))
    return _hand_over(
        sweep, site, intent, controller_job(sweep, site, intent, [s.job for s in after], exclude)
    )


def workers_job(sweep: SweepDir, site: Site, intent: Submission, exclude: Collection[str] = ()) -> Job:
    """Return the worker jobs of a submission."""
    return Job(
        name=intent.name,
        command=(_python(site), "-m", "lthsweep.launch.slurm.worker_job", str(_path(sweep)), intent.name),
        folder=_path(sweep) / "state" / "slurm" / intent.name,
        minutes=intent.minutes,
        elements=len(intent.shares) if intent.array else 0,
        exclude=tuple(sorted({*site.exclude, *exclude})),
    )


def controller_job(
    sweep: SweepDir,
    site: Site,
    intent: Submission,
    after: Sequence[str | None],
    exclude: Collection[str] = (),
) -> Job:
    """Return a controller job."""
    known = [job for job in after if job is not None]
    listed = 0 < len(known) <= _LONGEST_LIST and len(known) == len(after)
    seconds = max(1, round(60 * site.controller_minutes))
    return Job(
        name=intent.name,
        command=(_python(site), "-m", "lthsweep", "controller", str(_path(sweep)), "--as", intent.name),
        folder=_path(sweep) / "state" / "slurm" / intent.name,
        minutes=intent.minutes,
        elements=0,
        dependency=":".join(["afterany", *known]) if listed else None,
        begin=None if listed else f"now+{seconds}",
        exclude=tuple(sorted({*site.exclude, *exclude})),
        light=True,
    )


def _publish(sweep: SweepDir, intent: Submission) -> Submission:
    published = publish_intent(sweep, intent)
    if published is None:
        raise Overtaken
    return published


def _hand_over(sweep: SweepDir, site: Site, intent: Submission, job: Job) -> Submission:
    # If this process was suspended for long, another one has voided the intent.
    if read_submission(sweep, intent.name).outcome == "void":
        raise Overtaken
    try:
        number = submit(job, site)
    except RefusedError as refusal:
        void(sweep, intent.name, str(refusal))
        raise
    note_id(sweep, intent.name, number)
    forget_queue(sweep)
    return replace(intent, job=number)


def _python(site: Site) -> str:
    return site.python or sys.executable


def _path(sweep: SweepDir) -> Path:
    return sweep.path.absolute()
