"""scikit-learn's handwritten digits: 1,797 real 8x8 images of 17 gray levels, embedded in the package.

Source: Alpaydin & Kaynak, "Optical Recognition of Handwritten Digits", UCI 1998. They are enlarged here, in
exact integer arithmetic, so that the same pixels come out of every machine and every version of every
library.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lthsweep.data.decoded import Decoded
from lthsweep.data.split import split_indices
from lthsweep.errors import DataError

__all__ = ["enlarge", "load"]

_EDGE = 8
_GREYS = 16
_TEST_IMAGES = 360  # 20 %, as many as scikit-learn's own splitter takes
_SIZE_LIMIT = 256


def load(options: Mapping[str, Any], root: Path) -> Decoded:
    """Read the digits from scikit-learn; `root` is not used.

    Args:
        options: `size`, the edge in pixels to which the images are enlarged, 8..256 (default 32).
        root: ignored.

    Returns:
        One-channel images; 1,437 for training and 360 for the test, stratified, the same at every seed.

    Raises:
        DataError: if `size` is out of range.
    """
    from sklearn.datasets import load_digits  # slow to import: only when digits are packed

    size = int(options.get("size", 32))
    if not _EDGE <= size <= _SIZE_LIMIT:
        raise DataError(f"data.size = {size} for digits; it must be within {_EDGE}..{_SIZE_LIMIT}")
    bunch = load_digits()
    levels = np.asarray(bunch.images).astype(np.int64)
    labels = np.asarray(bunch.target).astype(np.int64)
    images = enlarge(levels, size)[..., None]
    train, test = split_indices(labels, _TEST_IMAGES, purpose="test")
    return Decoded(
        train_images=images[train],
        train_labels=labels[train],
        test_images=images[test],
        test_labels=labels[test],
        class_names=tuple(str(digit) for digit in range(10)),
    )


def enlarge(levels: NDArray[np.int64], size: int) -> NDArray[np.uint8]:
    """Bilinear enlargement of square images of levels 0..16 to bytes 0..255, rounded half up at the end.

    Pixel centres are aligned (PyTorch's `align_corners=False`), edges are repeated.

    Args:
        levels: int64 [N, E, E], in 0..16.
        size: edge of the result, at least E.

    Returns:
        uint8 [N, size, size].
    """
    edge = levels.shape[1]
    unit = 2 * size  # weights are whole numbers of 1/unit
    position = np.clip((2 * np.arange(size) + 1) * edge - size, 0, (edge - 1) * unit)
    low = position // unit
    high = np.minimum(low + 1, edge - 1)
    weight = position - low * unit
    rows = levels[:, low] * (unit - weight)[:, None] + levels[:, high] * weight[:, None]
    both = rows[:, :, low] * (unit - weight) + rows[:, :, high] * weight
    whole = _GREYS * unit * unit
    rounded: NDArray[np.uint8] = ((2 * 255 * both + whole) // (2 * whole)).astype(np.uint8)
    return rounded
