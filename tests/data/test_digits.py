from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lthsweep.data.cache import decode, open_packed
from lthsweep.data.digits import enlarge
from lthsweep.errors import DataError


def test_digits_are_those_of_scikit_learn():
    """The counts of the embedded set are part of every published number on it."""
    digits = decode({"name": "digits", "size": 32})

    assert digits.train_images.shape == (1437, 32, 32, 1)
    assert digits.test_images.shape == (360, 32, 32, 1)
    assert np.bincount(digits.test_labels).tolist() == [36, 37, 35, 37, 36, 36, 36, 36, 35, 36]
    assert digits.train_images.max() == 255


def test_fingerprint_at_32_pixels_is_pinned(tmp_path):
    """The enlargement is exact: other bytes would be another data set under the old name."""
    packed = open_packed({"name": "digits", "size": 32}, cache=tmp_path)

    assert packed.fingerprint == "da71af318a9e58de9abd4947d6bd72f8783e93fbd22aa4a56d77db101e85d625"


@given(
    st.lists(st.integers(0, 16), min_size=16, max_size=16),
    st.integers(4, 21),
)
def test_enlargement_is_bilinear_interpolation_to_the_nearest_byte(levels, size):
    """Only the rounding is ours: torch's interpolation of the same levels is within half a step."""
    small = np.array(levels).reshape(1, 4, 4)

    ours = enlarge(small, size).astype(np.float64)

    exact = torch.nn.functional.interpolate(
        torch.from_numpy(small * 255 / 16)[None], size=(size, size), mode="bilinear", align_corners=False
    )[0].numpy()
    assert np.abs(ours - exact).max() <= 0.5 + 1e-9


def test_size_eight_keeps_the_levels():
    """At their own size the images are only rescaled from 0..16 to 0..255."""
    levels = np.arange(64).reshape(1, 8, 8) % 17

    assert (enlarge(levels, 8) == (levels * 510 + 16) // 32).all()


@pytest.mark.parametrize("size", [7, 257])
def test_size_out_of_range_is_refused(size):
    """Smaller than the original would throw pixels away silently."""
    with pytest.raises(DataError, match=r"data\.size = \d+: must be"):
        decode({"name": "digits", "size": size})
