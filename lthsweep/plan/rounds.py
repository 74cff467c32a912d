"""A ticket within a given time: number and length of the rounds that fit, and how much each of them prunes. Pure.

A budget run trains, prunes and rewinds in rounds, the last of which trains the ticket (docs/budget.md). From the
measured seconds of an epoch, a pruning and the final scores, `plan_rounds` plans the remaining time. It is called
again after every epoch, so a slower or faster machine changes the plan and not the deadline.

To reach S in n rounds, each removes p = 1 − (1 − S)^(1/n) of the remaining weights. Budgets of epochs: Zimmer, Spiegel
& Pokutta, ICLR 2023, arXiv:2111.00843; here the budget is the clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from lthsweep.errors import BudgetError
from lthsweep.spec.text_forms import as_duration

__all__ = [
    "Budget",
    "BudgetCosts",
    "BudgetProgress",
    "RoundPlan",
    "next_sparsity",
    "plan_rounds",
    "rate_of",
    "smallest_budget",
]

_DIGITS = 12
_MARGIN = 1.05
"""A refusal suggests a budget larger than measured by this factor, because later epochs can be slower."""
_EPSILON = 1e-9
"""Relative; rounding of a sum of seconds must not change a decision."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The time limit of a budget run.

    Attributes:
        seconds: of wall clock, from the start of training to the end of the last scores and of saving.
        min_round_epochs: the shortest round that is planned.
        max_rounds: largest number of prunings.
    """

    seconds: float
    min_round_epochs: int = 1
    max_rounds: int = 10

    def __str__(self) -> str:
        return as_duration(self.seconds)


@dataclass(frozen=True, slots=True)
class BudgetCosts:
    """Measured seconds.

    Attributes:
        epoch: training and validation of one epoch.
        prune: making a mask and rewinding the survivors.
        score: scoring the ticket right after the last pruning.
        finish: scoring it at the end, and saving it.
    """

    epoch: float
    prune: float = 0.0
    score: float = 0.0
    finish: float = 0.0


@dataclass(frozen=True, slots=True)
class BudgetProgress:
    """How far a run has come.

    Attributes:
        spent: seconds so far.
        sparsity: of the network that is being trained, or was until just now.
        made: prunings so far.
        done: epochs of the round under way that are done.
        length: epochs of that round in full. Equal to `done` if it is over.
    """

    spent: float
    sparsity: float = 0.0
    made: int = 0
    done: int = 0
    length: int = 0


@dataclass(frozen=True, slots=True)
class RoundPlan:
    """A plan for the remaining time.

    Attributes:
        current: epochs of the round under way, those that are done included.
        prunings: still to come; a round of training follows each.
        epochs: of each of these rounds.
        rate: share of the remaining weights that each pruning removes; 0 if none is to come.
        end: predicted seconds from the start to the end.
    """

    current: int
    prunings: int
    epochs: int
    rate: float
    end: float


def plan_rounds(
    budget: Budget,
    target: float,
    progress: BudgetProgress,
    costs: BudgetCosts,
    full: int,
    *,
    may_refuse: bool = False,
) -> RoundPlan:
    """Plan the remaining time of a budget run.

    As many rounds of full length as fit. If not even one pruning leaves time for full rounds, there is one pruning,
    and the round before it and the one after it are shortened alike. The first plan is a promise: it keeps
    `min_round_epochs` or refuses. Later ones keep the time as well as they can: rounds become shorter than
    that if they must, down to a single epoch for the ticket.

    Args:
        budget: the time limit.
        target: the sparsity to reach, in (0, 1).
        progress: how far the run has come.
        costs: measured seconds.
        full: epochs of a whole round after a pruning, at least 1.
        may_refuse: whether this is the first plan.

    Raises:
        BudgetError: if `may_refuse` and the budget is too small; names the smallest that would do.
    """
    left = budget.seconds * (1 + _EPSILON) - progress.spent
    if progress.sparsity >= target:
        room = max(0, _floor((left - costs.finish) / costs.epoch))
        current = min(progress.length, max(progress.done + room, 1))
        return _rounds(current, 0, 0, target, progress, costs)
    for prunings in range(max(1, budget.max_rounds - progress.made), 0, -1):
        if _seconds(progress.length, prunings, full, progress, costs) <= left:
            return _rounds(progress.length, prunings, full, target, progress, costs)
    least = min(budget.min_round_epochs, full)
    for epochs in range(max(progress.length, full) - 1, 0, -1):
        if epochs < least and may_refuse:
            break
        current = min(progress.length, max(epochs, progress.done))
        after = min(epochs, full)
        if _seconds(current, 1, after, progress, costs) <= left:
            return _rounds(current, 1, after, target, progress, costs)
    if may_refuse:
        raise BudgetError(_refusal(budget, progress, costs, full))
    return _rounds(progress.done, 1, 1, target, progress, costs)


def smallest_budget(budget: Budget, progress: BudgetProgress, costs: BudgetCosts, full: int) -> float:
    """Seconds of the smallest budget that would not have been refused, with a margin of 5 %, rounded up.

    Args:
        budget: for its `min_round_epochs`.
        progress: after the profiled epoch.
        costs: as profiled.
        full: as for `plan_rounds`.
    """
    least = min(budget.min_round_epochs, full)
    current = max(min(least, progress.length), progress.done)
    needed = _MARGIN * (progress.spent + _seconds(current, 1, least, progress, costs))
    step = 1 if needed < 600 else 60
    return float(step * math.ceil(needed / step))


def next_sparsity(sparsity: float, target: float, prunings: int) -> float:
    """The sparsity after the next pruning, if each removes the same share of the remaining weights.

    Returns:
        In (sparsity, target]; the target itself, to the last bit, if it is the last pruning.
    """
    if prunings <= 1:
        return target
    kept = (1 - sparsity) * (1 - rate_of(sparsity, target, prunings))
    return min(target, round(1 - kept, _DIGITS))


def rate_of(sparsity: float, target: float, prunings: int) -> float:
    """P = 1 − ((1 − S) / (1 − s))^(1/n); from s = 0 the usual 1 − (1 − S)^(1/n)."""
    return 1 - ((1 - target) / (1 - sparsity)) ** (1 / prunings) if prunings else 0.0


def _seconds(current: int, prunings: int, epochs: int, progress: BudgetProgress, costs: BudgetCosts) -> float:
    """Seconds that a plan takes from now on."""
    now = (current - progress.done) * costs.epoch
    return now + prunings * (costs.prune + epochs * costs.epoch) + bool(prunings) * costs.score + costs.finish


def _rounds(
    current: int, prunings: int, epochs: int, target: float, progress: BudgetProgress, costs: BudgetCosts
) -> RoundPlan:
    return RoundPlan(
        current,
        prunings,
        epochs,
        rate_of(progress.sparsity, target, prunings),
        progress.spent + _seconds(current, prunings, epochs, progress, costs),
    )


def _floor(epochs: float) -> int:
    return math.floor(epochs + _EPSILON)


def _refusal(budget: Budget, progress: BudgetProgress, costs: BudgetCosts, full: int) -> str:
    least = min(budget.min_round_epochs, full)
    rounds = "round of at least one epoch" if least == 1 else f"round of at least {least} epochs"
    return (
        f"prune.time = {budget} is too short here: an epoch takes {costs.epoch:.3g} s, and it takes a dense {rounds}, "
        f"a pruning, and a ticket's {rounds}; the smallest time that would do is "
        f"{as_duration(smallest_budget(budget, progress, costs, full))}"
    )
