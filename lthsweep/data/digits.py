"""scikit-learn's handwritten digits: 1,797 real 8x8 images of 17 gray levels, embedded in the package.

Source: Alpaydin & Kaynak, "Optical Recognition of Handwritten Digits", UCI 1998. They are enlarged here in exact
integer arithmetic, so that every machine and every version of every library produces the same pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lthsweep.data.decoded import Decoded
from lthsweep.data.files import Files
from lthsweep.data.source import sha256_hex
from lthsweep.data.split import split_indices
from lthsweep.errors import DataError

__all__ = ["enlarge", "read"]

_GRAYS = 16
_SHA256 = (
    "267f86e03ae0481efa68bbcf4dcd04133dbc88a3145b0551cb2221500a4881e0"  # of gray levels and labels, int64
)
_TEST_IMAGES = 360  # 20 %, as many as scikit-learn's own splitter takes


def read(files: Files, *, size: int) -> Decoded:
    """Return the digits from scikit-learn as one-channel images.

    Args:
        files: not used; the images are in an installed package.
        size: edge in pixels to which the images are enlarged, at least 8.

    Returns:
        1,437 images for training and 360 for the test, stratified, the same at every seed.
    """
    from sklearn.datasets import load_digits  # slow to import: only when digits are packed

    bunch = load_digits()
    levels = np.asarray(bunch.images).astype(np.int64)
    labels = np.asarray(bunch.target).astype(np.int64)
    if sha256_hex(levels.tobytes() + labels.tobytes()) != _SHA256:
        raise DataError(
            "scikit-learn's digits are not the published ones; install another version of scikit-learn"
        )
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
    """Enlarge square images bilinearly, from levels 0..16 to bytes 0..255, rounded half up at the end.

    Pixel centers are aligned (PyTorch's `align_corners=False`), edges are repeated.

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
    whole = _GRAYS * unit * unit
    rounded: NDArray[np.uint8] = ((2 * 255 * both + whole) // (2 * whole)).astype(np.uint8)
    return rounded
