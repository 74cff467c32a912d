"""The time of a budget run: who keeps its accounts, plans anew after every epoch, and says when a round has to end."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, replace

from lthsweep.lottery.budget_round import BudgetRound
from lthsweep.lottery.budget_state import BudgetState
from lthsweep.plan.rounds import Budget, BudgetCosts, BudgetProgress, RoundPlan, plan_rounds

__all__ = ["BudgetPlanner"]

_EPSILON = 1e-9


class BudgetPlanner:
    """Knows the time and the plan of a run, and nothing of its network.

    Args:
        budget: of the run.
        target: the sparsity to reach.
        full: epochs of a whole round after a pruning.
        state: of the run.
        now: seconds that the run has spent.
        measure: the costs of all there will be, for an epoch of so many seconds; called once, after the first epoch.
    """

    def __init__(
        self,
        budget: Budget,
        target: float,
        full: int,
        *,
        state: BudgetState,
        now: Callable[[], float],
        measure: Callable[[float], BudgetCosts],
    ) -> None:
        self._budget, self._target, self._full = budget, target, full
        self._budget_state, self._now, self._measure = state, now, measure

    def begin(self, training: BudgetRound) -> None:
        """Note that the time of a new round begins now."""
        state = self._budget_state
        state.stretch, state.counted = None, 0
        state.began = state.epoch_began = self._now()
        state.epoch_step = training.start_step

    def ends(self, training: BudgetRound) -> bool:
        """Keep the accounts between two steps, and say whether the round has to end here.

        Raises:
            BudgetError: if the time turns out to be too short for any ticket.
        """
        if len(training.progress.curves) > self._budget_state.counted:
            self._count_epoch(training)
            return self._plan(training)
        return self._is_late(training)

    def close(self, training: BudgetRound) -> None:
        """Note what the round was, now that it is over."""
        state, progress = self._budget_state, training.progress
        accuracy = progress.curves[-1].val_accuracy if progress.curves else math.nan
        state.rounds.append(
            {
                "epochs": training.epochs_done,
                "rate": state.rate,
                "sparsity": state.sparsity,
                "seconds": self._now() - state.began,
                "val_accuracy": accuracy if math.isfinite(accuracy) else None,
            }
        )

    def before_pruning(self) -> RoundPlan:
        """The plan between two rounds, of which the pruning to be made now is the first."""
        state = self._budget_state
        plan = self._planned(BudgetProgress(self._now(), state.sparsity, state.made))
        if state.ahead and (plan.prunings, plan.epochs) != (state.ahead.prunings, state.ahead.epochs):
            state.replanned += 1
        return plan

    def pruned(self, plan: RoundPlan, sparsity: float) -> None:
        """Note that the first pruning of a plan was made; the round after it becomes the one under way."""
        state = self._budget_state
        state.made, state.sparsity, state.rate = (
            state.made + 1,
            sparsity,
            plan.rate,
        )
        later = plan.epochs if plan.prunings > 1 else 0
        state.ahead = replace(plan, current=plan.epochs, prunings=plan.prunings - 1, epochs=later)

    def _count_epoch(self, training: BudgetRound) -> None:
        state = self._budget_state
        seconds = self._epoch_at_this_speed(training)
        if state.predicted is None:
            costs = self._measure(seconds)
            state.prune, state.score, state.finish = (
                costs.prune,
                costs.score,
                costs.finish,
            )
        state.count_epoch(seconds)
        state.counted = len(training.progress.curves)
        state.epoch_began, state.epoch_step = self._now(), training.progress.step

    def _plan(self, training: BudgetRound) -> bool:
        """Make the plan anew; whether it has no more epochs for this round."""
        state, done = self._budget_state, len(training.progress.curves)
        first = state.predicted is None
        standing = BudgetProgress(self._now(), state.sparsity, state.made, done, training.length)
        plan = self._planned(standing, may_refuse=first)
        if first:
            state.predicted, state.planned, state.profile = (
                plan.end,
                plan.prunings,
                asdict(state.costs),
            )
        elif state.ahead and _differ(plan, state.ahead):
            state.replanned += 1
        state.ahead = plan
        if plan.current <= done:
            return True
        training.end_after(plan.current)
        return False

    def _planned(self, standing: BudgetProgress, *, may_refuse: bool = False) -> RoundPlan:
        costs = self._budget_state.costs
        return plan_rounds(self._budget, self._target, standing, costs, self._full, may_refuse=may_refuse)

    def _is_late(self, training: BudgetRound) -> bool:
        """Whether a round must break off in the middle of an epoch, so that its ticket can still be trained."""
        state, now, elapsed = self._budget_state, self._now(), self._epoch_at_this_speed(training)
        if state.ahead is None:
            if now > self._budget.seconds:
                self._refuse(training, elapsed)
            return False
        if not state.ahead.prunings:
            return False
        costs = state.costs
        epoch = max(costs.epoch, elapsed) if now - state.epoch_began > costs.epoch else costs.epoch
        epochs = min(self._budget.min_round_epochs, self._full, state.ahead.epochs)
        one_more_step = epoch / training.steps_per_epoch
        rest = one_more_step + costs.prune + epochs * epoch + costs.score + costs.finish
        late = now + rest > self._budget.seconds * (1 + _EPSILON)
        if late:
            state.epochs = [epoch]  # what comes next is planned at this speed, until an epoch says otherwise
        return late

    def _refuse(self, training: BudgetRound, epoch: float) -> None:
        """With not even one epoch done the time is over: say so now, by what that epoch would have taken."""
        profiled = BudgetProgress(epoch, done=1, length=training.length)
        plan_rounds(self._budget, self._target, profiled, BudgetCosts(epoch), self._full, may_refuse=True)

    def _epoch_at_this_speed(self, training: BudgetRound) -> float:
        """Seconds of a whole epoch, by the steps since the last one that was counted."""
        steps = training.progress.step - self._budget_state.epoch_step
        return (self._now() - self._budget_state.epoch_began) * training.steps_per_epoch / max(1, steps)


def _differ(plan: RoundPlan, other: RoundPlan) -> bool:
    return (plan.current, plan.prunings, plan.epochs) != (other.current, other.prunings, other.epochs)
