"""The baseline, a nested loop: `python -m tests.benchmarks.baseline REQUEST`, REQUEST a JSON file.

For every cell: train the dense network, prune it, rewind the survivors, train again. Network, initial weights,
order of the batches, masks and schedule equal ours, so that cells give the same results. `BaselineOptions` add
our improvements one by one.
"""

from __future__ import annotations

import copy
import json
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from lthsweep.data.batching import evaluation_batches
from lthsweep.data.cache import open_packed
from lthsweep.lottery.context import EVALUATION_BATCH, TrainingContext
from lthsweep.models.build import build_model
from lthsweep.plan.expand import expand
from lthsweep.plan.run import Cell, Plan, Run
from lthsweep.pruning.make import make_masks
from lthsweep.pruning.masks import Masks
from lthsweep.pruning.prunable import prunable_weights
from lthsweep.pruning.scoring import ScoringContext
from lthsweep.spec import spec_of
from lthsweep.training.optimizers import SGD
from lthsweep.training.schedule import learning_rate_factor
from tests.benchmarks.loaders import Loaders

__all__ = ["BaselineOptions", "NestedLoop", "main"]

State = dict[str, torch.Tensor]
Batches = Iterable[tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class BaselineOptions:
    """Improvements of the nested loop.

    Attributes:
        shared_dense_run: trains the dense network of a seed once and keeps its weights at the rewind epochs.
        shared_chains: trains a level of an iterative chain once, not again for every later level.
        resident: takes batches from one array in memory, not from PIL and a DataLoader.
        channels_last: memory format of network and batches.
        loader_workers: number of processes of the DataLoader.
    """

    shared_dense_run: bool = False
    shared_chains: bool = False
    resident: bool = False
    channels_last: bool = False
    loader_workers: int = 0


@dataclass(frozen=True)
class Trained:
    """A finished training: final weights, masks, and the weights at the rewind epochs."""

    final: State
    masks: Masks
    snapshots: dict[float, State]
    test_accuracy: float


@dataclass
class NestedLoop:
    """The loop over the cells of a plan.

    Attributes:
        plan: cells of one recipe.
        material: its data and tables, on a CPU.
        options: improvements.
        epochs: number of epochs trained so far.
        images: number of images trained on so far.
    """

    plan: Plan
    material: TrainingContext
    options: BaselineOptions
    epochs: int = 0
    images: int = 0
    _kept: dict[str, Trained] = field(default_factory=dict)

    def answer(self, cell: Cell) -> float:
        """Test accuracy of a cell, after all trainings it needs."""
        trained = self._train(self.plan[cell.run])
        keep = {"dense": self.options.shared_dense_run, "ticket": self.options.shared_chains}
        self._kept = {key: value for key, value in self._kept.items() if keep[self.plan[key].kind]}
        return trained.test_accuracy

    def _train(self, run: Run) -> Trained:
        if run.key not in self._kept:
            self._kept[run.key] = self._dense(run) if run.prune is None else self._ticket(run)
        return self._kept[run.key]

    def _dense(self, run: Run) -> Trained:
        torch.manual_seed(run.seed)  # used by the augmentation
        model = self._model(run.seed)
        points = {
            other.prune.point.epochs(None)
            for other in self.plan.tickets
            if other.prune and other.seed == run.seed
        }
        return self._retrain(run, model, 0, {}, points)

    def _ticket(self, run: Run) -> Trained:
        assert run.prune is not None and run.parent is not None
        parent = self._train(self.plan[run.parent])
        dense_run = self._train(self.plan[run.trunk])
        model = self._model(run.seed)
        model.load_state_dict(parent.final)
        masks = make_masks(
            run.prune.method,
            ScoringContext(prunable_weights(model), parent.masks or None, seed=run.seed),
            scope=run.prune.scope,
            sparsity=run.prune.sparsity,
        )
        weights = dict(model.named_parameters())
        _multiply(weights, masks)
        loaders = self._data(run.seed)
        accuracy(model, loaders.validation())  # accuracy without retraining
        accuracy(model, loaders.test())
        point = run.prune.point.epochs(None)
        model.load_state_dict(dense_run.snapshots[point])
        return self._retrain(run, model, int(point), masks, set())

    def _retrain(self, run: Run, model: nn.Module, start: int, masks: Masks, points: set[float]) -> Trained:
        train = self.material.train
        data = self._data(run.seed)
        optimizer = _optimizer(model, train.optimizer)
        weights = dict(model.named_parameters())
        _multiply(weights, masks)
        snapshots: dict[float, State] = {}
        for epoch in range(start, train.epochs):
            if epoch in points:
                snapshots[epoch] = copy.deepcopy(model.state_dict())
            model.train()
            total_loss, correct, step = 0.0, 0, epoch * data.steps
            for images, labels in data.epoch(epoch):
                factor = learning_rate_factor(
                    train.schedule, step, steps_per_epoch=data.steps, epochs=train.epochs
                )
                optimizer.param_groups[0]["lr"] = train.optimizer.lr * factor
                optimizer.zero_grad()
                logits = model(images)
                loss = functional.cross_entropy(logits, labels)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                _multiply(weights, masks)
                total_loss += loss.item() * len(labels)
                correct += int((logits.argmax(1) == labels).sum().item())
                step += 1
                self.images += len(labels)
            accuracy(model, data.validation())
            self.epochs += 1
        return Trained(copy.deepcopy(model.state_dict()), masks, snapshots, accuracy(model, data.test()))

    def _model(self, seed: int) -> nn.Module:
        shape, classes = self.material.input_shape, len(self.material.packed.class_names)
        model = build_model(self.material.model, input_shape=shape, classes=classes, seed=seed)
        return model.to(memory_format=torch.channels_last) if self.options.channels_last else model

    def _data(self, seed: int) -> Loaders | _Resident:
        if self.options.resident:
            return _Resident(self.material, seed, channels_last=self.options.channels_last)
        return Loaders(self.material, seed, self.options.loader_workers)


class _Resident:
    """Our batches, in the memory format of the network."""

    def __init__(self, material: TrainingContext, seed: int, *, channels_last: bool) -> None:
        self._material = material
        self._data = material.training_data(seed)
        self._channels_last = channels_last
        self.steps = self._data.train.steps

    def epoch(self, epoch: int) -> Batches:
        return self._formatted(self._data.train.epoch(epoch))

    def validation(self) -> Batches:
        return self._formatted(self._data.validation())

    def test(self) -> Batches:
        packed = self._material.packed
        return self._formatted(
            evaluation_batches(
                packed.test_images,
                packed.test_labels,
                packed,
                batch_size=EVALUATION_BATCH,
                normalize=self._material.data.normalize,
                device="cpu",
            )
        )

    def _formatted(self, batches: Batches) -> Batches:
        if self._channels_last:
            return batches
        return ((images.contiguous(), labels) for images, labels in batches)


def accuracy(model: nn.Module, batches: Batches) -> float:
    """Fraction of correctly classified samples; NaN without samples."""
    model.eval()
    correct = count = 0
    with torch.no_grad():
        for images, labels in batches:
            correct += int((model(images).argmax(1) == labels).sum().item())
            count += len(labels)
    return correct / count if count else float("nan")


def _multiply(weights: State | dict[str, nn.Parameter], masks: Masks) -> None:
    with torch.no_grad():
        for name, mask in masks.items():
            weights[name].mul_(mask)


def _optimizer(model: nn.Module, options: Any) -> torch.optim.Optimizer:
    """torch's optimizer with its defaults, as in a tutorial: not fused, not chosen for speed."""
    if isinstance(options, SGD):
        return torch.optim.SGD(
            model.parameters(),
            lr=options.lr,
            momentum=options.momentum,
            nesterov=options.nesterov,
            weight_decay=options.weight_decay,
        )
    return torch.optim.Adam(
        model.parameters(),
        lr=options.lr,
        betas=(options.beta1, options.beta2),
        eps=options.eps,
        weight_decay=options.weight_decay,
    )


def main(arguments: list[str] | None = None) -> int:
    """Train the cells of the request and print one line of JSON.

    The request holds `tables` and `cache` of a case, `options`, and `cells`, [first, last + 1] in the order of
    the plan. `seconds` do not contain the imports.
    """
    (path,) = sys.argv[1:] if arguments is None else arguments
    request = json.loads(Path(path).read_text())
    started = time.perf_counter()
    plan = expand(spec_of(request["tables"]))
    recipe = plan.dense[0].recipe
    packed = open_packed(recipe.data, cache=Path(request["cache"]))
    material = TrainingContext.of(recipe.to_dict(), packed, torch.device("cpu"))
    loop = NestedLoop(plan, material, BaselineOptions(**request["options"]))
    first, last = request["cells"]
    accuracies = {cell.run: loop.answer(cell) for cell in plan.cells[first:last]}
    seconds = time.perf_counter() - started
    answer = {
        "seconds": seconds,
        "epochs": loop.epochs,
        "images": loop.images,
        "threads": torch.get_num_threads(),
        "accuracies": accuracies,
    }
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
