"""The return value of a reader: images or texts and their labels in memory, checked before they are packed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lthsweep.data.source import Source
from lthsweep.errors import DataError

__all__ = ["Decoded", "SampleArray"]

SampleArray = NDArray[np.uint8 | np.uint16]
"""Images, uint8 [N, H, W, C], or texts as token numbers, uint16 [N, L]."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """A data set in memory.

    Attributes:
        train_images, test_images: uint8 [N, H, W, C]; for texts, token numbers, uint16 [N, L].
        train_labels, test_labels: int64 [N], in 0..classes-1.
        class_names: one per label.
        source: identity of the files that were read; None if the reader leaves it to its caller.
        vocabulary: for texts, the token of each number; empty for images.
    """

    train_images: SampleArray
    train_labels: NDArray[np.int64]
    test_images: SampleArray
    test_labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    source: Source | None = None
    vocabulary: tuple[str, ...] = ()

    def check(self, name: str) -> None:
        """Refuse data that cannot be trained on.

        Raises:
            DataError: if shapes, types, counts or labels do not fit together.
        """
        samples, dtype, ndim, form = (
            ("texts", np.uint16, 2, "uint16 [N,L]")
            if self.vocabulary
            else ("images", np.uint8, 4, "uint8 [N,H,W,C]")
        )
        for split, images, labels in (
            ("training", self.train_images, self.train_labels),
            ("test", self.test_images, self.test_labels),
        ):
            if images.dtype != dtype or images.ndim != ndim or labels.dtype != np.int64 or labels.ndim != 1:
                raise DataError(
                    f"{name}: the {split} {samples} are {images.dtype}{list(images.shape)} with labels "
                    f"{labels.dtype}{list(labels.shape)}; a reader must return {form} and int64 [N]"
                )
            if len(images) == 0 or len(images) != len(labels):
                raise DataError(
                    f"{name}: {len(images)} {split} {samples} and {len(labels)} labels; the numbers must be equal "
                    "and at least 1; get the files again"
                )
            if labels.min() < 0 or labels.max() >= len(self.class_names):
                raise DataError(
                    f"{name}: {split} labels run from {labels.min()} to {labels.max()}, but there are "
                    f"{len(self.class_names)} classes; the files are damaged or of another data set"
                )
            if self.vocabulary and int(images.max()) >= len(self.vocabulary):
                raise DataError(
                    f"{name}: the {split} texts contain token {int(images.max())} of a vocabulary of "
                    f"{len(self.vocabulary)}; correct the reader"
                )
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            raise DataError(
                f"{name}: training {samples} are {list(self.train_images.shape[1:])}, test {samples} "
                f"{list(self.test_images.shape[1:])}; the shapes must be equal"
            )
        if len(self.class_names) < 2:
            raise DataError(
                f"{name}: only one class, {self.class_names[0]!r}; a classifier needs two or more"
            )
