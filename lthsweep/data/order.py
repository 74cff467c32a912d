"""The order of the samples in an epoch, a pure function of (seed, epoch)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lthsweep.errors import DataError
from lthsweep.randomness import permutation, stream

__all__ = ["epoch_order", "steps_per_epoch"]


def epoch_order(seed: int, epoch: int, indices: NDArray[np.int64]) -> NDArray[np.int64]:
    """The samples `indices` in the order in which epoch `epoch` (from 0) of seed `seed` sees them; int64."""
    return indices[permutation(stream(seed, "order"), epoch, len(indices))]


def steps_per_epoch(n: int, batch_size: int) -> int:
    """Optimizer steps of an epoch of `n` samples.

    Batches are full; the `n` modulo `batch_size` samples that come last in an epoch's order are left out of that
    epoch. A short last batch is poison for BatchNorm where maps are small: statistics over a handful of samples throw
    a whole training off course (docs/protocol.md).

    Raises:
        DataError: if `batch_size` is below 1 or `n` is negative.
    """
    if batch_size < 1 or n < 0:
        raise DataError(f"batch size {batch_size} over {n} images; set train.batch_size to 1 or more")
    return n // batch_size
