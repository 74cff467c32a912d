from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lthsweep.data.order import epoch_order, steps_per_epoch
from lthsweep.errors import DataError


@given(st.integers(0, 2**40), st.integers(0, 1000), st.sets(st.integers(0, 10**6), max_size=60))
def test_order_is_a_permutation_of_the_indices(seed, epoch, indices):
    """Each sample is seen once per epoch."""
    given_indices = np.array(sorted(indices), np.int64)

    order = epoch_order(seed, epoch, given_indices)

    assert sorted(order) == sorted(indices)
    assert order.dtype == np.int64


def test_order_is_pinned():
    """The order of a seed is part of what a run's key stands for."""
    assert epoch_order(3, 2, np.arange(10, 20)).tolist() == [16, 17, 15, 14, 13, 18, 12, 19, 11, 10]


def test_order_differs_between_epochs_and_seeds():
    """Neither an epoch nor a seed repeats another's order."""
    orders = {tuple(epoch_order(seed, epoch, np.arange(30))) for seed in range(4) for epoch in range(4)}

    assert len(orders) == 16


@pytest.mark.parametrize(
    ("n", "batch_size", "steps"),
    [(0, 4, 0), (3, 4, 0), (4, 4, 1), (7, 4, 1), (8, 4, 2), (3, 1, 3)],
)
def test_only_full_batches_are_used(n, batch_size, steps):
    """BatchNorm's statistics of a few samples wreck a network with small maps."""
    assert steps_per_epoch(n, batch_size) == steps


@pytest.mark.parametrize(("n", "batch_size"), [(10, 0), (-1, 4)])
def test_impossible_sizes_are_refused(n, batch_size):
    """A batch size of zero is a mistake in the file, not an empty epoch."""
    with pytest.raises(DataError, match="batch_size"):
        steps_per_epoch(n, batch_size)
