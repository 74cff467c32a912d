"""The shape of one input, and the check that a network can take it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from lthsweep.errors import ModelError

__all__ = ["ImageShape", "InputShape", "TextShape", "check_input", "check_text"]

ImageShape: TypeAlias = tuple[int, int, int]
"""(channels, height, width) of one image."""


@dataclass(frozen=True)
class TextShape:
    """A text as numbers of tokens.

    Attributes:
        length: tokens of a text; shorter texts are padded with 0.
        vocabulary: how many numbers there are, 0 and that of unknown tokens among them.
    """

    length: int
    vocabulary: int


InputShape: TypeAlias = ImageShape | TextShape


def check_input(model: str, input_shape: InputShape, *, smallest: int = 1) -> ImageShape:
    """The shape as three integers, if the network can take it.

    Args:
        model: name for the message.
        input_shape: (channels, height, width).
        smallest: least height and width at which every pooling still has a pixel left.

    Raises:
        ModelError: if the shape is not three positive integers, or the image is smaller than `smallest`.
    """
    if isinstance(input_shape, TextShape):
        raise ModelError(
            f"model {model!r} reads images, and the data are texts; choose text_cnn or text_transformer"
        )
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
            f"{smallest}x{smallest}; raise the data set's size (of sounds: data.mels, data.seconds) or "
            "choose a shallower model"
        )
    return channels, height, width


def check_text(model: str, input_shape: InputShape, *, shortest: int = 1) -> TextShape:
    """The shape, if it is that of texts which the network can take.

    Args:
        model: name for the message.
        input_shape: of one text.
        shortest: least number of tokens.

    Raises:
        ModelError: if it is an image's, or the texts are too short.
    """
    if not isinstance(input_shape, TextShape):
        raise ModelError(f"model {model!r} reads texts, and the data are images; choose a network for images")
    if input_shape.length < shortest or input_shape.vocabulary < 1:
        raise ModelError(
            f"model {model!r}: texts of {input_shape.length} tokens are too short, it needs {shortest}; "
            "raise data.length"
        )
    return input_shape
