"""One round of a budget run: a training that can end before its schedule does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from pydantic import JsonValue
from torch import Tensor

from lthsweep.lottery.budget_planner import BudgetState
from lthsweep.pruning.masks import Masks
from lthsweep.training.progress import ProgressReport
from lthsweep.training.schedule import ScheduleStretch
from lthsweep.training.state import Training

__all__ = ["BudgetRound"]


class BudgetRound(Training):
    """The training of one round; its checkpoints contain the state of the whole run.

    Attributes:
        masks: of the round; empty for the dense round.
        start_step: step at which the round began.
        budget_state: of the run.
        now: returns the seconds that the run has spent.
    """

    masks: Masks
    start_step: int
    budget_state: BudgetState
    now: Callable[[], float]

    @property
    def epochs_done(self) -> float:
        """Epochs of the round so far, fractions where it began or was stopped inside an epoch."""
        return (self.progress.step - self.start_step) / self.steps_per_epoch

    @property
    def first_epoch(self) -> int:
        """The epoch, counted from 0, in which the round begins."""
        return self.start_step // self.steps_per_epoch

    @property
    def length(self) -> int:
        """Epochs of the round at full length; the first can be the rest of one."""
        return self.options.epochs - self.first_epoch

    def end_after(self, epochs: int) -> None:
        """Reach the end of the schedule after a number of epochs of this round, larger than `epochs_done`."""
        stop = (self.first_epoch + epochs) * self.steps_per_epoch
        if stop != self.total_steps:
            step = self.progress.step
            position = float(step) if self.stretch is None else self.stretch.position(step)
            self.stretch = ScheduleStretch(step, position, stop, self.options.epochs * self.steps_per_epoch)
            self.budget_state.stretch = self.stretch

    def report(self) -> ProgressReport:
        """As for any training, over all rounds, with the current round as `phase`."""
        state, plan = self.budget_state, self.budget_state.plan
        if plan is None:
            planned, phase = 2.0 * self.options.epochs, "profile"
        else:
            planned = plan.current + plan.prunings * plan.epochs
            phase = f"round {state.made + 1} of {state.made + plan.prunings}" if plan.prunings else "ticket"
        return replace(
            super().report(),
            epoch=round(state.epochs_before + self.epochs_done, 2),
            epochs=round(state.epochs_before + planned, 2),
            phase=phase,
        )

    def state(self) -> tuple[dict[str, Tensor], dict[str, JsonValue]]:
        """Everything that a resumed run needs: of this round, and of the whole run."""
        tensors, progress = super().state()
        self.budget_state.spent = self.now()
        tensors |= {f"mask/{name}": mask for name, mask in self.masks.items()}
        return tensors, progress | {"budget": self.budget_state.to_dict()}

    def restore(self, tensors: Mapping[str, Tensor], progress: Mapping[str, JsonValue]) -> None:
        """Continue from `state`; masks and the state of the run are set already."""
        super().restore(tensors, progress)
        self.stretch = self.budget_state.stretch
