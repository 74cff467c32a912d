"""When a sweep may be done, by what its runs took so far and by the workers that it has now. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lthsweep.launch.slurm.glance import AT_WORK
from lthsweep.launch.slurm.standing import Place
from lthsweep.launch.states import RunState, State, States
from lthsweep.plan.estimate import Estimate, estimate, recipe_id
from lthsweep.plan.run import Plan, Run

__all__ = ["Outlook", "outlook", "part_done"]

_NOT_LEFT: tuple[State, ...] = ("done", "cut off", "failed", "blocked", "canceled")


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

    Runs with a time of their own last it, from the beginning. While nobody knows how long an epoch takes, they are all
    that is counted: the end is no nearer than that.

    Args:
        plan: all runs.
        states: where they stand. What nobody will train is not left.
        seconds_per_epoch: as measured by earlier runs.
        here: workers of this machine, for sweeps that do not go to SLURM.

    Returns:
        None if no worker is known, or nothing of how long anything takes, or if nothing is left.
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
    if not workers:
        return None
    if any(run.budget for key, run in plan.runs.items() if key not in over):
        unknown = {recipe_id(run.recipe): 0.0 for run in plan.dense}
        seconds_per_epoch = {**unknown, **seconds_per_epoch}
    expected = estimate(plan, over, seconds_per_epoch, workers, begun)
    return None if expected is None else Outlook(expected, jobs, at_work)


def _slots(places: Iterable[Place], slots: int) -> int:
    return sum(min(slots, len(place.keys)) for place in places)


def _begun(state: RunState) -> float:
    beat = state.beat
    assert beat is not None
    return part_done(state.run, beat.epoch, beat.epochs, beat.phase, beat.time - beat.started)


def part_done(run: Run, epoch: float, epochs: float, phase: str, seconds: float) -> float:
    """The part of a run's own training that its worker has done, 0 to 1.

    A ticket starts at its rewind point. Of a run with a time of its own it is the part of the time; or, where it goes
    on from an earlier attempt, the part of its planned epochs if that is more.

    Args:
        run: which.
        epoch: done, as the worker counts: since initialization, or over all rounds of a budget.
        epochs: done at the end, counted alike.
        phase: the worker's word for what it does.
        seconds: since it began.
    """
    if run.budget is not None:
        planned = epoch / epochs if epochs and phase != "profile" else 0.0
        return min(1.0, max(planned, seconds / run.budget.seconds))
    own = run.epochs()
    return min(1.0, max(0.0, (epoch - (run.recipe.epochs - own)) / own)) if own > 0 else 0.0
