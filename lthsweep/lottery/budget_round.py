"""A round of a budget run: a training that may end before its schedule does, with the run's accounts in its state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from lthsweep.lottery.budget_state import BudgetState
from lthsweep.pruning.masks import Masks
from lthsweep.training.group_lasso import GroupLasso
from lthsweep.training.options import TrainOptions
from lthsweep.training.schedule import ScheduleStretch
from lthsweep.training.training import Training, TrainingData

__all__ = ["BudgetRound"]


class BudgetRound(Training):
    """One training of a budget run.

    Args:
        model, data, options, seed, start_step, lasso: as for `Training`.
        masks: of the round; empty for the dense one.
        budget_state: of the run.
        now: seconds that the run has spent.
    """

    def __init__(
        self,
        model: nn.Module,
        data: TrainingData,
        options: TrainOptions,
        *,
        seed: int,
        start_step: int,
        masks: Masks,
        lasso: GroupLasso | None,
        budget_state: BudgetState,
        now: Callable[[], float],
    ) -> None:
        super().__init__(model, data, options, seed=seed, start_step=start_step, masks=masks, lasso=lasso)
        self.masks = masks
        self.start_step = start_step
        self._budget_state = budget_state
        self._now = now

    @property
    def epochs_done(self) -> float:
        """Epochs of the round so far; the first may be the rest of one, and the last may have been broken off."""
        return (self.progress.step - self.start_step) / self.steps_per_epoch

    @property
    def first_epoch(self) -> int:
        """The epoch, counted from 0, in which the round starts."""
        return self.start_step // self.steps_per_epoch

    @property
    def length(self) -> int:
        """Epochs of the round at full length; the first may be the rest of one."""
        return self.options.epochs - self.first_epoch

    def end_after(self, epochs: int) -> None:
        """Reach the end of the schedule after so many epochs of the round, more than are done."""
        stop = (self.first_epoch + epochs) * self.steps_per_epoch
        if stop != self.total_steps:
            step = self.progress.step
            position = float(step) if self.stretch is None else self.stretch.position(step)
            self.stretch = ScheduleStretch(step, position, stop, self.options.epochs * self.steps_per_epoch)
            self._budget_state.stretch = self.stretch

    def go_on_counting(self, before: BudgetRound) -> None:
        """What was trained and how long adds up over all rounds."""
        self.progress.images = before.progress.images
        self.progress.seconds_train = before.progress.seconds_train + before.progress.seconds_epoch

    def progress_values(self) -> dict[str, Any]:
        """As for any training, over all rounds; and which of them this is."""
        budget_state, ahead = self._budget_state, self._budget_state.ahead
        if ahead is None:
            planned, phase = 2.0 * self.options.epochs, "profile"
        else:
            planned = ahead.current + ahead.prunings * ahead.epochs
            phase = (
                f"round {budget_state.made + 1} of {budget_state.made + ahead.prunings}"
                if ahead.prunings
                else "ticket"
            )
        return super().progress_values() | {
            "epoch": round(budget_state.epochs_before + self.epochs_done, 2),
            "epochs": round(budget_state.epochs_before + planned, 2),
            "phase": phase,
        }

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """What a resumed run needs: of this round, and of the whole run."""
        tensors, progress = super().state()
        self._budget_state.spent = self._now()
        tensors |= {f"mask/{name}": mask for name, mask in self.masks.items()}
        return tensors, progress | {"budget": self._budget_state.to_dict()}

    def restore(self, tensors: Mapping[str, torch.Tensor], progress: Mapping[str, Any]) -> None:
        """Go on from `state`; the budget_state and the masks were given to the constructor."""
        super().restore(tensors, {name: value for name, value in progress.items() if name != "budget"})
        self.stretch = self._budget_state.stretch
