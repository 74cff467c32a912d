"""The data path of a tutorial: one PIL image per sample, torchvision's transforms, and a DataLoader."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision import transforms

from lthsweep.data.entry import DataOptions
from lthsweep.data.order import epoch_order
from lthsweep.data.packed import Packed
from lthsweep.data.split import split_indices
from lthsweep.lottery.context import EVALUATION_BATCH, TrainingContext

__all__ = ["Loaders"]

Batches = Iterable[tuple[torch.Tensor, torch.Tensor]]


class Loaders:
    """Training, validation and test images as a tutorial reads them, in our order and batches.

    Args:
        material: of the run.
        seed: of the order; augmentation uses torch's global generator.
        workers: number of loader processes; 0, DataLoader's default, loads in the training process.
    """

    def __init__(self, material: TrainingContext, seed: int, workers: int = 0) -> None:
        packed, options = material.packed, material.data
        training, held_out = split_indices(packed.train_labels, options.validation)
        plain = _transforms(packed, options, augmented=False)
        self._order = _EpochOrder(seed, training)
        self._train: Batches = DataLoader(
            _Pictures(packed.train_images, packed.train_labels, _transforms(packed, options, augmented=True)),
            batch_size=material.train.batch_size,
            sampler=self._order,
            drop_last=True,
            num_workers=workers,
        )
        self._validation: Batches = DataLoader(
            _Pictures(packed.train_images[held_out], packed.train_labels[held_out], plain),
            batch_size=EVALUATION_BATCH,
            num_workers=workers,
        )
        self._test: Batches = DataLoader(
            _Pictures(packed.test_images, packed.test_labels, plain),
            batch_size=EVALUATION_BATCH,
            num_workers=workers,
        )
        self.steps = len(training) // material.train.batch_size

    def epoch(self, epoch: int) -> Batches:
        """Training batches of an epoch."""
        self._order.epoch = epoch
        return self._train

    def validation(self) -> Batches:
        """Validation batches."""
        return self._validation

    def test(self) -> Batches:
        """Test batches."""
        return self._test


class _Pictures(Dataset[tuple[torch.Tensor, int]], Sized):
    """Like torchvision's MNIST and CIFAR10: makes a PIL image of each sample and applies the transforms to it."""

    def __init__(self, images: NDArray[np.uint8], labels: NDArray[np.int64], transform: Any) -> None:
        # torchvision's data sets hold their images in memory, too; indexing a mapped file is slower.
        self._images = np.array(images)
        self._labels = labels
        self._transform = transform

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = self._images[index]
        picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
        return self._transform(picture), int(self._labels[index])


class _EpochOrder(Sampler[int]):
    """Our order of the samples, so that both programs train on the same batches."""

    def __init__(self, seed: int, indices: NDArray[np.int64]) -> None:
        self.epoch = 0
        self._seed = seed
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    def __iter__(self) -> Iterator[int]:
        return iter(epoch_order(self._seed, self.epoch, self._indices).tolist())


def _transforms(packed: Packed, options: DataOptions, *, augmented: bool) -> Any:
    steps: list[Any] = []
    if augmented and options.augment in ("crop", "crop-flip"):
        steps.append(transforms.RandomCrop(packed.shape[1:], padding=options.padding))
    if augmented and options.augment == "crop-flip":
        steps.append(transforms.RandomHorizontalFlip())
    steps += [transforms.ToTensor(), transforms.Normalize(packed.mean, packed.std)]
    return transforms.Compose(steps)
