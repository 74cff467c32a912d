"""The status of every run by its record, its worker, its failure and its job, trusted in this order. Pure.

Only a record makes a run done. SLURM decides only between ways of waiting. Where SLURM gives no information, a
submitted run is "unknown", never done and never failed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from lthsweep.launch.disk_status import DiskStatus, RunStatus
from lthsweep.launch.slurm.glance import AT_WORK, Glance
from lthsweep.launch.slurm.standing import Place
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
        place: the job that trains it or will train it.
        waits_for: the parent, while it has no record.
        blocked_by: the run that failed or was canceled, if the run is blocked.
    """

    run: Run
    state: RunStatus
    beat: Heartbeat | None = None
    failure: Failure | None = None
    place: Place | None = None
    waits_for: Run | None = None
    blocked_by: Run | None = None


@dataclass(frozen=True)
class SweepStatus:
    """The states of all runs of a plan.

    Attributes:
        runs: key → state, in the order of the plan.
        glance: the jobs from which they follow.
    """

    runs: Mapping[str, RunState]
    glance: Glance

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
        return self.glance.halt is not None and not self.those(*_UNDER_WAY)


_ENDED = (RunStatus.DONE, RunStatus.SKIPPED, RunStatus.FAILED, RunStatus.BLOCKED, RunStatus.CANCELED)
_UNDER_WAY = (RunStatus.RUNNING, RunStatus.PENDING, RunStatus.READY, RunStatus.UNKNOWN)


def sweep_status(plan: Plan, found: DiskStatus, glance: Glance) -> SweepStatus:
    """Return the state of every run.

    Args:
        plan: all runs.
        found: their status by files.
        glance: the jobs of the sweep.
    """
    covered = {} if glance.standing is None else glance.standing.covered
    states: dict[str, RunState] = {}
    for key, run in plan.runs.items():  # parents come first
        parent = None if run.parent is None else states[run.parent]
        states[key] = _state(run, parent, found, covered.get(key), glance)
    return SweepStatus(states, glance)


def _state(
    run: Run, parent: RunState | None, found: DiskStatus, place: Place | None, glance: Glance
) -> RunState:
    on_disk = found.states[run.key]
    failure = found.failures.get(run.key)
    if on_disk in (RunStatus.DONE, RunStatus.SKIPPED):
        return RunState(run, on_disk)
    if (beat := found.heartbeats.get(run.key)) and not glance.is_gone(found.jobs[run.key], beat.time):
        return RunState(run, RunStatus.RUNNING, beat=beat, place=place)
    if failure is not None and (failure.is_final or glance.standing is None):
        is_canceled = failure.kind == CANCELLED
        return RunState(run, RunStatus.CANCELED if is_canceled else RunStatus.FAILED, failure=failure)
    if parent is not None and parent.state in (RunStatus.FAILED, RunStatus.CANCELED, RunStatus.BLOCKED):
        return RunState(run, RunStatus.BLOCKED, blocked_by=parent.blocked_by or parent.run)
    waits_for = None if parent is None or parent.state is RunStatus.DONE else parent.run
    if place is not None:
        state = _by_job(place, glance, waits=waits_for is not None)
        return RunState(run, state, None, failure, place, waits_for)
    if glance.standing is not None:
        return RunState(run, RunStatus.TO_BE_SUBMITTED, failure=failure, waits_for=waits_for)
    return RunState(run, RunStatus.WAITING if waits_for else RunStatus.READY, waits_for=waits_for)


def _by_job(place: Place, glance: Glance, *, waits: bool) -> RunStatus:
    """Return the status of a run that a live array task covers."""
    if place.queued is None:
        is_new = not glance.silence and glance.is_young(place.submission)
        return RunStatus.PENDING if is_new else RunStatus.UNKNOWN
    if place.queued.state not in AT_WORK:
        return RunStatus.PENDING
    return RunStatus.WAITING if waits else RunStatus.READY
