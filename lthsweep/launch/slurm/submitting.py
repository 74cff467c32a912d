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
from lthsweep.launch.slurm.packing.pack import Batch
from lthsweep.launch.slurm.sites.site import Site
from lthsweep.store.layout import SweepDir

__all__ = ["Overtaken", "batch_job", "dependency_of", "submit_batch", "submit_tick", "tick_job"]

TICK_MINUTES = 60
_LONGEST_LIST = 100  # jobs in a dependency; with more of them the follow-up starts by the clock


class Overtaken(Exception):
    """Another coordinator published a decision first."""


def submit_batch(
    sweep: SweepDir,
    site: Site,
    number: int,
    batch: Batch,
    after: Sequence[Submission],
    *,
    exclude: Collection[str] = (),
) -> Submission:
    """Submit an array of training jobs.

    Args:
        sweep: the sweep directory.
        site: the cluster.
        number: of the submission in the journal.
        batch: its parcels.
        after: submissions that it waits for, with known ids.
        exclude: nodes to avoid.

    Raises:
        Overtaken: if another coordinator took the number.
        RefusedError, JobLimitError: if SLURM refused it; the intent is void then.
        ClusterSilentError: if it is unknown whether SLURM accepted it; the intent stays open until a later step.
    """
    intent = _publish(
        sweep,
        Submission(
            number=number,
            name="",
            kind="train",
            parcels=tuple(parcel.keys for parcel in batch.parcels),
            minutes=batch.minutes,
            after=tuple(submission.name for submission in after),
        ),
    )
    dependency = dependency_of(batch, [submission.job or "" for submission in after])
    return _hand_over(sweep, site, intent, batch_job(sweep, site, intent, dependency, exclude))


def submit_tick(
    sweep: SweepDir, site: Site, number: int, *, after: Sequence[Submission], exclude: Collection[str] = ()
) -> Submission:
    """Submit the follow-up job: after all queued jobs in `after`, or by the clock if it is empty.

    Raises:
        As `submit_batch`.
    """
    intent = _publish(
        sweep,
        Submission(
            number=number,
            name="",
            kind="tick",
            minutes=TICK_MINUTES,
            after=tuple(submission.name for submission in after),
        ),
    )
    return _hand_over(sweep, site, intent, tick_job(sweep, site, intent, [s.job for s in after], exclude))


def dependency_of(batch: Batch, after: Sequence[str]) -> str | None:
    """Return a batch's dependency in sbatch's syntax; element by element if it is aligned with one array."""
    if not after:
        return None
    return ":".join(["aftercorr" if batch.aligned and len(after) == 1 else "afterok", *after])


def batch_job(
    sweep: SweepDir, site: Site, intent: Submission, dependency: str | None, exclude: Collection[str] = ()
) -> Job:
    """Return the job of a training submission."""
    return Job(
        name=intent.name,
        command=(_python(site), "-m", "lthsweep.launch.slurm.payload", str(_path(sweep)), intent.name),
        folder=_path(sweep) / "state" / "slurm" / intent.name,
        minutes=intent.minutes,
        elements=len(intent.parcels),
        dependency=dependency,
        begin=None,
        exclude=tuple(sorted({*site.exclude, *exclude})),
        light=False,
    )


def tick_job(
    sweep: SweepDir,
    site: Site,
    intent: Submission,
    after: Sequence[str | None],
    exclude: Collection[str] = (),
) -> Job:
    """Return the job of a follow-up."""
    known = [job for job in after if job is not None]
    listed = 0 < len(known) <= _LONGEST_LIST and len(known) == len(after)
    seconds = max(1, round(60 * site.tick_minutes))
    return Job(
        name=intent.name,
        command=(_python(site), "-m", "lthsweep", "tick", str(_path(sweep)), "--as", intent.name),
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
    if (
        read_submission(sweep, intent.name).fate == "void"
    ):  # this process was suspended, and another one voided it
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
