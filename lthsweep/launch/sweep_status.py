"""The status of every run by its record, its worker, its failure and its job, trusted in this order. Pure.

Only a record makes a run done. SLURM decides only between ways of waiting. Where SLURM gives no information, a
submitted run is "unknown", never done and never failed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from lthsweep.launch.disk_status import DiskStatus, RunStatus
from lthsweep.launch.slurm.array_tasks import ArrayTask
from lthsweep.launch.slurm.queue_status import QueueStatus
from lthsweep.plan.run import Plan, Run
from lthsweep.store.failures import CANCELLED, Failure
from lthsweep.store.heartbeats import Heartbeat

__all__ = ["RunState", "SweepStatus", "sweep_status"]


@dataclass(frozen=True)
class RunState:
    """One run: its status and the reason for it.

    Attributes:
        run: the run.
        state: its status.
        beat: last heartbeat of its worker, if it is running.
        failure: why it failed or was canceled; of a run that is tried again, how its last attempt ended.
        task: the job that trains it, or that has it in its share.
        waits_for: the parent, while it has no record.
        blocked_by: the run that failed, was canceled or is damaged, if the run is blocked.
        damage: of its record, if it is damaged.
    """

    run: Run
    state: RunStatus
    beat: Heartbeat | None = None
    failure: Failure | None = None
    task: ArrayTask | None = None
    waits_for: Run | None = None
    blocked_by: Run | None = None
    damage: str = ""


@dataclass(frozen=True)
class SweepStatus:
    """The states of all runs of a plan.

    Attributes:
        runs: key → state, in the order of the plan.
        queue: the jobs from which they follow.
    """

    runs: Mapping[str, RunState]
    queue: QueueStatus

    def count(self) -> dict[RunStatus, int]:
        """Return how many runs have each status."""
        found = Counter(state.state for state in self.runs.values())
        return {state: found[state] for state in RunStatus}

    def those(self, *wanted: RunStatus) -> list[RunState]:
        """Return the runs with one of some statuses."""
        return [state for state in self.runs.values() if state.state in wanted]

    @property
    def is_finished(self) -> bool:
        """Whether every run that can be trained has a record."""
        return all(state.state in (RunStatus.DONE, RunStatus.SKIPPED) for state in self.runs.values())

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens without the user: all runs have ended, or the sweep is halted and drained."""
        if all(state.state in _ENDED for state in self.runs.values()):
            return True
        return self.queue.halt is not None and not self.those(*_UNDER_WAY)


_BLOCKING = (RunStatus.FAILED, RunStatus.CANCELED, RunStatus.BLOCKED, RunStatus.DAMAGED)
_ENDED = (RunStatus.DONE, RunStatus.SKIPPED, *_BLOCKING)
_UNDER_WAY = (RunStatus.RUNNING, RunStatus.PENDING, RunStatus.READY, RunStatus.UNKNOWN)


def sweep_status(plan: Plan, found: DiskStatus, queue: QueueStatus) -> SweepStatus:
    """Return the state of every run.

    Args:
        plan: all runs.
        found: their status by files.
        queue: the jobs of the sweep.
    """
    states: dict[str, RunState] = {}
    for key, run in plan.runs.items():  # parents come first
        parent = None if run.parent is None else states[run.parent]
        if parent is not None and parent.state is RunStatus.DONE:
            parent = states[run.trunk]  # not done if its record was moved away after the parent was trained
        states[key] = _state(run, parent, found, queue)
    return SweepStatus(states, queue)


def _state(run: Run, parent: RunState | None, found: DiskStatus, queue: QueueStatus) -> RunState:
    on_disk = found.states[run.key]
    failure = found.failures.get(run.key)
    if on_disk in (RunStatus.DONE, RunStatus.SKIPPED, RunStatus.DAMAGED):
        return RunState(run, on_disk, damage=found.damaged.get(run.key, ""))
    if (beat := found.heartbeats.get(run.key)) and not queue.is_gone(job := found.jobs[run.key], beat.time):
        return RunState(run, RunStatus.RUNNING, beat=beat, task=queue.by_raw_id.get(job))
    if failure is not None and (failure.is_final or queue.tasks is None):
        is_canceled = failure.kind == CANCELLED
        return RunState(run, RunStatus.CANCELED if is_canceled else RunStatus.FAILED, failure=failure)
    if parent is not None and parent.state in _BLOCKING:
        return RunState(run, RunStatus.BLOCKED, blocked_by=parent.blocked_by or parent.run)
    if parent is not None and parent.state is not RunStatus.DONE:
        return RunState(run, RunStatus.WAITING, failure=failure, waits_for=parent.run)
    if queue.tasks is None:
        return RunState(run, RunStatus.READY)
    if (task := queue.tasks.covered.get(run.key)) is not None:
        return RunState(run, _by_job(task, queue), failure=failure, task=task)
    has_workers = any(task.is_at_work for task in queue.tasks.all if task.submission.kind == "workers")
    return RunState(run, RunStatus.READY if has_workers else RunStatus.TO_BE_SUBMITTED, failure=failure)


def _by_job(task: ArrayTask, queue: QueueStatus) -> RunStatus:
    """Return the status of a run in the share of a live worker job."""
    if task.queued is None:
        is_new = not queue.silence and queue.is_young(task.submission)
        return RunStatus.PENDING if is_new else RunStatus.UNKNOWN
    return RunStatus.READY if task.is_at_work else RunStatus.PENDING
