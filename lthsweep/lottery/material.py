"""What a recipe becomes on a device: data split and resident, models built, scores taken."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lthsweep.data.batching import TrainBatches, evaluation_batches, resident
from lthsweep.data.packed import Packed
from lthsweep.data.split import training_split
from lthsweep.models.build import build_model
from lthsweep.models.shapes import InputShape, TextShape
from lthsweep.training.loop import TrainingData
from lthsweep.training.metrics import Score, evaluate

__all__ = ["EVALUATION_BATCH", "Arrays", "Material", "to_arrays", "to_tensors"]

Arrays = dict[str, NDArray[Any]]

EVALUATION_BATCH = 250
"""Samples per evaluation batch. Fixed, not derived from memory: it changes sums in the last digit."""


@dataclass(frozen=True)
class Material:
    """The recipe of one run, made concrete on one device.

    Args:
        model, data, train: tables of the file with every default written out.
        packed: the data set.
        device: where it trains.
    """

    model: Mapping[str, Any]
    data: Mapping[str, Any]
    train: Mapping[str, Any]
    packed: Packed
    device: torch.device

    @property
    def input_shape(self) -> InputShape:
        """Channels, height, width of one image; length and vocabulary of texts."""
        if self.packed.vocabulary:
            return TextShape(int(self.packed.train_images.shape[1]), len(self.packed.vocabulary))
        _, height, width, channels = self.packed.train_images.shape
        return channels, height, width

    @property
    def epochs(self) -> int:
        """T."""
        return int(self.train["epochs"])

    @property
    def group_lasso(self) -> float:
        """λ of the group lasso over filters; 0 for none, as in recipes from before there was one."""
        return float(self.train.get("group_lasso", 0.0))

    def build(self, seed: int) -> nn.Module:
        """The dense model at initialization, on the device; convolutions in channels-last memory format."""
        model = build_model(
            self.model, input_shape=self.input_shape, classes=len(self.packed.class_names), seed=seed
        )
        return self.placed(model)

    def placed(self, model: nn.Module) -> nn.Module:
        """The model on the device, convolutions in channels-last memory format."""
        # Only the layout in memory: 1.3 to 1.7 times faster on CPU (docs/protocol.md), names and shapes stay.
        return model.to(self.device).to(memory_format=torch.channels_last)

    def split(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Indices of the images to train on and of those held out."""
        wanted = int(self.data.get("train_images", 0))  # a record of an older version lacks it
        return training_split(self.packed.train_labels, int(self.data["validation"]), wanted)

    def training_data(self, seed: int) -> TrainingData:
        """Training batches in the seed's order and augmentation, and passes over the validation images.

        Raises:
            DataError: if validation leaves no full batch to train on.
        """
        training, held_out = self.split()
        batches = TrainBatches(
            self.packed,
            training,
            batch_size=int(self.train["batch_size"]),
            seed=seed,
            augment=str(self.data.get("augment", "none")),
            padding=int(self.data.get("padding", 0)),
            normalize=self._normalize,
            device=self.device,
        )
        images = resident(self.packed.train_images[held_out], self.device)
        labels = resident(self.packed.train_labels[held_out], self.device)
        return TrainingData(batches, lambda: self._passes(images, labels))

    def score_test(self, model: nn.Module) -> tuple[Score, float]:
        """Score on the test set, and the seconds it took."""
        started = time.perf_counter()
        batches = self._passes(self.packed.test_images, self.packed.test_labels)
        score = evaluate(model, batches, precision=str(self.train["precision"]))
        return score, time.perf_counter() - started

    def _passes(
        self, images: NDArray[Any] | torch.Tensor, labels: NDArray[np.int64] | torch.Tensor
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        return evaluation_batches(
            images,
            labels,
            self.packed,
            batch_size=EVALUATION_BATCH,
            normalize=self._normalize,
            device=self.device,
        )

    @property
    def _normalize(self) -> str:
        """Texts have no such option: their batches are numbers of tokens."""
        return str(self.data.get("normalize", "none"))


def to_arrays(tensors: Mapping[str, torch.Tensor]) -> Arrays:
    """Copies in ordinary memory, C-contiguous, ready to be stored; later training does not change them."""
    return {name: tensor.detach().cpu().contiguous().numpy().copy() for name, tensor in tensors.items()}


def to_tensors(arrays: Mapping[str, NDArray[Any]]) -> dict[str, torch.Tensor]:
    """Copies as tensors on the CPU."""
    return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
