"""Which samples are held out, and which are trained on: by a rule that no seed changes.

So every run is judged on the same samples, and all replicates of a study on a part of a data set see the same part.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lthsweep.errors import DataError
from lthsweep.randomness import hash_counters, stream

__all__ = ["split_indices", "test_split", "training_split"]

_TEST_SHARE = 5  # one in five


def training_split(
    labels: NDArray[np.int64], validation: int, train_images: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The samples to train on and those held out.

    The samples held out are the same whether all others are trained on or a part. The part is chosen as they are: each
    class in proportion to what is left of it, within a class by the hash of (purpose, index).

    Args:
        labels: int64 [N], non-negative, of all training samples.
        validation: how many to hold out, see `split_indices`.
        train_images: how many of the others to train on; 0 takes them all.

    Returns:
        Indices to train on and indices held out, int64, each sorted.

    Raises:
        DataError: if fewer samples are left than asked for, or `validation` leaves nothing.
    """
    kept, held_out = split_indices(labels, validation)
    if not train_images:
        return kept, held_out
    if not 0 < train_images <= len(kept):
        raise DataError(
            f"data.train_images = {train_images}: {len(labels)} training samples less {validation} held out leave "
            f"{len(kept)}; lower it, or set it to 0 for all of them"
        )
    return kept[_chosen(labels[kept], kept, train_images, "train")], held_out


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
            f"cannot hold out {validation} of {total} samples for {purpose}; "
            f"set data.validation to a number from 0 to {max(total - 1, 0)}"
        )
    held_out = _chosen(labels, np.arange(total), validation, purpose)
    return np.flatnonzero(~held_out).astype(np.int64), np.flatnonzero(held_out).astype(np.int64)


def test_split(labels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Hold out one sample in five as the test set, of each class at least one and not all.

    Args:
        labels: int64 [N], non-negative; every label that occurs does so twice or more.

    Returns:
        As `split_indices`, and equal to it if no class would get too few.
    """
    held_out = _chosen(
        labels, np.arange(len(labels)), max(1, len(labels) // _TEST_SHARE), "test", both_sides=True
    )
    return np.flatnonzero(~held_out).astype(np.int64), np.flatnonzero(held_out).astype(np.int64)


def _chosen(
    labels: NDArray[np.int64],
    indices: NDArray[np.int64],
    wanted: int,
    purpose: str,
    *,
    both_sides: bool = False,
) -> NDArray[np.bool_]:
    """Bool [N]: which `wanted` of the samples are chosen, given their labels and their indices in the data set.

    With `both_sides`, each class has a sample that is chosen and one that is not, and their number can differ.
    """
    total = len(labels)
    if not total:
        return np.zeros(0, bool)
    counts = np.bincount(labels)
    shares, remainders = np.divmod(counts * wanted, total)
    left_over = wanted - int(shares.sum())
    shares[np.argsort(-remainders, kind="stable")[:left_over]] += 1
    if both_sides:
        shares = np.clip(shares, np.minimum(counts, 1), np.maximum(counts - 1, 0))

    words = hash_counters(stream(0, f"split/{purpose}"), indices)
    by_class = np.lexsort((words, labels))  # stable: equal hashes keep the order of the indices
    starts = np.cumsum(counts) - counts
    rank = np.empty(total, np.int64)
    rank[by_class] = np.arange(total) - np.repeat(starts, counts)
    chosen: NDArray[np.bool_] = rank < shares[labels]
    return chosen
