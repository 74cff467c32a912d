"""Cost of a plan: epochs with sharing, epochs of the naive nested loop, and estimated time.

The naive loop shares nothing: for every cell, it trains dense, prunes, rewinds and retrains, and for iterative
pruning rebuilds the whole chain. With T epochs, S seeds, R rewind points of mean k and P sparsities
above zero:

    one-shot, shared     S · [T + R·P·(T − k)]          naive   S·R·P·(2T − k)
    iterative, shared    S · [T + R·P·(T − k)]          naive   S·R·[P·T + (T − k)·P·(P + 1)/2]

A cell of sparsity 0 is the dense run: nothing more with sharing, another S·R·T in the naive loop.

A budget run is counted in seconds, not in epochs: the number of epochs that fit is only known after training.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from lthsweep.plan.run import Plan, Recipe, Run
from lthsweep.plan.steps import recipe_steps

__all__ = [
    "Estimate",
    "PlanCost",
    "cost_json",
    "cost_of",
    "estimate",
    "recipe_id",
    "seconds_spared",
]


@dataclass(frozen=True)
class PlanCost:
    """Counts of a plan; epochs are epochs of training, without those of budget runs.

    Attributes:
        budget_runs, seconds_budgeted, seconds_budgeted_left: their number, the sum of their budgets, and the same for
            those that are not done.
    """

    cells: int
    runs: int
    dense_runs: int
    ticket_runs: int
    epochs: float
    epochs_naive: float
    done: int
    epochs_left: float
    budget_runs: int = 0
    seconds_budgeted: float = 0.0
    seconds_budgeted_left: float = 0.0

    @property
    def saving(self) -> float:
        """How many times fewer epochs than the naive loop."""
        return self.epochs_naive / self.epochs if self.epochs else 1.0


@dataclass(frozen=True)
class Estimate:
    """Seconds: all work on one worker, and the longest chain of dependent runs, which no worker shortens."""

    work: float
    longest_chain: float
    workers: int

    @property
    def wall(self) -> float:
        """No schedule ends before max(work / workers, longest chain)."""
        return max(self.work / self.workers, self.longest_chain)


def cost_of(plan: Plan, done: Collection[str] = ()) -> PlanCost:
    """Count cells, runs and epochs.

    Args:
        plan: the expanded grid.
        done: keys of runs that have a record already.
    """
    lengths = _Lengths()
    epochs_to_answer: dict[str, float] = {}  # dense run included: what one cell costs alone
    for key, run in plan.runs.items():
        own = lengths.epochs(run)
        epochs_to_answer[key] = own + (epochs_to_answer[run.parent] if run.parent else 0.0)
    tickets = len(plan.tickets)
    budgets = {key: run.budget.seconds for key, run in plan.runs.items() if run.budget is not None}
    return PlanCost(
        cells=len(plan.cells),
        runs=len(plan.runs),
        dense_runs=len(plan.runs) - tickets,
        ticket_runs=tickets,
        epochs=_tidy(sum(lengths.epochs(run) for run in plan.runs.values())),
        epochs_naive=_tidy(sum(epochs_to_answer[cell.run] for cell in plan.cells)),
        done=sum(key in done for key in plan.runs),
        epochs_left=_tidy(sum(lengths.epochs(run) for key, run in plan.runs.items() if key not in done)),
        budget_runs=len(budgets),
        seconds_budgeted=sum(budgets.values()),
        seconds_budgeted_left=sum(seconds for key, seconds in budgets.items() if key not in done),
    )


def estimate(
    plan: Plan,
    done: Collection[str],
    seconds_per_epoch: Mapping[str, float],
    workers: int,
    begun: Mapping[str, float] = MappingProxyType({}),
) -> Estimate | None:
    """Time for the remaining runs, or None if the seconds per epoch of some recipe are unknown.

    Args:
        plan: the expanded grid.
        done: keys of finished runs.
        seconds_per_epoch: `recipe_id` → measured seconds of one epoch, evaluation included.
        workers: how many runs train at once.
        begun: key of a run that is being trained → the part of it that is done, 0 to 1.
    """
    lengths = _Lengths()
    work = 0.0
    chain: dict[str, float] = {}
    ids: dict[int, str] = {}
    for key, run in plan.runs.items():
        seconds = 0.0
        if key not in done:
            whole = _seconds(run, lengths, ids, seconds_per_epoch)
            if whole is None:
                return None
            seconds = (1 - begun.get(key, 0.0)) * whole
        work += seconds
        chain[key] = seconds + (chain[run.parent] if run.parent else 0.0)
    return Estimate(work, max(chain.values(), default=0.0), max(1, workers))


def seconds_spared(plan: Plan, seconds_per_epoch: Mapping[str, float]) -> float | None:
    """Seconds of training that the naive loop would take and the shared plan does not, all on one worker.

    Args:
        plan: the expanded grid.
        seconds_per_epoch: as for `estimate`; None is returned where that of some recipe is not known.
    """
    lengths = _Lengths()
    ids: dict[int, str] = {}
    own: dict[str, float] = {}
    alone: dict[str, float] = {}  # with all that a run descends from: what one cell costs
    for key, run in plan.runs.items():
        seconds = _seconds(run, lengths, ids, seconds_per_epoch)
        if seconds is None:
            return None
        own[key] = seconds
        alone[key] = own[key] + (alone[run.parent] if run.parent else 0.0)
    return max(0.0, sum(alone[cell.run] for cell in plan.cells) - sum(own.values()))


def recipe_id(recipe: Recipe) -> str:
    """A name for recipes whose epochs take equally long: all but number of epochs, rates, initialization."""
    optimizer = recipe.train["optimizer"]
    assert isinstance(optimizer, Mapping)
    train = {name: recipe.train[name] for name in ("batch_size", "precision")} | {
        "optimizer": optimizer["name"]
    }
    model = {name: value for name, value in recipe.model.items() if name != "init"}
    return json.dumps({"model": model, "data": dict(recipe.data), "train": train}, sort_keys=True)


def cost_json(cost: PlanCost) -> dict[str, object]:
    """The counts under the names that `lthsweep plan --json` promises."""
    return {**vars(cost), "saving": round(cost.saving, 3)}


class _Lengths:
    """Epochs of runs, with the size of each recipe's epoch looked up once."""

    def __init__(self) -> None:
        self._steps: dict[int, int | None] = {}

    def epochs(self, run: Run) -> float:
        name = id(run.recipe)
        if name not in self._steps:
            self._steps[name] = recipe_steps(run.recipe)
        return run.epochs(self._steps[name])


def _seconds(
    run: Run, lengths: _Lengths, ids: dict[int, str], seconds_per_epoch: Mapping[str, float]
) -> float | None:
    """Seconds of a run, for a budget run its whole budget; None if unknown."""
    if run.budget is not None:
        return run.budget.seconds
    seconds = seconds_per_epoch.get(ids.setdefault(id(run.recipe), recipe_id(run.recipe)))
    return None if seconds is None else lengths.epochs(run) * seconds


def _tidy(epochs: float) -> float:
    """Whole epochs print as integers in JSON."""
    rounded = round(float(epochs), 6)
    return int(rounded) if rounded.is_integer() else rounded
