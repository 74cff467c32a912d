"""One training: a model, its data, its optimizer, and how far it has come."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import torch
from pydantic import JsonValue
from torch import Tensor, nn

from lthsweep.data.batching import LabeledBatch, TrainBatches
from lthsweep.errors import TrainingError
from lthsweep.models.layers import load_state, state_of
from lthsweep.pruning.apply import apply_masks, mask_multipliers
from lthsweep.training.evaluation import Score, evaluate
from lthsweep.training.group_lasso import GroupLasso
from lthsweep.training.optimizers import optimizer_state, restore_optimizer
from lthsweep.training.progress import Progress, ProgressReport
from lthsweep.training.schedule import ScheduleStretch
from lthsweep.training.sums import Sums
from lthsweep.training.train_options import TrainOptions

__all__ = ["Batches", "Ending", "Training", "TrainingData", "copy_of"]

Batches = Iterator[LabeledBatch]


class Ending(StrEnum):
    """How a training ended."""

    FINISHED = "finished"
    DIVERGED = "diverged"
    STOPPED = "stopped"


@dataclass(frozen=True)
class TrainingData:
    """Training batches, and a function that returns a fresh pass over the validation data."""

    train: TrainBatches
    validation: Callable[[], Batches]


class Training:
    """Everything that `lthsweep.training.loop.train` reads and changes.

    Args:
        model: on its device, in its memory format, with the weights to start from.
        data: training batches and validation passes.
        options: the `[train]` table.
        seed: seed of the replicate; random layers use its stream "layers".
        start_step: steps already behind these weights: 0, or the rewind step of a ticket.
        masks: parameter name → bool tensor, True = kept; pruned weights stay exactly zero.
        learning_rate: constant learning rate of every step (fine-tuning); None follows the schedule.
        lasso: penalty over the filters of this model; its step follows each optimizer step.

    Attributes:
        parameters: all trained parameters by name.
        multipliers: masks as numbers, for the masked parameters.
        stretch: how the schedule is shortened; None follows it step by step. It can change between two steps.
    """

    stretch: ScheduleStretch | None = None

    def __init__(
        self,
        model: nn.Module,
        data: TrainingData,
        options: TrainOptions,
        *,
        seed: int,
        start_step: int = 0,
        masks: Mapping[str, Tensor] | None = None,
        learning_rate: float | None = None,
        lasso: GroupLasso | None = None,
    ) -> None:
        self.model = model
        self.data = data
        self.options = options
        self.seed = seed
        self.constant_rate = learning_rate
        self.lasso = lasso
        self.steps_per_epoch = data.train.steps
        self.parameters: dict[str, Tensor] = dict(model.named_parameters())
        self.buffers: dict[str, Tensor] = dict(model.named_buffers())
        self.optimizer = options.optimizer.build(self.parameters.values())
        self.progress = Progress(start_step)
        self.sums = Sums(self.progress)
        self.best_model: dict[str, Tensor] = {}
        masked = {name: self.parameters[name] for name in masks or {}}
        self.multipliers = mask_multipliers(masks, masked) if masks else {}
        apply_masks(masked, self.multipliers)

    # The loop.

    @property
    def total_steps(self) -> int:
        """The step at which this training ends: the end of dense training, unless the schedule is stretched."""
        return self.options.epochs * self.steps_per_epoch if self.stretch is None else self.stretch.stop

    def learning_rate(self, step: int) -> float:
        """The learning rate of a step."""
        if self.constant_rate is not None:
            return self.constant_rate
        position = step if self.stretch is None else self.stretch.position(step)
        return self.options.learning_rate(position, self.steps_per_epoch)

    def start_clock(self) -> None:
        """Start to measure the time of an epoch."""
        self._counted_until = time.perf_counter()

    def count_time(self) -> None:
        """Add the time since the last call to the epoch."""
        now = time.perf_counter()
        self.add_seconds(now - self._counted_until)
        self._counted_until = now

    def add_seconds(self, seconds: float) -> None:
        """Count wall time of the current epoch."""
        self.progress.seconds_epoch += seconds

    def release_gradients(self) -> None:
        """Free the gradients on a CPU before validation.

        They lie in the middle of the heap, and evaluation batches that do not fit between them make the process grow,
        by an eighth for MobileNetV2. On a GPU a CUDA graph writes into them.
        """
        for parameter in self.parameters.values():
            if parameter.is_cpu:
                parameter.grad = None

    def validate(self) -> Score:
        """Score the model on the validation data; NaN without any."""
        return evaluate(self.model, self.data.validation(), precision=self.options.precision)

    def finish_epoch(self, epoch: int) -> None:
        """Validate, and record the epoch, counted from 1."""
        score = self.validate()
        self.count_time()
        self.record_epoch(epoch, score)

    def record_epoch(self, epoch: int, score: Score) -> None:
        """Add a row to the curves, and keep the weights if no earlier epoch scored as high."""
        progress = self.progress
        if score.accuracy > progress.best_accuracy:
            progress.best_epoch, progress.best_accuracy = epoch, score.accuracy
            self.best_model = {name: value.clone() for name, value in state_of(self.model).items()}
        progress.finish_epoch(epoch, score, self.learning_rate(progress.step - 1))

    @torch.no_grad()
    def has_diverged(self) -> bool:
        """True if the loss of the last epoch or any weight is not finite.

        The last step of an epoch can spoil weights whose loss is not computed yet.
        """
        # The extremes of a tensor with a NaN are NaN; `isfinite` of every weight takes ten times as long.
        weights = self.parameters.values()
        extremes = [extreme for weight in weights for extreme in (weight.amin(), weight.amax())]
        weights_are_finite = bool(torch.stack(extremes).isfinite().all())
        return not (weights_are_finite and math.isfinite(self.progress.curves[-1].train_loss))

    @torch.no_grad()
    def check_pruned_weights(self) -> None:
        """Verify that every pruned weight is zero; all weights must be finite.

        Raises:
            TrainingError: if a pruned weight is not zero.
        """
        moved = [
            name
            for name, factor in self.multipliers.items()
            if bool((self.parameters[name] * factor).sub_(self.parameters[name]).abs_().amax())
        ]
        if moved:
            raise TrainingError(
                f"{type(self.optimizer).__name__} moved pruned weights of {', '.join(moved)} without a gradient; "
                f"choose another train.optimizer, and report this: tickets trained with it would not be sparse"
            )

    # Progress and checkpoints.

    def report(self) -> ProgressReport:
        """How far the training is; its speed is for the caller to measure."""
        progress = self.progress
        return ProgressReport(
            epoch=round(progress.step / self.steps_per_epoch, 2),
            epochs=self.options.epochs,
            val_accuracy=progress.curves[-1].val_accuracy if progress.curves else None,
        )

    def state(self) -> tuple[dict[str, Tensor], dict[str, JsonValue]]:
        """Everything that a resumed training needs: tensors by name, and plain values.

        Call it from `between_steps`, where progress and weights belong to the same step.
        """
        self.sums.read()
        tensors = {f"model/{name}": value for name, value in state_of(self.model).items()}
        tensors |= {
            f"optimizer/{name}": value for name, value in optimizer_state(self.optimizer, self.model).items()
        }
        tensors |= {f"best/{name}": value for name, value in self.best_model.items()}
        return tensors, self.progress.to_dict()

    def restore(self, tensors: Mapping[str, Tensor], progress: Mapping[str, JsonValue]) -> None:
        """Continue from what `state` returned, in this or another process."""
        load_state(self.model, _section("model/", tensors))
        restore_optimizer(self.optimizer, self.model, _section("optimizer/", tensors))
        self.best_model = _section("best/", tensors)
        self.progress = Progress.from_dict(progress)
        self.sums = Sums(self.progress)
        apply_masks({name: self.parameters[name] for name in self.multipliers}, self.multipliers)


def copy_of(training: Training, *, precision: str | None = None) -> Training:
    """A new training at the same step with copies of the weights and masks, to try something out.

    Args:
        training: without group lasso, which belongs to one network.
        precision: of the copy's forward passes; None for that of the training.
    """
    options = training.options
    return Training(
        copy.deepcopy(training.model),
        training.data,
        options if precision is None else replace(options, precision=precision),
        seed=training.seed,
        start_step=training.progress.step,
        masks={name: factor != 0 for name, factor in training.multipliers.items()},
        learning_rate=training.constant_rate,
    )


def _section(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
