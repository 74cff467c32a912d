"""The step loop: one training that may be stopped after any step and continued bit for bit.

Nothing the loop needs is hidden in a generator's state. Order and augmentation come from (seed, epoch,
sample), the learning rate from the step, and random layers are re-seeded before each step from (seed, step).
So model, optimiser and `Progress` are all there is to save.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional

from lthsweep.data.batches import TrainBatches
from lthsweep.errors import TrainingError
from lthsweep.pruning.apply import apply_masks, mask_gradients, mask_multipliers
from lthsweep.randomness import torch_seed
from lthsweep.training.group_lasso import GroupLasso
from lthsweep.training.metrics import Score, autocast, evaluate
from lthsweep.training.optimizers import build_optimizer, optimizer_state, restore_optimizer
from lthsweep.training.pace import Pace
from lthsweep.training.progress import CurveRow, Progress
from lthsweep.training.schedule import learning_rate_factor

__all__ = ["Ending", "Training", "TrainingData", "has_random_layers"]

Ending = Literal["finished", "diverged", "stopped"]
BetweenSteps = Callable[["Training"], bool]
Batches = Iterator[tuple[torch.Tensor, torch.Tensor]]
_Unread = tuple[torch.Tensor, torch.Tensor, torch.Tensor]

_MOST_UNREAD = 1024
"""Steps whose losses and predictions may wait on the device to be summed: reading them waits for it."""


@dataclass(frozen=True)
class TrainingData:
    """What a training reads: training batches, and a fresh pass over the validation data at each call."""

    train: TrainBatches
    validation: Callable[[], Batches]


class Training:
    """Model, optimiser and progress of one training.

    Args:
        model: on its device, in its memory format, holding the weights to start from.
        data: training batches and validation passes.
        options: the `train` table of the file with every default written out.
        seed: the replicate's seed; random layers draw from its stream "layers".
        start_step: steps already behind these weights: 0, or the ticket's rewind step.
        masks: parameter name → bool tensor, True where kept; pruned weights stay exactly zero.
        learning_rate: if given, the constant rate of every step (fine-tuning) in place of the schedule.
        lasso: a penalty over the filters of this very model; its step follows each of the optimiser's.

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
        self.optimizer = build_optimizer(model, options["optimizer"])
        self.progress = Progress(start_step)
        self.best_model: dict[str, torch.Tensor] = {}
        self.steps_per_epoch = data.train.steps
        self.epochs = int(options["epochs"])
        self._data = data
        self._options = options
        self._precision = str(options["precision"])
        self._smoothing = float(options["label_smoothing"])
        self._constant_rate = learning_rate
        self._lasso = lasso
        self._layer_seed = seed
        self._unread: list[_Unread] = []
        parameters = dict(model.named_parameters())
        self._parameters = list(parameters.values())
        self._masked = {name: parameters[name] for name in masks or {}}
        self._multipliers = mask_multipliers(masks, self._masked) if masks else {}
        apply_masks(self._masked, self._multipliers)

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
        device = next(self.model.parameters()).device
        self.model.train()
        with _isolated_generators(device):
            reseed = has_random_layers(self.model, next(iter(self._data.train.epoch(0)))[0][:2])
            while self.progress.step < self.total_steps:
                ending = self._epoch(device, reseed, between_steps)
                if ending != "finished":
                    return ending
            return "stopped" if between_steps(self) else "finished"

    def _epoch(self, device: torch.device, reseed: bool, between_steps: BetweenSteps) -> Ending:
        progress = self.progress
        epoch, offset = divmod(progress.step, self.steps_per_epoch)
        before = progress.seconds_epoch
        started = time.perf_counter()
        pace, rates = self.pace, self._rates(epoch)
        for images, labels in self._data.train.epoch(epoch, offset):
            # Written back before anybody may look, so that a checkpoint taken here is complete.
            progress.seconds_epoch = before + time.perf_counter() - started
            if between_steps(self):
                self._read_sums()
                return "stopped"
            if reseed:
                _seed_generators(torch_seed(self._layer_seed, "layers", progress.step), device)
            if self.pace is not pace:
                pace, rates = self.pace, self._rates(epoch)
            rate = rates[progress.step - epoch * self.steps_per_epoch]
            self._unread.append(self._step(images, labels, rate))
            if len(self._unread) == _MOST_UNREAD:
                self._read_sums()
            progress.step += 1
            progress.seen += len(labels)
            progress.images += len(labels)
        self._read_sums()
        self._finish_epoch(epoch + 1, before, started)
        if not (math.isfinite(progress.curves[-1].train_loss) and self._finite_weights()):
            return "diverged"
        self._check_pruned()
        return "finished"

    def _step(self, images: torch.Tensor, labels: torch.Tensor, rate: float) -> _Unread:
        """One optimiser step; returns its mean loss, predicted and true classes, all on the device."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        for parameter in self._parameters:  # what zero_grad does, without its hooks
            parameter.grad = None
        with autocast(images.device, self._precision):
            logits = self.model(images)
        logits = logits.float()
        loss = functional.cross_entropy(logits, labels, label_smoothing=self._smoothing)
        loss.backward()  # type: ignore[no-untyped-call]
        if self._masked:
            # Pruned weights and their momenta are zero at the start. With a gradient of zero every optimiser here
            # leaves them there (decay of zero is zero), so that the weights need no multiplication of their own:
            # a tenth of a step of LeNet. `_check_pruned` looks once an epoch.
            mask_gradients(self._masked, self._multipliers)
        self.optimizer.step()
        if self._lasso is not None:
            self._lasso.step(rate)
        return loss.detach(), logits.detach().argmax(1), labels

    def _check_pruned(self) -> None:
        with torch.no_grad():
            moved = [
                name
                for name, weight in self._masked.items()
                if bool(((weight != 0) & (self._multipliers[name] == 0)).any())
            ]
        if moved:
            raise TrainingError(
                f"{type(self.optimizer).__name__} moved pruned weights of {', '.join(moved)} without a gradient; "
                f"choose another train.optimizer, and report this: tickets trained with it would not be sparse"
            )

    def _finite_weights(self) -> bool:
        """The last step of an epoch may spoil weights whose loss nobody has seen yet."""
        with torch.no_grad():
            return bool(torch.stack([weight.isfinite().all() for weight in self.model.parameters()]).all())

    def _rates(self, epoch: int) -> list[float]:
        """The learning rates of the steps of an epoch, made at once, which is quicker than one by one."""
        first = epoch * self.steps_per_epoch
        return [self._rate(step) for step in range(first, first + self.steps_per_epoch)]

    def _rate(self, step: int) -> float:
        if self._constant_rate is not None:
            return self._constant_rate
        position = step if self.pace is None else self.pace.position(step)
        factor = learning_rate_factor(
            self._options["schedule"], position, steps_per_epoch=self.steps_per_epoch, epochs=self.epochs
        )
        return float(self._options["optimizer"]["lr"]) * factor

    def _read_sums(self) -> None:
        """Add what steps left on the device, one after the other: the order of additions is part of the result."""
        if not self._unread:
            return
        losses, predicted, labels = zip(*self._unread, strict=True)
        for loss, classes in zip(torch.stack(losses).double().tolist(), labels, strict=True):
            self.progress.loss_sum += loss * len(classes)
        self.progress.correct += int((torch.cat(predicted) == torch.cat(labels)).sum())
        self._unread.clear()

    def _finish_epoch(self, epoch: int, before: float, started: float) -> None:
        progress = self.progress
        score = self.validate()
        if score.accuracy > progress.best_accuracy:
            progress.best_epoch, progress.best_accuracy = epoch, score.accuracy
            self.best_model = {name: value.clone() for name, value in self.model.state_dict().items()}
        seconds = before + time.perf_counter() - started
        progress.curves.append(
            CurveRow(
                epoch=epoch,
                step=progress.step,
                train_loss=progress.loss_sum / progress.seen,
                train_accuracy=progress.correct / progress.seen,
                val_loss=score.loss,
                val_accuracy=score.accuracy,
                lr=self._rate(progress.step - 1),
                seconds=seconds,
            )
        )
        progress.seconds_train += seconds
        progress.seconds_epoch = progress.loss_sum = 0.0
        progress.correct = progress.seen = 0

    def validate(self) -> Score:
        """Score the model as it is on the validation data; NaN if there is none."""
        return evaluate(self.model, self._data.validation(), precision=self._precision)

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
        self._read_sums()
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
        self._unread.clear()
        apply_masks(self._masked, self._multipliers)


def has_random_layers(model: nn.Module, example: torch.Tensor) -> bool:
    """Whether a training step of the model draws random numbers (dropout, stochastic depth, anything).

    Found out by trying: a list of layer types would miss the next one. The model itself is not touched.
    """
    trial = copy.deepcopy(model).train()
    with _isolated_generators(example.device), torch.no_grad():
        before = _generator_states(example.device)
        trial(example)
        after = _generator_states(example.device)
        return not all(map(torch.equal, before, after))


def _generator_states(device: torch.device) -> list[torch.Tensor]:
    """Of the CPU and the device: a layer may draw on either."""
    on_device = [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []
    return [torch.get_rng_state(), *on_device]


def _seed_generators(seed: int, device: torch.device) -> None:
    """`torch.manual_seed` for the two generators that matter: it visits every backend, 150 µs each time."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        torch.cuda.default_generators[index].manual_seed(seed)


@contextmanager
def _isolated_generators(device: torch.device) -> Iterator[None]:
    """Leave torch's global generators as they were found."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield


def _under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
