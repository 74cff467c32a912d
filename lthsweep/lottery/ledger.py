"""The accounts of a budget run: where its time went, and the round of training whose checkpoints hold them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn

from lthsweep.plan.budget import Costs, Rounds
from lthsweep.training.group_lasso import GroupLasso
from lthsweep.training.loop import Training, TrainingData
from lthsweep.training.pace import Pace

__all__ = ["Ledger", "Round"]

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
        prune, score, finish: see `Costs`.
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
    ahead: Rounds | None = None
    pace: Pace | None = None
    rounds: list[dict[str, float | None]] = field(default_factory=list)
    pruned: dict[str, float] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)

    @property
    def costs(self) -> Costs:
        """What things take, as far as it is known; there is at least one epoch."""
        return Costs(statistics.median(self.epochs[-_LATEST:]), self.prune, self.score, self.finish)

    @property
    def epochs_before(self) -> float:
        """Epochs of the rounds that are over."""
        return sum(float(one["epochs"] or 0) for one in self.rounds)

    def count_epoch(self, seconds: float) -> None:
        """Take note of an epoch."""
        self.epochs = [*self.epochs[1 - _LATEST :], seconds]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Ledger:
        """Undo `to_dict`."""
        made = cls(**values)
        made.ahead = Rounds(**values["ahead"]) if values["ahead"] else None
        made.pace = Pace(**values["pace"]) if values["pace"] else None
        return made


class Round(Training):
    """One training of a budget run.

    Args:
        model, data, options, seed, start_step: as for `Training`.
        masks: of the round; empty for the dense one.
        lasso: the recipe's penalty over filters, if it has one.
        ledger: of the run.
        now: seconds that the run has spent.
    """

    def __init__(
        self,
        model: nn.Module,
        data: TrainingData,
        options: Mapping[str, Any],
        *,
        seed: int,
        start_step: int,
        masks: Mapping[str, torch.Tensor],
        lasso: GroupLasso | None,
        ledger: Ledger,
        now: Callable[[], float],
    ) -> None:
        super().__init__(model, data, options, seed=seed, start_step=start_step, masks=masks, lasso=lasso)
        self.masks = masks
        self.start_step = start_step
        self._ledger = ledger
        self._now = now

    @property
    def first_epoch(self) -> int:
        """The epoch, counted from 0, in which the round starts."""
        return self.start_step // self.steps_per_epoch

    @property
    def length(self) -> int:
        """Epochs of the round at full length; the first may be the rest of one."""
        return self.epochs - self.first_epoch

    def end_after(self, epochs: int) -> None:
        """Reach the end of the schedule after so many epochs of the round, more than are done."""
        stop = (self.first_epoch + epochs) * self.steps_per_epoch
        if stop != self.total_steps:
            step = self.progress.step
            position = float(step) if self.pace is None else self.pace.position(step)
            self.pace = Pace(step, position, stop, self.epochs * self.steps_per_epoch)
            self._ledger.pace = self.pace

    def standing(self) -> dict[str, Any]:
        """As for any training, over all rounds; and which of them this is."""
        ledger, ahead = self._ledger, self._ledger.ahead
        own = (self.progress.step - self.start_step) / self.steps_per_epoch
        if ahead is None:
            planned, phase = 2.0 * self.epochs, "profile"
        else:
            planned = ahead.current + ahead.prunings * ahead.epochs
            phase = (
                f"round {ledger.made + 1} of {ledger.made + ahead.prunings}" if ahead.prunings else "ticket"
            )
        return super().standing() | {
            "epoch": round(ledger.epochs_before + own, 2),
            "epochs": round(ledger.epochs_before + planned, 2),
            "phase": phase,
        }

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """What a resumed run needs: of this round, and of the whole run."""
        tensors, progress = super().state()
        self._ledger.spent = self._now()
        tensors |= {f"mask/{name}": mask for name, mask in self.masks.items()}
        return tensors, progress | {"budget": self._ledger.to_dict()}

    def restore(self, tensors: Mapping[str, torch.Tensor], progress: Mapping[str, Any]) -> None:
        """Go on from `state`; the ledger and the masks were given to the constructor."""
        super().restore(tensors, {name: value for name, value in progress.items() if name != "budget"})
        self.pace = self._ledger.pace
