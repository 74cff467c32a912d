"""The training context of a run: data, model and options on a device."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lthsweep.data.batching import LabeledBatch, TrainBatches, evaluation_batches, resident
from lthsweep.data.decoded import SampleArray
from lthsweep.data.entry import DataOptions
from lthsweep.data.packed import Packed
from lthsweep.data.split import training_split
from lthsweep.models.build import build_model
from lthsweep.models.shapes import InputShape, TextShape
from lthsweep.plan.run import Options
from lthsweep.store.weights import Arrays
from lthsweep.training.evaluation import Score, evaluate
from lthsweep.training.state import TrainingData
from lthsweep.training.train_options import TrainOptions

__all__ = ["EVALUATION_BATCH", "TrainingContext", "to_arrays", "to_tensors"]

EVALUATION_BATCH = 250
"""Samples per evaluation batch; fixed, because it changes the last digit of sums."""


@dataclass(frozen=True)
class TrainingContext:
    """Data, model and options of one run on one device.

    Args:
        model: the table `[sweep.model]` with every default written out.
        data, train: options of the tables `[sweep.data]` and `[train]`.
        packed: data set.
        device: device on which the run trains.
    """

    model: Options
    data: DataOptions
    train: TrainOptions
    packed: Packed
    device: torch.device

    @classmethod
    def of(cls, recipe: Mapping[str, Options], packed: Packed, device: torch.device) -> Self:
        """The context of a recipe: its tables "model", "data" and "train" with every default written out."""
        return cls(
            recipe["model"], DataOptions.of(recipe["data"]), TrainOptions.of(recipe["train"]), packed, device
        )

    @property
    def input_shape(self) -> InputShape:
        """Channels, height and width of an image; length and vocabulary of texts."""
        if self.packed.vocabulary:
            return TextShape(int(self.packed.train_images.shape[1]), len(self.packed.vocabulary))
        _, height, width, channels = self.packed.train_images.shape
        return channels, height, width

    def build(self, seed: int) -> nn.Module:
        """The dense model at initialization, on the device; convolutions in channels-last memory format."""
        model = build_model(
            self.model, input_shape=self.input_shape, classes=len(self.packed.class_names), seed=seed
        )
        return self.placed(model)

    def placed(self, model: nn.Module) -> nn.Module:
        """The model on the device, convolutions in channels-last memory format."""
        model = model.to(self.device)
        if any(tensor.dim() == 5 for tensor in model.state_dict().values()):
            return model  # of three-dimensional convolutions, for which there is no such format
        # Changes only the layout in memory: 1.3 to 1.7 times faster on a CPU (docs/protocol.md).
        return model.to(memory_format=torch.channels_last)

    def split(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Indices of the training samples and of the validation samples."""
        return training_split(self.packed.train_labels, self.data.validation, self.data.train_images)

    def training_data(self, seed: int) -> TrainingData:
        """Training batches in the order and augmentation of the seed, and passes over the validation samples.

        Raises:
            DataError: if no full training batch is left after the validation samples are removed.
        """
        training, held_out = self.split()
        batches = TrainBatches(
            self.packed,
            training,
            batch_size=self.train.batch_size,
            seed=seed,
            augment=self.data.augment,
            padding=self.data.padding,
            normalize=self.data.normalize,
            device=self.device,
        )
        inputs = resident(self.packed.train_images[held_out], self.device)
        labels = resident(self.packed.train_labels[held_out], self.device)
        return TrainingData(batches, lambda: self._passes(inputs, labels))

    def score_test(self, model: nn.Module) -> tuple[Score, float]:
        """The score on the test set, and the seconds that it took."""
        started = time.perf_counter()
        batches = self._passes(self.packed.test_images, self.packed.test_labels)
        score = evaluate(model, batches, precision=self.train.precision)
        return score, time.perf_counter() - started

    def _passes(
        self, inputs: SampleArray | torch.Tensor, labels: NDArray[np.int64] | torch.Tensor
    ) -> Iterator[LabeledBatch]:
        return evaluation_batches(
            inputs,
            labels,
            self.packed,
            batch_size=EVALUATION_BATCH,
            normalize=self.data.normalize,
            device=self.device,
        )


def to_arrays(tensors: Mapping[str, torch.Tensor]) -> Arrays:
    """C-contiguous copies in main memory, which later training does not change."""
    return {name: tensor.detach().cpu().contiguous().numpy().copy() for name, tensor in tensors.items()}


def to_tensors(arrays: Arrays) -> dict[str, torch.Tensor]:
    """Copies as tensors on the CPU."""
    return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
