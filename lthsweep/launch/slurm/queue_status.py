"""The jobs of a sweep for read-only commands such as `status`; changes no files and submits no jobs.

Calls squeue at most once per `poll_seconds` of the site, for all processes that watch one sweep, and never for a sweep
without submissions. If SLURM does not answer, every submitted element without a recorded end may still be running.
"""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from lthsweep.errors import ClusterSilentError, StoreError
from lthsweep.launch.slurm.array_tasks import AT_WORK, YOUNG_SECONDS, ArrayTask, SubmittedTasks, match_tasks
from lthsweep.launch.slurm.cluster.queue import QueueSnapshot, queue_snapshot, read_queue
from lthsweep.launch.slurm.decisions import read_step_note
from lthsweep.launch.slurm.halt import Halt, read_halt
from lthsweep.launch.slurm.job_files import has_ended
from lthsweep.launch.slurm.journal import Submission, read_journal
from lthsweep.launch.slurm.sites.site import Site
from lthsweep.store.layout import SweepDir

__all__ = ["QueueStatus", "read_queue_status"]

_SECONDS = 20.0
"""Deadline of squeue: a user is waiting for the answer, and the disk has one too."""


@dataclass(frozen=True)
class QueueStatus:
    """The jobs of a sweep, as a read-only observer sees them.

    Attributes:
        tasks: status of all elements; None without submissions.
        silence: why SLURM did not answer; "" if it answered, or was not asked.
        halt: why the sweep is halted, if so.
        hidden: this user cannot read `state/`, so only records are visible, neither workers nor jobs.
        taken: time of the queue snapshot, seconds since the epoch.
        lag_seconds: time after submission during which a job can be missing from the queue.
        slots: workers in one job.
        workers_per_gpu: workers that share a GPU.
        limit: why ready runs got no job in the last step, such as a refusal; "" if all have one.
        snapshot: the queue snapshot; None if SLURM was not asked, or did not answer.
    """

    tasks: SubmittedTasks | None = None
    silence: str = ""
    halt: Halt | None = None
    hidden: bool = False
    taken: float = 0.0
    lag_seconds: float = 0.0
    slots: int = 1
    workers_per_gpu: int = 1
    limit: str = ""
    snapshot: QueueSnapshot | None = None

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
            bool(job)
            and self.snapshot is not None
            and heartbeat < self.snapshot.taken
            and job not in self._at_work
        )

    @cached_property
    def by_raw_id(self) -> Mapping[str, ArrayTask]:
        """Return raw job id → the array task that has it."""
        tasks = () if self.tasks is None else self.tasks.all
        return {task.queued.raw: task for task in tasks if task.queued is not None}

    @cached_property
    def _at_work(self) -> frozenset[str]:
        elements = () if self.snapshot is None else self.snapshot.elements
        return frozenset(element.raw for element in elements if element.state in AT_WORK)


def read_queue_status(
    sweep: SweepDir, site_of: Callable[[], Site], before: QueueStatus | None = None
) -> QueueStatus:
    """Read the journal of a sweep, and SLURM's queue if the sweep has submissions.

    Args:
        sweep: the sweep directory, which need not exist.
        site_of: returns the cluster; called only if there is a journal.
        before: the previous result, whose queue snapshot is reused while it is recent.

    Raises:
        SpecError: by `site_of`.
    """
    if _is_hidden(sweep):
        return QueueStatus(hidden=True)
    try:
        journal = read_journal(sweep)
    except StoreError:
        return QueueStatus(hidden=True)
    halt = read_halt(sweep)
    if not journal:
        return QueueStatus(halt=halt)
    site = site_of()
    now = time.time()
    result = QueueStatus(
        tasks=SubmittedTasks(()),
        halt=halt,
        taken=now,
        lag_seconds=site.lag_seconds,
        slots=site.slots,
        workers_per_gpu=site.workers_per_gpu,
        limit=read_step_note(sweep),
    )
    if before is not None and abs(now - before.taken) < site.poll_seconds:
        result = replace(result, snapshot=before.snapshot, taken=before.taken, silence=before.silence)
    else:
        try:
            snapshot = _snapshot_of(sweep, site)
            result = replace(result, snapshot=snapshot, taken=snapshot.taken)
        except ClusterSilentError as silence:
            result = replace(result, silence=str(silence))
    if result.snapshot is None:
        return replace(result, tasks=_by_disk(sweep, journal))
    ids = {element.name: element.job for element in result.snapshot.elements}
    known = [replace(s, job=ids.get(s.name)) if s.job is None else s for s in journal]

    def fresh(submission: Submission, index: int) -> bool:
        return result.is_young(submission) and not has_ended(sweep, submission.name, index)

    return replace(result, tasks=match_tasks(known, result.snapshot.elements, fresh=fresh))


def _is_hidden(sweep: SweepDir) -> bool:
    return sweep.state.exists() and not os.access(sweep.state, os.R_OK | os.X_OK)


def _snapshot_of(sweep: SweepDir, site: Site) -> QueueSnapshot:
    """Return the queue of the owner of the sweep directory."""
    owner = sweep.slurm.stat().st_uid
    if owner == os.getuid():
        return queue_snapshot(sweep.slurm / "queue.json", site.poll_seconds, seconds=_SECONDS)
    try:
        name = pwd.getpwuid(owner).pw_name
    except KeyError:
        name = str(owner)
    return QueueSnapshot(read_queue(name, seconds=_SECONDS), time.time())


def _by_disk(sweep: SweepDir, journal: Sequence[Submission]) -> SubmittedTasks:
    """Return the status without SLURM: every submitted element is live, except those with a recorded end."""
    tasks = match_tasks(journal, (), fresh=lambda submission, index: True)
    return SubmittedTasks(
        tuple(task for task in tasks.all if not has_ended(sweep, task.submission.name, task.index))
    )
