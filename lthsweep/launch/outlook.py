"""When a sweep may be done, by what its runs took so far and by the workers that it has now. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lthsweep.launch.slurm.glance import AT_WORK
from lthsweep.launch.slurm.standing import Place
from lthsweep.launch.states import RunState, State, States
from lthsweep.plan.cost import Estimate, estimate
from lthsweep.plan.run import Plan

__all__ = ["Outlook", "outlook"]

_NOT_LEFT: tuple[State, ...] = ("done", "cut off", "failed", "blocked", "cancelled")


@dataclass(frozen=True)
class Outlook:
    """An estimate and the workers that it counts on.

    Attributes:
        estimate: in seconds; the end is no nearer than its `wall`.
        jobs: how many jobs have these workers; 0 if they are processes of this machine.
        at_work: whether these jobs run; otherwise they wait in the queue.
    """

    estimate: Estimate
    jobs: int = 0
    at_work: bool = True


def outlook(plan: Plan, states: States, seconds_per_epoch: Mapping[str, float], here: int) -> Outlook | None:
    """What is left, shared among the workers that there are.

    Args:
        plan: all runs.
        states: where they stand. What nobody will train is not left.
        seconds_per_epoch: as measured by earlier runs.
        here: workers of this machine, for sweeps that do not go to SLURM.

    Returns:
        None if no worker is known, or not how long an epoch takes, or if nothing is left.
    """
    over = {state.run.key for state in states.those(*_NOT_LEFT)}
    begun = {state.run.key: _begun(state) for state in states.those("running")}
    if len(over) == len(plan.runs):
        return None
    workers, jobs, at_work = here, 0, True
    if states.glance.standing is not None:
        places = [p for p in states.glance.standing.places if p.submission.kind == "train" and p.queued]
        running = [p for p in places if p.queued is not None and p.queued.state in AT_WORK]
        elsewhere = len(
            {state.beat.worker for state in states.those("running") if state.beat and not state.place}
        )
        chosen = running if running or elsewhere else places
        jobs, at_work = len(chosen), bool(running or elsewhere)
        workers = elsewhere + _slots(chosen, states.glance.slots)
    expected = estimate(plan, over, seconds_per_epoch, workers, begun) if workers else None
    return None if expected is None else Outlook(expected, jobs, at_work)


def _slots(places: Iterable[Place], slots: int) -> int:
    return sum(min(slots, len(place.keys)) for place in places)


def _begun(state: RunState) -> float:
    """The part of a run's own training that its worker has done; a ticket starts at its rewind point."""
    assert state.beat is not None
    if state.run.budget is not None:  # its worker counts over all rounds, of a plan that may still change
        return min(1.0, state.beat.epoch / state.beat.epochs) if state.beat.epochs else 0.0
    total, own = state.run.recipe.epochs, state.run.epochs()
    done = state.beat.epoch - (total - own)
    return min(1.0, max(0.0, done / own)) if own > 0 else 0.0
