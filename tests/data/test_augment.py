from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lthsweep.data.augment import augment, crop_flip
from lthsweep.errors import DataError, UnknownNameError


@given(
    st.integers(0, 2**40),
    st.integers(0, 500),
    st.lists(st.integers(0, 10**6), max_size=40),
    st.integers(0, 16),
)
def test_each_sample_is_drawn_alone(seed, epoch, samples, padding):
    """The augmentation of a sample does not depend on the other requested samples or their order."""
    together = crop_flip(seed, epoch, np.array(samples, np.int64), padding=padding, flip=True)

    for row, sample in enumerate(samples):
        alone = crop_flip(seed, epoch, np.array([sample]), padding=padding, flip=True)
        assert [part[row] for part in together] == [part[0] for part in alone]
    assert all(((part >= 0) & (part <= 2 * padding)).all() for part in together[:2])


def test_draws_are_pinned():
    """The augmentation of a seed is part of what a run's key stands for."""
    dy, dx, flips = crop_flip(5, 1, np.arange(6), padding=4, flip=True)

    assert (dy.tolist(), dx.tolist(), flips.astype(int).tolist()) == (
        [5, 7, 1, 5, 5, 8],
        [6, 3, 4, 2, 0, 0],
        [0, 1, 1, 1, 0, 1],
    )


def test_offsets_are_uniform_and_half_are_mirrored():
    """81 offsets and two sides over 100,000 samples: chi-square far from any doubt, for these fixed draws."""
    dy, dx, flips = crop_flip(0, 0, np.arange(100_000), padding=4, flip=True)

    counts = np.bincount(dy * 18 + dx * 2 + flips, minlength=162)
    expected = 100_000 / 162
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert chi_square < 230  # 161 degrees of freedom: the 99.97th percentile


def test_turning_flips_off_moves_no_crop():
    """ "crop" and "crop-flip" differ in the mirror alone."""
    with_flips = crop_flip(1, 2, np.arange(50), padding=4, flip=True)
    without = crop_flip(1, 2, np.arange(50), padding=4, flip=False)

    assert (with_flips[0] == without[0]).all() and (with_flips[1] == without[1]).all()
    assert not without[2].any()


def test_epochs_and_seeds_draw_differently():
    """A sample is not cut the same way in each epoch."""
    draws = {
        tuple(crop_flip(s, e, np.arange(20), padding=4, flip=True)[0]) for s in range(3) for e in range(3)
    }

    assert len(draws) == 9


def test_negative_padding_and_unknown_names_are_refused():
    """Both come from the sweep's file."""
    with pytest.raises(DataError, match="padding"):
        crop_flip(0, 0, np.arange(3), padding=-1, flip=True)
    with pytest.raises(UnknownNameError, match="'crop-flip'"):
        augment("crop-flips")
