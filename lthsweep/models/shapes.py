"""The shape of one input image, and the check that a network can take it."""

from __future__ import annotations

from typing import TypeAlias

from lthsweep.errors import ModelError

__all__ = ["InputShape", "check_input"]

InputShape: TypeAlias = tuple[int, int, int]
"""(channels, height, width) of one image."""


def check_input(model: str, input_shape: InputShape, *, smallest: int = 1) -> InputShape:
    """The shape as three integers, if the network can take it.

    Args:
        model: name for the message.
        input_shape: (channels, height, width).
        smallest: least height and width at which every pooling still has a pixel left.

    Raises:
        ModelError: if the shape is not three positive integers, or the image is smaller than `smallest`.
    """
    shape = tuple(int(size) for size in input_shape)
    if len(shape) != 3 or min(shape) < 1:
        raise ModelError(
            f"model {model!r}: input shape {tuple(input_shape)} is not (channels, height, width) of positive "
            f"sizes; check the data set's size"
        )
    channels, height, width = shape
    if min(height, width) < smallest:
        raise ModelError(
            f"model {model!r}: images of {height}x{width} are too small, its pooling needs at least "
            f"{smallest}x{smallest}; raise the data set's size or choose a shallower model"
        )
    return channels, height, width
