"""Random crops and flips as a pure function of (seed, epoch, sample), without any state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lthsweep.errors import DataError, look_up
from lthsweep.randomness import hash_counters, stream

__all__ = ["AUGMENTS", "Augment", "augment", "crop_flip"]

_FIELD_BITS = 24
_FIELD = np.uint64((1 << _FIELD_BITS) - 1)


@dataclass(frozen=True)
class Augment:
    """What may happen to a training image."""

    crop: bool
    flip: bool
    along: bool = False
    """A crop moves the image along its width only."""


AUGMENTS: Mapping[str, Augment] = {
    "none": Augment(crop=False, flip=False),
    "crop": Augment(crop=True, flip=False),  # pad with zeros, cut at a random offset
    "crop-flip": Augment(crop=True, flip=True),  # then mirror left to right, one time in two
    "shift": Augment(crop=True, flip=False, along=True),  # earlier or later, for sound; pitch stays
}


def augment(name: str) -> Augment:
    """Look up an augmentation by its name in the sweep's file.

    Raises:
        UnknownNameError: if there is none of that name.
    """
    return look_up("augmentation", name, AUGMENTS)


def crop_flip(
    seed: int, epoch: int, samples: NDArray[np.int64], *, padding: int, flip: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Where each sample is cut from its padded image, and whether it is mirrored.

    One 64-bit hash per sample gives all three, so that turning flips on moves no crop. The same distribution
    as torchvision's RandomCrop(size, padding) and RandomHorizontalFlip (an offset's chance is off by at most
    2**-24).

    Args:
        seed: of the run, 0 or more.
        epoch: from 0.
        samples: int64 [B], indices into the training set.
        padding: pixels of zeros on every side, 0 or more.
        flip: whether samples may be mirrored.

    Returns:
        dy, dx: int64 [B], in 0..2*padding; flips: bool [B].

    Raises:
        DataError: if `padding` is negative.
    """
    if padding < 0:
        raise DataError(f"data.padding = {padding}; it must be 0 or more")
    words = hash_counters(stream(seed, "augment"), epoch, samples)
    offsets = np.uint64(2 * padding + 1)
    dy = ((words & _FIELD) * offsets) >> np.uint64(_FIELD_BITS)
    dx = (((words >> np.uint64(_FIELD_BITS)) & _FIELD) * offsets) >> np.uint64(_FIELD_BITS)
    flips = (words >> np.uint64(63)).astype(bool) & flip
    return dy.astype(np.int64), dx.astype(np.int64), flips
