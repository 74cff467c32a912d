"""What a reader hands over: images or texts and their labels in memory, checked, before they are packed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lthsweep.errors import DataError

__all__ = ["Decoded", "Stamp"]


@dataclass(frozen=True)
class Stamp:
    """What a source looked like when it was read: enough to see that it is another one now."""

    path: str
    files: int
    bytes: int


@dataclass(frozen=True, eq=False)
class Decoded:
    """A data set in memory.

    Attributes:
        train_images, test_images: uint8 [N, H, W, C]; of texts, the numbers of their tokens, uint16 [N, L].
        train_labels, test_labels: int64 [N], in 0..classes-1.
        class_names: one per label.
        stamps: of the files it was read from.
        vocabulary: of texts, the token of each number; empty for images.
    """

    train_images: NDArray[Any]
    train_labels: NDArray[np.int64]
    test_images: NDArray[Any]
    test_labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    stamps: tuple[Stamp, ...] = ()
    vocabulary: tuple[str, ...] = ()

    def check(self, name: str) -> None:
        """Refuse what no training could use.

        Raises:
            DataError: if shapes, types, counts or labels do not fit together.
        """
        what, kind, sides, form = (
            ("texts", np.uint16, 2, "uint16 [N,L]")
            if self.vocabulary
            else ("images", np.uint8, 4, "uint8 [N,H,W,C]")
        )
        for split, images, labels in (
            ("training", self.train_images, self.train_labels),
            ("test", self.test_images, self.test_labels),
        ):
            if images.dtype != kind or images.ndim != sides or labels.dtype != np.int64 or labels.ndim != 1:
                raise DataError(
                    f"{name}: the {split} {what} are {images.dtype}{list(images.shape)} with labels "
                    f"{labels.dtype}{list(labels.shape)}; a reader must give {form} and int64 [N]"
                )
            if len(images) == 0 or len(images) != len(labels):
                raise DataError(
                    f"{name}: {len(images)} {split} {what} and {len(labels)} labels; "
                    "there must be as many of each, and at least one; get the files again"
                )
            if labels.min() < 0 or labels.max() >= len(self.class_names):
                raise DataError(
                    f"{name}: {split} labels run from {labels.min()} to {labels.max()} but there are "
                    f"{len(self.class_names)} classes; the files are damaged or of another data set"
                )
            if self.vocabulary and int(images.max()) >= len(self.vocabulary):
                raise DataError(
                    f"{name}: the {split} texts hold token {int(images.max())} of a vocabulary of "
                    f"{len(self.vocabulary)}; the reader is wrong"
                )
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            raise DataError(
                f"{name}: training {what} are {list(self.train_images.shape[1:])} but test {what} "
                f"{list(self.test_images.shape[1:])}; the files do not belong together"
            )
        if len(self.class_names) < 2:
            raise DataError(f"{name}: only one class, {self.class_names[0]!r}; there is nothing to classify")
