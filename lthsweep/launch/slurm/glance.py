"""What somebody who only looks sees of a sweep's jobs. Settles nothing, decides nothing, submits nothing.

At most one squeue per `poll_seconds` of the site, for all processes that look at one sweep, and none for a sweep that
never went to SLURM. Where SLURM is silent, every element that was handed over and did not say how it ended may still
be at work.
"""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from lthsweep.errors import ClusterSilentError, StoreError
from lthsweep.launch.slurm.cluster.queue import Look, look, read_queue
from lthsweep.launch.slurm.halt import Halt, read_halt
from lthsweep.launch.slurm.journal import Submission, read_journal
from lthsweep.launch.slurm.sites.site import Site
from lthsweep.launch.slurm.standing import YOUNG_SECONDS, Standing, stand
from lthsweep.launch.slurm.traces import has_ended
from lthsweep.store.layout import SweepDir

__all__ = ["AT_WORK", "Glance", "glance"]

AT_WORK = frozenset({"RUNNING", "COMPLETING", "STAGE_OUT", "SIGNALING"})
"""States of a job that has begun; in all others SLURM is going to start it, or start it again."""

_SECONDS = 20.0
"""How long squeue may take: somebody waits for the answer, and the disk has one too."""


@dataclass(frozen=True)
class Glance:
    """The jobs of a sweep, seen from outside.

    Attributes:
        standing: how they stand; None if there never was one.
        silence: why SLURM could not be asked; "" if it answered, or was not needed.
        halt: why the sweep does not go on by itself, if so.
        hidden: `state/` may not be read by this user: only records are seen, neither workers nor jobs.
        taken: when SLURM was asked, seconds since the epoch.
        lag_seconds: so long after its submission a job may be missing from the queue.
        slots: workers in one job.
        workers_per_gpu: how many of them share a GPU.
        seen: the queue; None if SLURM was not asked, or did not answer.
    """

    standing: Standing | None = None
    silence: str = ""
    halt: Halt | None = None
    hidden: bool = False
    taken: float = 0.0
    lag_seconds: float = 0.0
    slots: int = 1
    workers_per_gpu: int = 1
    seen: Look | None = None

    def is_young(self, submission: Submission) -> bool:
        """Whether a submission is so young that the queue need not show it yet."""
        return self.taken - submission.created < min(self.lag_seconds, YOUNG_SECONDS)

    def is_gone(self, job: str, heard: float) -> bool:
        """Whether a worker is known to be gone: by SLURM, after it was heard, its job did not run.

        Args:
            job: the raw id of its job; "" if it is in none.
            heard: when it last gave a sign of life, in seconds since the epoch.
        """
        return bool(job) and self.seen is not None and heard < self.seen.taken and job not in self._at_work

    @cached_property
    def _at_work(self) -> frozenset[str]:
        elements = () if self.seen is None else self.seen.elements
        return frozenset(element.raw for element in elements if element.state in AT_WORK)


def glance(sweep: SweepDir, site_of: Callable[[], Site], before: Glance | None = None) -> Glance:
    """Look at the journal of a sweep, and at SLURM's queue if it may say anything on it.

    Args:
        sweep: the sweep directory, which need not exist.
        site_of: the cluster; asked for only if there is a journal.
        before: the glance before, whose view of the queue is used again as long as it is young.

    Raises:
        SpecError: by `site_of`.
    """
    if _is_hidden(sweep):
        return Glance(hidden=True)
    try:
        journal = read_journal(sweep)
    except StoreError:
        return Glance(hidden=True)
    halt = read_halt(sweep)
    if not journal:
        return Glance(halt=halt)
    site = site_of()
    now = time.time()
    told = Glance(Standing(()), "", halt, False, now, site.lag_seconds, site.slots, site.workers_per_gpu)
    if before is not None and abs(now - before.taken) < site.poll_seconds:
        told = replace(told, seen=before.seen, taken=before.taken, silence=before.silence)
    else:
        try:
            seen = _look(sweep, site)
            told = replace(told, seen=seen, taken=seen.taken)
        except ClusterSilentError as silence:
            told = replace(told, silence=str(silence))
    if told.seen is None:
        return replace(told, standing=_by_disk(sweep, journal))
    ids = {element.name: element.job for element in told.seen.elements}
    known = [replace(s, job=ids.get(s.name)) if s.job is None else s for s in journal]

    def fresh(submission: Submission, index: int) -> bool:
        return told.is_young(submission) and not has_ended(sweep, submission.name, index)

    return replace(told, standing=stand(known, told.seen.elements, fresh=fresh))


def _is_hidden(sweep: SweepDir) -> bool:
    return sweep.state.exists() and not os.access(sweep.state, os.R_OK | os.X_OK)


def _look(sweep: SweepDir, site: Site) -> Look:
    """The queue of the user whose jobs these are."""
    owner = sweep.slurm.stat().st_uid
    if owner == os.getuid():
        return look(sweep.slurm / "queue.json", site.poll_seconds, seconds=_SECONDS)
    try:
        name = pwd.getpwuid(owner).pw_name
    except KeyError:
        name = str(owner)
    return Look(read_queue(name, seconds=_SECONDS), time.time())


def _by_disk(sweep: SweepDir, journal: Sequence[Submission]) -> Standing:
    """Every element that was handed over may be live, but for those that wrote down that they ended."""
    standing = stand(journal, (), fresh=lambda submission, index: True)
    return Standing(
        tuple(place for place in standing.places if not has_ended(sweep, place.submission.name, place.index))
    )
