"""The accounts of a budget run: where its time went and what is planned; its checkpoints hold them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from lthsweep.plan.rounds import BudgetCosts, RoundPlan
from lthsweep.training.pace import Pace

__all__ = ["Ledger"]

_LATEST = 3
"""An epoch is expected to take the median of so many: one that was disturbed says nothing about the next."""


@dataclass
class Ledger:
    """Mutable, owned by its run; times in seconds of the run's own clock, which stands still while nobody works on it.

    Attributes:
        spent: at the moment of a checkpoint.
        made: prunings so far.
        sparsity, rate: of the round under way, as asked; and what the pruning before it removed of what was left.
        began: when the round under way began.
        counted: its epochs that are in the accounts.
        epoch_began, epoch_step: when the epoch under way began, and at which step.
        epochs: seconds of the latest epochs.
        prune, score, finish: see `BudgetCosts`.
        profile: all costs as they were measured beside the first epoch.
        predicted: end of the run by the first plan; None before there is one.
        planned: prunings of the first plan.
        replanned: how often a later plan was another one.
        ahead: the present plan.
        pace: of the round under way, if it is not that of the schedule.
        rounds: those that are over: epochs, rate, sparsity, seconds, val_accuracy.
        pruned: scores right after the last pruning.
        left: parameter name → weights that were left before it; empty for all of them.
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
    ahead: RoundPlan | None = None
    pace: Pace | None = None
    rounds: list[dict[str, float | None]] = field(default_factory=list)
    pruned: dict[str, float] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)

    @property
    def costs(self) -> BudgetCosts:
        """What things take, as far as it is known; there is at least one epoch."""
        return BudgetCosts(statistics.median(self.epochs[-_LATEST:]), self.prune, self.score, self.finish)

    @property
    def epochs_before(self) -> float:
        """Epochs of the rounds that are over."""
        return sum(float(one["epochs"] or 0) for one in self.rounds)

    def count_epoch(self, seconds: float) -> None:
        """Take note of an epoch."""
        self.epochs = [*self.epochs[1 - _LATEST :], seconds]

    def account(self, seconds: float, spent: float) -> dict[str, Any]:
        """Where the time went, for the record.

        Args:
            seconds: of the budget.
            spent: from the start of the run to its end.
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

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Ledger:
        """Undo `to_dict`."""
        made = cls(**values)
        made.ahead = RoundPlan(**values["ahead"]) if values["ahead"] else None
        made.pace = Pace(**values["pace"]) if values["pace"] else None
        return made
