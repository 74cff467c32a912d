"""The time of a budget run: who keeps its accounts, plans anew after every epoch, and says when a round has to end."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, replace

from lthsweep.lottery.ledger import Ledger
from lthsweep.lottery.round import Round
from lthsweep.plan.rounds import Budget, BudgetCosts, BudgetProgress, RoundPlan, plan_rounds

__all__ = ["Timekeeper"]

_EPSILON = 1e-9


class Timekeeper:
    """Knows the time and the plan of a run, and nothing of its network.

    Args:
        budget: of the run.
        target: the sparsity to reach.
        full: epochs of a whole round after a pruning.
        ledger: of the run.
        now: seconds that the run has spent.
        measure: the costs of all there will be, for an epoch of so many seconds; called once, after the first epoch.
    """

    def __init__(
        self,
        budget: Budget,
        target: float,
        full: int,
        *,
        ledger: Ledger,
        now: Callable[[], float],
        measure: Callable[[float], BudgetCosts],
    ) -> None:
        self._budget, self._target, self._full = budget, target, full
        self._ledger, self._now, self._measure = ledger, now, measure

    def begin(self, training: Round) -> None:
        """Note that the time of a new round begins now."""
        ledger = self._ledger
        ledger.pace, ledger.counted = None, 0
        ledger.began = ledger.epoch_began = self._now()
        ledger.epoch_step = training.start_step

    def ends(self, training: Round) -> bool:
        """Keep the accounts between two steps, and say whether the round has to end here.

        Raises:
            BudgetError: if the time turns out to be too short for any ticket.
        """
        if len(training.progress.curves) > self._ledger.counted:
            self._count_epoch(training)
            return self._plan(training)
        return self._is_late(training)

    def close(self, training: Round) -> None:
        """Note what the round was, now that it is over."""
        ledger, progress = self._ledger, training.progress
        accuracy = progress.curves[-1].val_accuracy if progress.curves else math.nan
        ledger.rounds.append(
            {
                "epochs": training.epochs_done,
                "rate": ledger.rate,
                "sparsity": ledger.sparsity,
                "seconds": self._now() - ledger.began,
                "val_accuracy": accuracy if math.isfinite(accuracy) else None,
            }
        )

    def before_pruning(self) -> RoundPlan:
        """The plan between two rounds, of which the pruning to be made now is the first."""
        ledger = self._ledger
        plan = self._planned(BudgetProgress(self._now(), ledger.sparsity, ledger.made))
        if ledger.ahead and (plan.prunings, plan.epochs) != (ledger.ahead.prunings, ledger.ahead.epochs):
            ledger.replanned += 1
        return plan

    def pruned(self, plan: RoundPlan, sparsity: float) -> None:
        """Note that the first pruning of a plan was made; the round after it becomes the one under way."""
        ledger = self._ledger
        ledger.made, ledger.sparsity, ledger.rate = ledger.made + 1, sparsity, plan.rate
        later = plan.epochs if plan.prunings > 1 else 0
        ledger.ahead = replace(plan, current=plan.epochs, prunings=plan.prunings - 1, epochs=later)

    def _count_epoch(self, training: Round) -> None:
        ledger = self._ledger
        seconds = self._epoch_at_this_speed(training)
        if ledger.predicted is None:
            costs = self._measure(seconds)
            ledger.prune, ledger.score, ledger.finish = costs.prune, costs.score, costs.finish
        ledger.count_epoch(seconds)
        ledger.counted = len(training.progress.curves)
        ledger.epoch_began, ledger.epoch_step = self._now(), training.progress.step

    def _plan(self, training: Round) -> bool:
        """Make the plan anew; whether it has no more epochs for this round."""
        ledger, done = self._ledger, len(training.progress.curves)
        first = ledger.predicted is None
        standing = BudgetProgress(self._now(), ledger.sparsity, ledger.made, done, training.length)
        plan = self._planned(standing, may_refuse=first)
        if first:
            ledger.predicted, ledger.planned, ledger.profile = plan.end, plan.prunings, asdict(ledger.costs)
        elif ledger.ahead and _differ(plan, ledger.ahead):
            ledger.replanned += 1
        ledger.ahead = plan
        if plan.current <= done:
            return True
        training.end_after(plan.current)
        return False

    def _planned(self, standing: BudgetProgress, *, may_refuse: bool = False) -> RoundPlan:
        costs = self._ledger.costs
        return plan_rounds(self._budget, self._target, standing, costs, self._full, may_refuse=may_refuse)

    def _is_late(self, training: Round) -> bool:
        """Whether a round must break off in the middle of an epoch, so that its ticket can still be trained."""
        ledger, now, elapsed = self._ledger, self._now(), self._epoch_at_this_speed(training)
        if ledger.ahead is None:
            if now > self._budget.seconds:
                self._refuse(training, elapsed)
            return False
        if not ledger.ahead.prunings:
            return False
        costs = ledger.costs
        epoch = max(costs.epoch, elapsed) if now - ledger.epoch_began > costs.epoch else costs.epoch
        epochs = min(self._budget.min_round_epochs, self._full, ledger.ahead.epochs)
        one_more_step = epoch / training.steps_per_epoch
        rest = one_more_step + costs.prune + epochs * epoch + costs.score + costs.finish
        late = now + rest > self._budget.seconds * (1 + _EPSILON)
        if late:
            ledger.epochs = [epoch]  # what comes next is planned at this speed, until an epoch says otherwise
        return late

    def _refuse(self, training: Round, epoch: float) -> None:
        """With not even one epoch done the time is over: say so now, by what that epoch would have taken."""
        profiled = BudgetProgress(epoch, done=1, length=training.length)
        plan_rounds(self._budget, self._target, profiled, BudgetCosts(epoch), self._full, may_refuse=True)

    def _epoch_at_this_speed(self, training: Round) -> float:
        """Seconds of a whole epoch, by the steps since the last one that was counted."""
        steps = training.progress.step - self._ledger.epoch_step
        return (self._now() - self._ledger.epoch_began) * training.steps_per_epoch / max(1, steps)


def _differ(plan: RoundPlan, other: RoundPlan) -> bool:
    return (plan.current, plan.prunings, plan.epochs) != (other.current, other.prunings, other.epochs)
