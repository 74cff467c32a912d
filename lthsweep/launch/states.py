"""Where every run stands: by its record, its worker, its failure and its job, trusted in this order. Pure.

Done is what has a record, and nothing else. What SLURM says decides only between ways of waiting; where it says
nothing, a run that was submitted is "unknown", never done and never failed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from lthsweep.launch.slurm.glance import AT_WORK, Glance
from lthsweep.launch.slurm.standing import Place
from lthsweep.launch.survey import Survey
from lthsweep.plan.run import Plan, Run
from lthsweep.store.failures import CANCELLED, Failure
from lthsweep.store.heartbeats import Heartbeat

__all__ = ["STATES", "RunState", "State", "States", "states_of"]

State = Literal[
    "done",
    "running",
    "ready",
    "waiting",
    "pending",
    "to be submitted",
    "unknown",
    "failed",
    "blocked",
    "canceled",
    "cut off",
]
STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True)
class RunState:
    """One run.

    Attributes:
        run: which.
        state: "running" has a worker; "ready" may start as soon as a worker is free; "waiting" waits for its parent
            and has a job, or needs none; "pending" has a job that SLURM has not started; "to be submitted" has none,
            in a sweep that goes to SLURM; "unknown" was submitted, and SLURM does not say what became of it; "failed",
            "canceled", "blocked" (by one of these) and "cut off" (by one that diverged) are not trained.
        beat: what its worker last said, of a running one.
        failure: why it failed or was canceled; or, of one that is to be tried again, how it ended last.
        place: the job that has it, or is to run it.
        waits_for: the parent that has to be finished first; None if it is, or there is none.
        blocked_by: the run that failed or was canceled, of a blocked one.
    """

    run: Run
    state: State
    beat: Heartbeat | None = None
    failure: Failure | None = None
    place: Place | None = None
    waits_for: Run | None = None
    blocked_by: Run | None = None


@dataclass(frozen=True)
class States:
    """All runs of a plan.

    Attributes:
        runs: key → state, in the order of the plan.
        glance: the jobs that the states were made from.
    """

    runs: Mapping[str, RunState]
    glance: Glance

    def count(self) -> dict[State, int]:
        """How many runs are in each state, in the order of `STATES`."""
        found = Counter(state.state for state in self.runs.values())
        return {state: found[state] for state in STATES}

    def those(self, *wanted: State) -> list[RunState]:
        """The runs in some states."""
        return [state for state in self.runs.values() if state.state in wanted]

    @property
    def is_finished(self) -> bool:
        """Whatever can be trained has a record."""
        return not self._has_others("done", "cut off")

    @property
    def is_over(self) -> bool:
        """Nothing more happens by itself: all runs are done or given up, or the sweep is halted and has drained."""
        if not self._has_others("done", "cut off", "failed", "blocked", "canceled"):
            return True
        return self.glance.halt is not None and not self.those("running", "pending", "ready", "unknown")

    def _has_others(self, *known: State) -> bool:
        return any(state.state not in known for state in self.runs.values())


def states_of(plan: Plan, found: Survey, glance: Glance) -> States:
    """Put together what records, workers and jobs say.

    Args:
        plan: all runs.
        found: by records, heartbeats and failures.
        glance: the sweep's jobs.
    """
    covered = {} if glance.standing is None else glance.standing.covered
    states: dict[str, RunState] = {}
    for key, run in plan.runs.items():  # parents come first
        parent = None if run.parent is None else states[run.parent]
        states[key] = _state(run, parent, found, covered.get(key), glance)
    return States(states, glance)


def _state(run: Run, parent: RunState | None, found: Survey, place: Place | None, glance: Glance) -> RunState:
    seen = found.states[run.key]
    failure = found.failures.get(run.key)
    if seen in ("done", "cut off"):
        return RunState(run, "done" if seen == "done" else "cut off")
    if (beat := found.heartbeats.get(run.key)) and not glance.is_gone(found.jobs[run.key], beat.time):
        return RunState(run, "running", beat=beat, place=place)
    if failure is not None and (failure.is_final or glance.standing is None):
        return RunState(run, "canceled" if failure.kind == CANCELLED else "failed", failure=failure)
    if parent is not None and parent.state in ("failed", "canceled", "blocked"):
        return RunState(run, "blocked", blocked_by=parent.blocked_by or parent.run)
    waits_for = None if parent is None or parent.state == "done" else parent.run
    if place is not None:
        return RunState(
            run, _by_job(place, glance, waits=waits_for is not None), None, failure, place, waits_for
        )
    if glance.standing is not None:
        return RunState(run, "to be submitted", failure=failure, waits_for=waits_for)
    return RunState(run, "waiting" if waits_for else "ready", waits_for=waits_for)


def _by_job(place: Place, glance: Glance, *, waits: bool) -> State:
    """The state of a run that a live element has."""
    if place.queued is None:
        return "pending" if not glance.silence and glance.is_young(place.submission) else "unknown"
    if place.queued.state not in AT_WORK:
        return "pending"
    return "waiting" if waits else "ready"
