"""Trainings of a second: real digits, few of them, and networks of a few thousand weights."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from lthsweep.data.batching import TrainBatches, evaluation_batches
from lthsweep.data.cache import open_packed
from lthsweep.data.packed import Packed
from lthsweep.training.state import Training, TrainingData
from lthsweep.training.train_options import TrainOptions

BATCH = 16
STEPS = 5
"""Steps of an epoch: 90 images in batches of 16; 10 are left out."""

OPTIMIZERS: Mapping[str, dict[str, Any]] = {
    "sgd": {"name": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": False, "weight_decay": 1e-3},
    "nesterov": {"name": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.0},
    "plain": {"name": "sgd", "lr": 0.1, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0},
    "adam": {"name": "adam", "lr": 2e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 1e-3},
    "adamw": {"name": "adamw", "lr": 2e-3, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "weight_decay": 0.05},
}


def small_digits(cache: Path, size: int = 8) -> Packed:
    """150 training and 60 test images of the digits."""
    packed = open_packed({"name": "digits", "size": size}, cache=cache)
    return dataclasses.replace(
        packed,
        train_images=packed.train_images[:150],
        train_labels=packed.train_labels[:150],
        test_images=packed.test_images[:60],
        test_labels=packed.test_labels[:60],
    )


def train_table(optimizer: str = "sgd", **changes: Any) -> dict[str, Any]:
    """A `train` table with every default written out."""
    return {
        "epochs": 3,
        "batch_size": BATCH,
        "precision": "fp32",
        "label_smoothing": 0.0,
        "optimizer": OPTIMIZERS[optimizer],
        "schedule": {"name": "cosine", "warmup": 0.5, "final": 0.0},
        **changes,
    }


def train_options(optimizer: str = "sgd", **changes: Any) -> TrainOptions:
    """The options of a `train_table`."""
    return TrainOptions.of(train_table(optimizer, **changes))


def optimizer_of(model: nn.Module, name: str, **changes: Any) -> torch.optim.Optimizer:
    """A fresh optimizer over the parameters of a model."""
    options = train_options(name).optimizer
    return dataclasses.replace(options, **changes).build(model.parameters())


def data_of(packed: Packed, *, seed: int = 0, augment: str = "none", train: int = 90) -> TrainingData:
    """The first `train` images to train on, the next 60 for validation."""
    batches = TrainBatches(
        packed,
        np.arange(train),
        batch_size=BATCH,
        seed=seed,
        augment=augment,
        padding=1,
        normalize="dataset",
        device="cpu",
    )

    def validation() -> Any:
        return evaluation_batches(
            packed.train_images[90:],
            packed.train_labels[90:],
            packed,
            batch_size=25,
            normalize="dataset",
            device="cpu",
        )

    return TrainingData(batches, validation)


def perceptron(seed: int = 0, *, dropout: float = 0.0) -> nn.Module:
    """64, 32 and 10 units."""
    return _seeded(
        seed,
        lambda: nn.Sequential(
            nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Dropout(dropout), nn.Linear(32, 10)
        ),
    )


def convolutional(seed: int = 0, *, dropout: float = 0.0) -> nn.Module:
    """Convolutions (one of them depthwise) with BatchNorm, in channels-last memory as trainings have them."""

    def make() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(32, 10),
        )

    return _seeded(seed, make).to(memory_format=torch.channels_last)


def _seeded(seed: int, make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return make()


def half_masks(model: nn.Module, seed: int = 1) -> dict[str, torch.Tensor]:
    """Masks that keep about half of every weight matrix."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(weight.shape, generator=generator) < 0.5
        for name, weight in model.named_parameters()
        if weight.dim() > 1
    }


State = tuple[dict[str, torch.Tensor], dict[str, Any]]


def state_of(training: Training) -> State:
    """The contents of a checkpoint on disk, independent of the training."""
    tensors, progress = training.state()
    return {name: value.clone() for name, value in tensors.items()}, json.loads(json.dumps(progress))


def without_seconds(progress: Mapping[str, Any]) -> dict[str, Any]:
    """Progress without the clock, the one thing that differs between equal trainings."""
    rows = [{name: value for name, value in row.items() if name != "seconds"} for row in progress["curves"]]
    return {**{n: v for n, v in progress.items() if not n.startswith("seconds")}, "curves": rows}


def assert_same_state(left: State, right: State) -> None:
    """Bit for bit: tensors, and progress except for the clock."""
    assert left[0].keys() == right[0].keys()
    for name, value in left[0].items():
        assert value.dtype == right[0][name].dtype, name
        assert torch.equal(value, right[0][name]), name
    assert repr(without_seconds(left[1])) == repr(without_seconds(right[1]))  # repr: NaN equals NaN
