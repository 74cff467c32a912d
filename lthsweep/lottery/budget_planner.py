"""The time of a budget run: its measurements, its plan, and when a round has to end."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace

from pydantic import JsonValue, TypeAdapter

from lthsweep.plan.rounds import Budget, BudgetCosts, BudgetProgress, RoundPlan, plan_rounds
from lthsweep.training.progress import CurveRow
from lthsweep.training.schedule import ScheduleStretch

__all__ = ["BudgetPlanner", "BudgetState"]

_EPSILON = 1e-9

_LATEST = 3
"""An epoch is expected to take the median of this many: a single slow epoch does not predict the next."""


@dataclass
class BudgetState:
    """What a checkpoint of a budget run contains in addition to its training.

    Times are seconds of the run's own clock, which stands still between two attempts.

    Attributes:
        spent: time of the checkpoint.
        made: number of prunings so far.
        sparsity, rate: sparsity of the current round, and the share of the weights that the last pruning removed.
        began: start of the current round.
        counted: epochs of the current round that are in `epochs`.
        epoch_began, epoch_step: time and step at which the current epoch began.
        epochs: seconds of the latest epochs.
        prune, score, finish: see `BudgetCosts`.
        profile: all costs as measured after the first epoch.
        predicted: end of the run by the first plan; None before it.
        planned: number of prunings of the first plan.
        replanned: how often a later plan differed from the one before.
        plan: current plan.
        stretch: of the current round.
        rounds: completed rounds: epochs, rate, sparsity, seconds, val_accuracy.
        pruned: scores after the last pruning, before retraining.
        left: parameter name → weights left before the last pruning; empty for all of them.
    """

    spent: float = 0.0
    made: int = 0
    sparsity: float = 0.0
    rate: float = 0.0
    began: float = 0.0
    counted: int = 0
    epoch_began: float = 0.0
    epoch_step: int = 0
    epochs: list[float] = field(default_factory=list)
    prune: float = 0.0
    score: float = 0.0
    finish: float = 0.0
    profile: dict[str, float] = field(default_factory=dict)
    predicted: float | None = None
    planned: int = 0
    replanned: int = 0
    plan: RoundPlan | None = None
    stretch: ScheduleStretch | None = None
    rounds: list[dict[str, float | None]] = field(default_factory=list)
    pruned: dict[str, float] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)

    @property
    def costs(self) -> BudgetCosts:
        """The costs measured so far; at least one epoch must be complete."""
        return BudgetCosts(statistics.median(self.epochs[-_LATEST:]), self.prune, self.score, self.finish)

    @property
    def epochs_before(self) -> float:
        """Epochs of the completed rounds."""
        return sum(float(one["epochs"] or 0) for one in self.rounds)

    def account(self, seconds: float, spent: float) -> dict[str, object]:
        """How the time was used, for the record.

        Args:
            seconds: the budget.
            spent: seconds from the start of the run to its end.
        """
        return {
            "seconds": seconds,
            "predicted": self.predicted,
            "spent": spent,
            "rounds_planned": self.planned,
            "replanned": self.replanned,
            "profile": self.profile,
            "rounds": self.rounds,
        }

    def to_dict(self) -> dict[str, JsonValue]:
        """Plain values for JSON."""
        values: dict[str, JsonValue] = _SCHEMA.dump_python(self)
        return values

    @classmethod
    def from_dict(cls, values: object) -> BudgetState:
        """The state from what `to_dict` returned.

        Raises:
            ValueError: if a value is of another type.
        """
        return _SCHEMA.validate_python(values)


_SCHEMA = TypeAdapter(BudgetState)


class BudgetPlanner:
    """Plans the rounds of a run by its clock; knows nothing of its network.

    Args:
        budget: of the run.
        target: sparsity to reach.
        full: epochs of a whole round after a pruning.
        state: of the run.
        now: returns the seconds that the run has spent.
        measure: returns all costs, given the seconds of an epoch; called once, after the first epoch.
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
        self._state, self._now, self._measure = state, now, measure

    def begin_round(self, step: int) -> None:
        """Start the clock of a new round, which begins at this step."""
        state = self._state
        state.stretch, state.counted = None, 0
        state.began = state.epoch_began = self._now()
        state.epoch_step = step

    def end_round(self, epochs: float, curves: Sequence[CurveRow]) -> None:
        """Record a completed round."""
        state = self._state
        accuracy = curves[-1].val_accuracy if curves else math.nan
        state.rounds.append(
            {
                "epochs": epochs,
                "rate": state.rate,
                "sparsity": state.sparsity,
                "seconds": self._now() - state.began,
                "val_accuracy": accuracy if math.isfinite(accuracy) else None,
            }
        )

    def plan_next_rounds(self) -> RoundPlan:
        """The plan between two rounds; its first pruning is due now."""
        state = self._state
        plan = self._new_plan(BudgetProgress(self._now(), state.sparsity, state.made))
        if state.plan and (plan.prunings, plan.epochs) != (state.plan.prunings, state.plan.epochs):
            state.replanned += 1
        return plan

    def count_pruning(self, plan: RoundPlan, sparsity: float) -> None:
        """Record that the first pruning of a plan is done; the round after it becomes the current one."""
        state = self._state
        state.made, state.sparsity, state.rate = state.made + 1, sparsity, plan.rate
        later = plan.epochs if plan.prunings > 1 else 0
        state.plan = replace(plan, current=plan.epochs, prunings=plan.prunings - 1, epochs=later)

    def plan_after_epoch(self, done: int, step: int, steps_per_epoch: int, length: int) -> int:
        """Count a completed epoch, and plan again.

        Args:
            done: completed epochs of the round.
            step: current step.
            steps_per_epoch: steps of an epoch.
            length: epochs of the round at full length.

        Returns:
            Planned epochs of the round; it is over if that is not more than `done`.

        Raises:
            BudgetError: after the first epoch, if the time does not suffice for any ticket.
        """
        state = self._state
        seconds = self._epoch_seconds(step, steps_per_epoch)
        first = state.predicted is None
        if first:
            costs = self._measure(seconds)
            state.prune, state.score, state.finish = costs.prune, costs.score, costs.finish
        state.epochs = [*state.epochs[1 - _LATEST :], seconds]
        state.counted, state.epoch_began, state.epoch_step = done, self._now(), step
        plan = self._new_plan(
            BudgetProgress(self._now(), state.sparsity, state.made, done, length), may_refuse=first
        )
        if first:
            state.predicted, state.planned, state.profile = plan.end, plan.prunings, asdict(state.costs)
        elif state.plan and _schedule(plan) != _schedule(state.plan):
            state.replanned += 1
        state.plan = plan
        return plan.current

    def is_late(self, step: int, steps_per_epoch: int, length: int) -> bool:
        """True if a round must stop inside an epoch, so that its ticket can still be trained.

        Args:
            step: current step.
            steps_per_epoch: steps of an epoch.
            length: epochs of the round at full length.

        Raises:
            BudgetError: if the budget is spent before the first epoch is complete.
        """
        state, now, elapsed = self._state, self._now(), self._epoch_seconds(step, steps_per_epoch)
        if state.plan is None:
            if now > self._budget.seconds:
                self._refuse(elapsed, length)
            return False
        if not state.plan.prunings:
            return False
        costs = state.costs
        epoch = max(costs.epoch, elapsed) if now - state.epoch_began > costs.epoch else costs.epoch
        epochs = min(self._budget.min_round_epochs, self._full, state.plan.epochs)
        one_more_step = epoch / steps_per_epoch
        rest = one_more_step + costs.prune + epochs * epoch + costs.score + costs.finish
        late = now + rest > self._budget.seconds * (1 + _EPSILON)
        if late:
            state.epochs = [epoch]  # the next plan assumes this speed until an epoch has been measured
        return late

    def _new_plan(self, progress: BudgetProgress, *, may_refuse: bool = False) -> RoundPlan:
        costs = self._state.costs
        return plan_rounds(self._budget, self._target, progress, costs, self._full, may_refuse=may_refuse)

    def _refuse(self, epoch: float, length: int) -> None:
        """Refuse a budget that is spent before the first epoch is complete, by the estimated time of that epoch."""
        progress = BudgetProgress(epoch, done=1, length=length)
        plan_rounds(self._budget, self._target, progress, BudgetCosts(epoch), self._full, may_refuse=True)

    def _epoch_seconds(self, step: int, steps_per_epoch: int) -> float:
        """Seconds of a whole epoch at the speed of the steps since the last counted epoch."""
        steps = step - self._state.epoch_step
        return (self._now() - self._state.epoch_began) * steps_per_epoch / max(1, steps)


def _schedule(plan: RoundPlan) -> tuple[int, int, int]:
    return plan.current, plan.prunings, plan.epochs
