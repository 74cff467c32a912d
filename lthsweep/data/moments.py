"""Mean and deviation of the channels of images, exact and independent of the order of additions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from lthsweep.data.decoded import SampleArray

__all__ = ["channel_moments"]

_CHUNK_BYTES = 16 << 20


def channel_moments(images: SampleArray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and population standard deviation of each channel, on the scale 0..1.

    They come from the exact histogram of the 256 levels in rational arithmetic, rounded once at the end, so that the
    order of additions does not matter.

    Args:
        images: uint8 [N, H, W, C], not empty.

    Returns:
        mean and std, one float per channel.
    """
    channels = images.shape[-1]
    counts = np.zeros((channels, 256), np.int64)
    rows = max(1, _CHUNK_BYTES // math.prod(images.shape[1:]))
    for start in range(0, len(images), rows):
        chunk = images[start : start + rows]
        for channel in range(channels):
            counts[channel] += np.bincount(chunk[..., channel].reshape(-1), minlength=256)
    means, stds = [], []
    for histogram in counts:
        levels = [int(count) for count in histogram]
        total = sum(levels)
        first = Fraction(sum(level * count for level, count in enumerate(levels)), total)
        second = Fraction(sum(level * level * count for level, count in enumerate(levels)), total)
        means.append(float(first / 255))
        stds.append(math.sqrt(float((second - first * first) / (255 * 255))))
    return tuple(means), tuple(stds)
