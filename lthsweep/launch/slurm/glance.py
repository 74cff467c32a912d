"""State of a sweep's jobs for read-only commands such as `status`; changes no files and submits no jobs.

Calls squeue at most once per `poll_seconds` of the site, for all processes that watch one sweep, and never for a sweep
without submissions. If SLURM does not answer, every submitted element without a recorded end may still be running.
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
"""States of a job that has started; in all other states SLURM will start it, or start it again."""

_SECONDS = 20.0
"""Deadline of squeue: a user is waiting for the answer, and the disk has one too."""


@dataclass(frozen=True)
class Glance:
    """The jobs of a sweep, as a read-only observer sees them.

    Attributes:
        standing: status of all elements; None without submissions.
        silence: why SLURM did not answer; "" if it answered, or was not asked.
        halt: why the sweep is halted, if so.
        hidden: this user cannot read `state/`, so only records are visible, neither workers nor jobs.
        taken: time of the queue snapshot, seconds since the epoch.
        lag_seconds: time after submission during which a job can be missing from the queue.
        slots: workers in one job.
        workers_per_gpu: workers that share a GPU.
        seen: the queue snapshot; None if SLURM was not asked, or did not answer.
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
        """Return whether a submission is so recent that the queue may not list it yet."""
        return self.taken - submission.created < min(self.lag_seconds, YOUNG_SECONDS)

    def is_gone(self, job: str, heartbeat: float) -> bool:
        """Return whether a worker is known to be gone: its job did not run in a snapshot after its last heartbeat.

        Args:
            job: the raw id of its job; "" without a job.
            heartbeat: time of its last heartbeat, in seconds since the epoch.
        """
        return (
            bool(job) and self.seen is not None and heartbeat < self.seen.taken and job not in self._at_work
        )

    @cached_property
    def _at_work(self) -> frozenset[str]:
        elements = () if self.seen is None else self.seen.elements
        return frozenset(element.raw for element in elements if element.state in AT_WORK)


def glance(sweep: SweepDir, site_of: Callable[[], Site], before: Glance | None = None) -> Glance:
    """Read the journal of a sweep, and SLURM's queue if the sweep has submissions.

    Args:
        sweep: the sweep directory, which need not exist.
        site_of: returns the cluster; called only if there is a journal.
        before: the previous result, whose queue snapshot is reused while it is recent.

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
    result = Glance(Standing(()), "", halt, False, now, site.lag_seconds, site.slots, site.workers_per_gpu)
    if before is not None and abs(now - before.taken) < site.poll_seconds:
        result = replace(result, seen=before.seen, taken=before.taken, silence=before.silence)
    else:
        try:
            seen = _look(sweep, site)
            result = replace(result, seen=seen, taken=seen.taken)
        except ClusterSilentError as silence:
            result = replace(result, silence=str(silence))
    if result.seen is None:
        return replace(result, standing=_by_disk(sweep, journal))
    ids = {element.name: element.job for element in result.seen.elements}
    known = [replace(s, job=ids.get(s.name)) if s.job is None else s for s in journal]

    def fresh(submission: Submission, index: int) -> bool:
        return result.is_young(submission) and not has_ended(sweep, submission.name, index)

    return replace(result, standing=stand(known, result.seen.elements, fresh=fresh))


def _is_hidden(sweep: SweepDir) -> bool:
    return sweep.state.exists() and not os.access(sweep.state, os.R_OK | os.X_OK)


def _look(sweep: SweepDir, site: Site) -> Look:
    """Return the queue of the owner of the sweep directory."""
    owner = sweep.slurm.stat().st_uid
    if owner == os.getuid():
        return look(sweep.slurm / "queue.json", site.poll_seconds, seconds=_SECONDS)
    try:
        name = pwd.getpwuid(owner).pw_name
    except KeyError:
        name = str(owner)
    return Look(read_queue(name, seconds=_SECONDS), time.time())


def _by_disk(sweep: SweepDir, journal: Sequence[Submission]) -> Standing:
    """Return the status without SLURM: every submitted element is live, except those with a recorded end."""
    standing = stand(journal, (), fresh=lambda submission, index: True)
    return Standing(
        tuple(place for place in standing.places if not has_ended(sweep, place.submission.name, place.index))
    )
