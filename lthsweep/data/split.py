"""Which images are held out: by a rule that no seed changes, so that every run is judged on the same ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lthsweep.errors import DataError
from lthsweep.randomness import hash_counters, stream

__all__ = ["split_indices"]


def split_indices(
    labels: NDArray[np.int64], validation: int, *, purpose: str = "validation"
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Hold out `validation` samples, each class in proportion, the same ones at every seed.

    Each class gives its share rounded down; what is left over goes to the classes with the largest
    remainders, the lower label first on ties. Within a class the samples with the smallest hash of (purpose,
    index) go.

    Args:
        labels: int64 [N], non-negative.
        validation: how many to hold out, 0 <= validation < N.
        purpose: name of the split; two purposes choose independently.

    Returns:
        Indices kept and indices held out, int64, each sorted; together they are range(N).

    Raises:
        DataError: if `validation` is negative or would leave nothing.
    """
    total = len(labels)
    if not 0 <= validation < max(total, 1):
        raise DataError(
            f"cannot hold out {validation} of {total} images for {purpose}; "
            f"set data.validation to a number from 0 to {max(total - 1, 0)}"
        )
    counts = np.bincount(labels) if total else np.zeros(1, np.int64)
    shares, remainders = np.divmod(counts * validation, max(total, 1))
    left_over = validation - int(shares.sum())
    shares[np.argsort(-remainders, kind="stable")[:left_over]] += 1

    words = hash_counters(stream(0, f"split/{purpose}"), np.arange(total))
    by_class = np.lexsort((words, labels))  # stable: equal hashes keep the order of the indices
    starts = np.cumsum(counts) - counts
    rank = np.empty(total, np.int64)
    rank[by_class] = np.arange(total) - np.repeat(starts, counts)
    held_out = rank < shares[labels] if total else np.zeros(0, bool)
    return np.flatnonzero(~held_out).astype(np.int64), np.flatnonzero(held_out).astype(np.int64)
