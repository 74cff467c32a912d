"""The time that a sweep needs at least, from measured epochs and the workers that it has now. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lthsweep.launch.disk_status import RunStatus
from lthsweep.launch.sweep_status import RunState, SweepStatus
from lthsweep.plan.estimate import Estimate, estimate, recipe_id
from lthsweep.plan.run import Plan, Run

__all__ = ["Eta", "estimate_eta", "fraction_done"]

_NOT_LEFT = (
    RunStatus.DONE,
    RunStatus.SKIPPED,
    RunStatus.FAILED,
    RunStatus.BLOCKED,
    RunStatus.CANCELED,
    RunStatus.DAMAGED,
)


@dataclass(frozen=True)
class Eta:
    """An estimate and the workers for which it holds.

    Attributes:
        estimate: in seconds; its `wall` is a lower bound.
        jobs: number of jobs with these workers; 0 if they are processes of this machine.
        at_work: whether the jobs run; otherwise they wait in the queue.
    """

    estimate: Estimate
    jobs: int = 0
    at_work: bool = True


def estimate_eta(
    plan: Plan, status: SweepStatus, seconds_per_epoch: Mapping[str, float], here: int
) -> Eta | None:
    """Return the estimate for the runs that are left.

    A run with a time budget takes all of it. Where no epoch was measured yet, only such runs are counted.

    Args:
        plan: all runs.
        status: their states. Runs that will not be trained are not left.
        seconds_per_epoch: `recipe_id` → seconds, as earlier runs measured them.
        here: number of workers of this machine, for sweeps that do not go to SLURM.

    Returns:
        None if no worker or no duration is known, or no run is left.
    """
    over = {state.run.key for state in status.those(*_NOT_LEFT)}
    begun = {state.run.key: _begun(state) for state in status.those(RunStatus.RUNNING)}
    if len(over) == len(plan.runs):
        return None
    workers, jobs, at_work = here, 0, True
    if status.queue.tasks is not None:
        tasks = [t for t in status.queue.tasks.all if t.submission.kind == "workers" and t.queued]
        running = [task for task in tasks if task.is_at_work]
        elsewhere = len(
            {state.beat.worker for state in status.those(RunStatus.RUNNING) if state.beat and not state.task}
        )
        chosen = running if running or elsewhere else tasks
        jobs, at_work = len(chosen), bool(running or elsewhere)
        workers = elsewhere + jobs * status.queue.slots
    if not workers:
        return None
    if any(run.budget for key, run in plan.runs.items() if key not in over):
        unknown = {recipe_id(run.recipe): 0.0 for run in plan.dense}
        seconds_per_epoch = {**unknown, **seconds_per_epoch}
    expected = estimate(plan, over, seconds_per_epoch, workers, begun)
    return None if expected is None else Eta(expected, jobs, at_work)


def _begun(state: RunState) -> float:
    beat = state.beat
    assert beat is not None
    return fraction_done(state.run, beat.epoch, beat.epochs, beat.phase, beat.time - beat.started)


def fraction_done(run: Run, epoch: float, epochs: float, phase: str, seconds: float) -> float:
    """Return the fraction of a run's own training that its worker has done, in [0, 1].

    A ticket starts at its rewind point. For a run with a time budget it is the fraction of the time; or, if it resumed
    from a checkpoint, the fraction of its planned epochs if that is larger.

    Args:
        run: the run.
        epoch: epochs that are done, counted from initialization, or over all rounds of a budget.
        epochs: epochs at the end, counted in the same way.
        phase: what the worker reports that it does.
        seconds: since it started.
    """
    if run.budget is not None:
        planned = epoch / epochs if epochs and phase != "profile" else 0.0
        return min(1.0, max(planned, seconds / run.budget.seconds))
    own = run.epochs()
    return min(1.0, max(0.0, (epoch - (run.recipe.epochs - own)) / own)) if own > 0 else 0.0
