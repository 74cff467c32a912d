"""Dense and ticket runs of a second, with everything that was kept of them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torchvision.models import MobileNetV2

from lthsweep.data.entry import DataOptions
from lthsweep.data.packed import Packed
from lthsweep.lottery.context import TrainingContext
from lthsweep.lottery.dense import train_dense
from lthsweep.lottery.result import Checkpoint, Result
from lthsweep.lottery.ticket import Parent, prepare_ticket, retrain_ticket
from lthsweep.plan.prune_step import PruneStep
from lthsweep.plan.rewind import RewindPoint
from lthsweep.randomness import torch_seed
from lthsweep.store.metrics import TIMING_METRICS
from lthsweep.store.weights import Arrays
from tests.training.cases import state_of, train_options

SEED = 3
EPOCHS = 3
STEPS = 5
"""Steps of an epoch: 90 training images in batches of 16."""

MODELS: Mapping[str, dict[str, Any]] = {
    "lenet": {"name": "lenet_300_100", "init": "default"},
    "mobilenet": {
        "name": "mobilenet_v2",
        "init": "default",
        "strides": "cifar",
        "width": 0.1,
        "dropout": 0.2,
    },
    "short": {},  # see `_Short`
}

BY_THE_LAUNCHER = {"bytes_dense", "bytes_sparse", "bytes_model", "seconds_wall"}
"""Metrics that are measured when the record is written, after the training."""


class _Short(TrainingContext):
    """Trains the first blocks of MobileNetV2, a tenth of the network, in a quarter of the time.

    All kinds of layers are there: depthwise, expanding and residual blocks, BatchNorm, dropout.
    """

    def build(self, seed: int) -> nn.Module:
        channels = self.input_shape[0]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch_seed(seed, "init"))
            blocks = [[1, 16, 1, 1], [6, 24, 2, 2]]  # expansion, channels, blocks, stride of the first
            network = MobileNetV2(len(self.packed.class_names), 0.5, blocks, dropout=0.2)
            network.features[0][0] = nn.Conv2d(
                channels, network.features[0][0].out_channels, 3, padding=1, bias=False
            )
        return self.placed(network)


@dataclass(frozen=True, eq=False)
class DenseRun:
    """A dense run and its snapshots at every step."""

    context: TrainingContext
    result: Result
    snapshots: Mapping[int, Arrays]

    @property
    def parent(self) -> Parent:
        """As the parent of level 1."""
        return parent_of(self.result)


def context_of(
    packed: Packed, model: str = "lenet", optimizer: str = "sgd", **changes: Any
) -> TrainingContext:
    """The recipe of a run, made concrete; `changes` go into the train table."""
    kind = _Short if model == "short" else TrainingContext
    return kind(
        model=MODELS[model],
        data=DataOptions(validation=60, augment="crop", padding=1, normalize="dataset"),
        train=train_options(optimizer, **{"epochs": EPOCHS, **changes}),
        packed=packed,
        device=torch.device("cpu"),
    )


@functools.cache
def dense_of(packed: Packed, model: str = "lenet", optimizer: str = "sgd") -> DenseRun:
    """A dense run, trained once for all tests of a process; no test changes it."""
    context = context_of(packed, model, optimizer)
    snapshots: dict[int, Arrays] = {}
    steps = range(EPOCHS * STEPS)
    result = train_dense(context, SEED, snapshot_steps=steps, save_snapshot=snapshots.__setitem__)
    assert result is not None
    return DenseRun(context, result, snapshots)


def parent_of(result: Result) -> Parent:
    """A finished run as the parent of the next level, as it would be read from its record."""
    return Parent(
        weights=result.weights,
        masks=result.masks,
        val_accuracy=result.metrics.val_accuracy,
        test_accuracy=result.metrics.test_accuracy,
    )


def prune_step(
    sparsity: float | None = 0.8, point: int | float | str = 1, *, rewind: str = "weights", **changes: Any
) -> PruneStep:
    """A pruning of a network's smallest weights, all layers together."""
    return PruneStep(
        method=changes.pop("method", "magnitude"),
        scope=changes.pop("scope", "global"),
        exclude=changes.pop("exclude", ()),
        rewind=rewind,
        point=RewindPoint.parse(point),
        sparsity=sparsity,
        **changes,
    )


def ticket_of(
    dense: DenseRun, step: PruneStep, *, parent: Parent | None = None, **options: Any
) -> Result | None:
    """The ticket run of a pruning step; None if it was stopped."""
    context = options.pop("context", dense.context)
    between_steps = options.pop("between_steps", lambda training: False)
    snapshot = dense.snapshots.get(step.point.step(STEPS)) if step.returns_weights else None
    prepared = prepare_ticket(
        context,
        SEED,
        step,
        parent=parent or dense.parent,
        snapshot=options.pop("snapshot", snapshot),
        dense_val_accuracy=dense.result.metrics.val_accuracy,
        **options,
    )
    return retrain_ticket(prepared, between_steps)


@functools.cache
def undisturbed(dense: DenseRun, step: PruneStep) -> Result:
    """The uninterrupted level-1 ticket, trained once for all tests of a process."""
    return finished(ticket_of(dense, step))


def finished(result: Result | None) -> Result:
    """The result of a run that was not stopped."""
    assert result is not None
    assert result.ending == "finished"
    return result


class Watch:
    """A `between_steps` that keeps the state at some steps and may stop at one."""

    def __init__(self, *steps: int, stop: int | None = None) -> None:
        self.states: dict[int, tuple[dict[str, torch.Tensor], dict[str, Any]]] = {}
        self._steps = steps
        self._stop = stop

    def __call__(self, training: Any) -> bool:
        step = training.progress.step
        if step in self._steps or step == self._stop:
            self.states[step] = state_of(training)
        return step == self._stop

    @property
    def checkpoint(self) -> Checkpoint:
        """Where it stopped."""
        assert self._stop is not None
        return Checkpoint(*self.states[self._stop])


def assert_same_arrays(left: Mapping[str, Any], right: Mapping[str, Any]) -> None:
    """Bit for bit, NaN equal to NaN."""
    assert left.keys() == right.keys()
    for name, array in left.items():
        assert array.dtype == right[name].dtype, name
        assert np.array_equal(array, right[name], equal_nan=array.dtype.kind == "f"), name


def measured(result: Result) -> dict[str, float]:
    """The metrics without those that a clock makes."""
    return {name: value for name, value in result.metrics.to_dict().items() if name not in TIMING_METRICS}


def rows(result: Result, after_step: int = 0) -> list[Any]:
    """The curve after some step, without the clock."""
    return [replace(row, seconds=0.0) for row in result.curves if row.step > after_step]


def assert_same_result(left: Result, right: Result) -> None:
    """Everything but the clock."""
    assert left.ending == right.ending
    assert_same_arrays(left.weights, right.weights)
    assert_same_arrays(left.masks, right.masks)
    assert repr(measured(left)) == repr(measured(right))
    assert repr(rows(left)) == repr(rows(right))
    assert left.layers == right.layers
    assert left.audit == right.audit
