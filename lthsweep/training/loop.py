"""One training that may be stopped after any step and continued bit for bit.

Model, optimizer and `Progress` are all there is to save; `lthsweep.training.epochs` says why.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lthsweep.data.batching import TrainBatches
from lthsweep.pruning.apply import apply_masks, mask_multipliers
from lthsweep.training.epochs import BetweenSteps, Ending, train
from lthsweep.training.group_lasso import GroupLasso
from lthsweep.training.metrics import Score, evaluate
from lthsweep.training.optimizers import build_optimizer, optimizer_state, restore_optimizer
from lthsweep.training.pace import Pace
from lthsweep.training.progress import Progress
from lthsweep.training.schedule import learning_rate_factor
from lthsweep.training.sums import Sums
from lthsweep.training.team import Alone

__all__ = ["BetweenSteps", "Ending", "Training", "TrainingData", "copy_of"]

Batches = Iterator[tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class TrainingData:
    """What a training reads: training batches, and a fresh pass over the validation data at each call."""

    train: TrainBatches
    validation: Callable[[], Batches]


class Training:
    """Model, optimizer and progress of one training.

    Args:
        model: on its device, in its memory format, holding the weights to start from.
        data: training batches and validation passes.
        options: the `train` table of the file with every default written out.
        seed: the replicate's seed; random layers draw from its stream "layers".
        start_step: steps already behind these weights: 0, or the ticket's rewind step.
        masks: parameter name → bool tensor, True where kept; pruned weights stay exactly zero.
        learning_rate: if given, the constant rate of every step (fine-tuning) in place of the schedule.
        lasso: a penalty over the filters of this very model; its step follows each of the optimizer's.

    Attributes:
        pace: None walks through the schedule step by step, to its end. May be set between two steps.
    """

    pace: Pace | None = None

    def __init__(
        self,
        model: nn.Module,
        data: TrainingData,
        options: Mapping[str, Any],
        *,
        seed: int,
        start_step: int = 0,
        masks: Mapping[str, torch.Tensor] | None = None,
        learning_rate: float | None = None,
        lasso: GroupLasso | None = None,
    ) -> None:
        self.model = model
        self.data = data
        self.options = options
        self.precision = str(options["precision"])
        self.smoothing = float(options["label_smoothing"])
        self.seed = seed
        self.optimizer = build_optimizer(model, options["optimizer"])
        self.progress = Progress(start_step)
        self.best_model: dict[str, torch.Tensor] = {}
        self.steps_per_epoch = data.train.steps
        self.epochs = int(options["epochs"])
        self.constant_rate = learning_rate
        self.lasso = lasso
        self.sums = Sums([self.progress])
        parameters = dict(model.named_parameters())
        self.masked = {name: parameters[name] for name in masks or {}}
        self.multipliers = mask_multipliers(masks, self.masked) if masks else {}
        apply_masks(self.masked, self.multipliers)

    @property
    def total_steps(self) -> int:
        """The step at which this training ends: the length of dense training, unless a pace says otherwise."""
        return self.epochs * self.steps_per_epoch if self.pace is None else self.pace.stop

    def run(self, between_steps: BetweenSteps = lambda training: False) -> Ending:
        """Train to the end.

        Args:
            between_steps: called before every step and once after the last; a true result stops the training
                there.

        Returns:
            "finished", "diverged" (the loss of an epoch, or a weight at its end, is not finite), "stopped".
        """
        return train(Alone(self), {self: between_steps})[self]

    def rates(self, epoch: int) -> list[float]:
        """The learning rates of the steps of an epoch, made at once, which is quicker than one by one."""
        first = epoch * self.steps_per_epoch
        return [self._rate(step) for step in range(first, first + self.steps_per_epoch)]

    def _rate(self, step: int) -> float:
        if self.constant_rate is not None:
            return self.constant_rate
        position = step if self.pace is None else self.pace.position(step)
        factor = learning_rate_factor(
            self.options["schedule"], position, steps_per_epoch=self.steps_per_epoch, epochs=self.epochs
        )
        return float(self.options["optimizer"]["lr"]) * factor

    def finish_epoch(self, epoch: int, score: Score) -> None:
        """Write the row of an epoch, counted from 1, and keep the weights if none before scored better."""
        progress = self.progress
        if score.accuracy > progress.best_accuracy:
            progress.best_epoch, progress.best_accuracy = epoch, score.accuracy
            self.best_model = {name: value.clone() for name, value in self.model.state_dict().items()}
        progress.finish_epoch(epoch, score, self._rate(progress.step - 1))

    def validate(self) -> Score:
        """Score the model as it is on the validation data; NaN if there is none."""
        return evaluate(self.model, self.data.validation(), precision=self.precision)

    def standing(self) -> dict[str, Any]:
        """What a progress display shows: epoch, epochs (of the whole schedule), step, val_accuracy (None at first)."""
        progress = self.progress
        return {
            "epoch": round(progress.step / self.steps_per_epoch, 2),
            "epochs": self.epochs,
            "step": progress.step,
            "val_accuracy": progress.curves[-1].val_accuracy if progress.curves else None,
        }

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Everything a resumed training needs: tensors by name, and plain values.

        Call it from `between_steps`, where progress and weights belong to the same step.
        """
        self.sums.read()
        tensors = {f"model/{name}": value for name, value in self.model.state_dict().items()}
        tensors |= {
            f"optimizer/{name}": value for name, value in optimizer_state(self.optimizer, self.model).items()
        }
        tensors |= {f"best/{name}": value for name, value in self.best_model.items()}
        return tensors, self.progress.to_dict()

    def restore(self, tensors: Mapping[str, torch.Tensor], progress: Mapping[str, Any]) -> None:
        """Go on from what `state` returned, in this or another process."""
        self.model.load_state_dict(_under("model/", tensors))
        restore_optimizer(self.optimizer, self.model, _under("optimizer/", tensors))
        self.best_model = _under("best/", tensors)
        self.progress = Progress.from_dict(progress)
        self.sums = Sums([self.progress])
        apply_masks(self.masked, self.multipliers)


def copy_of(training: Training, **options: Any) -> Training:
    """A network of its own at the same step, with the same weights and masks and nothing to show yet: to try with.

    Args:
        training: without group lasso, which is of one network.
        options: of the `train` table, where they are to differ.
    """
    return Training(
        copy.deepcopy(training.model),
        training.data,
        {**training.options, **options},
        seed=training.seed,
        start_step=training.progress.step,
        masks={name: factor != 0 for name, factor in training.multipliers.items()},
        learning_rate=training.constant_rate,
    )


def _under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
