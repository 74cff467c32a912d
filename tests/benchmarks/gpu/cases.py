"""Cases of the GPU benchmark: three networks, each with any number of tickets of one dense run on resident images.

Needs only torch and numpy, and torchvision for MobileNetV2, like the training and data path of the package.
"""

from __future__ import annotations

import copy
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from lthsweep.data.batching import TrainBatches
from lthsweep.data.cache import open_packed
from lthsweep.data.moments import channel_moments
from lthsweep.data.packed import Packed
from lthsweep.models.build import build_model
from lthsweep.pruning.prunable import prunable_weights
from lthsweep.training.state import Training, TrainingData
from lthsweep.training.train_options import TrainOptions
from tests.benchmarks.cases import case_of
from tests.benchmarks.images import generated, pack_images

SPARSITY = 0.8


@dataclass(frozen=True)
class Case:
    """A network, its data, and the aim.

    Attributes:
        name: of the case.
        model, optimizer: tables of the file.
        shape: height, width, channels of an image.
        images: per epoch; an incomplete last batch is dropped.
        batch: images per step.
        epochs: of a cell; only scales cells per hour.
        precision: of fused rows.
        aim: cells per hour, fused, relative to eager training one at a time.
        augment: of the training images.
    """

    name: str
    model: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    shape: tuple[int, int, int]
    images: int
    batch: int
    epochs: int
    precision: str
    aim: float
    augment: str = "crop-flip"

    @property
    def steps(self) -> int:
        """Steps of a cell."""
        return self.images // self.batch * self.epochs


_SGD = {"name": "sgd", "lr": 0.01, "momentum": 0.9, "nesterov": False, "weight_decay": 1e-4}
_ADAM = {"name": "adam", "lr": 1.2e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0}

CASES: Mapping[str, Case] = {
    "lenet": Case(
        "lenet", {"name": "lenet_300_100"}, _ADAM, (28, 28, 1), 60_000, 128, 20, "fp32", 10, augment="none"
    ),
    "resnet20": Case("resnet20", {"name": "resnet20"}, _SGD, (32, 32, 3), 50_000, 128, 160, "bf16", 5),
    "mobilenet_v2": Case(
        "mobilenet_v2",
        {"name": "mobilenet_v2", "strides": "cifar"},
        _SGD,
        (32, 32, 3),
        50_000,
        128,
        160,
        "bf16",
        2,
    ),
}
"""Name → case; the aims are for batch 128."""


def tiny(case: Case) -> Case:
    """The case at a size that takes a CPU about a second."""
    narrow = {"width": 0.1} if case.name == "mobilenet_v2" else {}
    height = 8
    return replace(
        case,
        model={**case.model, **narrow},
        shape=(height, height, case.shape[2]),
        images=64,
        batch=8,
        epochs=1,
    )


class Rig:
    """A case on a device, with its images and tickets.

    Args:
        case: network and data.
        device: to train on.

    Attributes:
        source: of the images, for the table.
    """

    def __init__(self, case: Case, device: torch.device) -> None:
        self.case = case
        self.device = device
        packed, self.source = _packed(case)
        train = TrainBatches(
            packed,
            np.arange(len(packed.train_images)),
            batch_size=case.batch,
            seed=0,
            augment=case.augment,
            padding=4,
            normalize="dataset",
            device=device,
        )
        self._data = TrainingData(train, lambda: iter(()))
        height, width, channels = case.shape
        model = build_model(case.model, input_shape=(channels, height, width), classes=10, seed=0)
        self._start = model.to(device).to(memory_format=torch.channels_last)
        self._models: list[nn.Module] = []

    def tickets(self, width: int, precision: str) -> list[Training]:
        """Trainings of one dense run with different masks; they continue with the weights of earlier calls.

        Args:
            width: number of trainings.
            precision: "fp32" or "bf16".
        """
        self._models += [copy.deepcopy(self._start) for _ in range(width - len(self._models))]
        options = {
            "epochs": 1_000_000,  # the hook stops them
            "batch_size": self.case.batch,
            "precision": precision,
            "label_smoothing": 0.0,
            "optimizer": self.case.optimizer,
            "schedule": {"name": "constant", "warmup": 0.0},
        }
        return [
            Training(model, self._data, TrainOptions.of(options), seed=0, masks=_masks(model, number))
            for number, model in enumerate(self._models[:width])
        ]

    def forget(self) -> None:
        """Release the networks: those of a failed ensemble can hold all of its memory."""
        self._models = []


def _masks(model: nn.Module, seed: int) -> dict[str, torch.Tensor]:
    """Random masks: the choice of survivors does not affect the time."""
    weights = prunable_weights(model)
    device = next(iter(weights.values())).device
    generator = torch.Generator(device).manual_seed(seed)
    return {
        name: torch.rand(weight.shape, generator=generator, device=device) >= SPARSITY
        for name, weight in weights.items()
    }


def _packed(case: Case) -> tuple[Packed, str]:
    real = {"lenet": "lenet", "resnet20": "resnet20", "mobilenet_v2": "resnet20"}[case.name]
    if "LTHSWEEP_DATA" in os.environ and case.shape == CASES[case.name].shape:
        of_sweeps = replace(case_of("full", real), images=(case.images, 10))
        with tempfile.TemporaryDirectory() as folder:
            source = pack_images(of_sweeps, Path(folder))
            packed = open_packed(dict(of_sweeps.data), cache=Path(folder))
            return replace(packed, train_images=np.array(packed.train_images)), source
    return _generated(case.images, case.shape), "generated"


@cache
def _generated(images: int, shape: tuple[int, int, int]) -> Packed:
    made = generated((images, 10), shape)
    mean, std = channel_moments(made.train_images)
    return Packed(
        train_images=made.train_images,
        train_labels=made.train_labels,
        test_images=made.test_images,
        test_labels=made.test_labels,
        mean=mean,
        std=std,
        class_names=made.class_names,
        name="generated",
        source="",
        fingerprint="",
        folder=Path(),
    )
