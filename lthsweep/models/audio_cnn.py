"""A convolutional network for log-mel pictures of sounds."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from lthsweep.models.shapes import InputShape, check_input

__all__ = ["audio_cnn"]

_BLOCKS = (1, 2, 4, 4)
"""Channels of each block, in units of the option `channels`."""


def audio_cnn(
    input_shape: InputShape, classes: int, *, channels: int = 32, dropout: float = 0.2
) -> nn.Module:
    """Build four blocks of a 3x3 convolution, BatchNorm, ReLU and 2x2 max pooling; then mean, dropout, a linear layer.

    The form of the small networks for AudioSet (Kong et al. 2020, arXiv:1912.10211, "CNN6" and "CNN10"), with a
    convolution per block and fewer channels. The mean is over time and bands, so that any length will do. On 64
    bands and 98 frames with 10 classes: 241,898 parameters.

    Args:
        input_shape: (channels, bands, frames), at least 16x16.
        classes: outputs of the last layer.
        channels: of the first block.
        dropout: before the last layer.

    Raises:
        ModelError: if the picture is smaller than 16x16.
    """
    before, _, _ = check_input("audio_cnn", input_shape, smallest=2 ** len(_BLOCKS))
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for index, factor in enumerate(_BLOCKS, start=1):
        layers[f"conv{index}"] = nn.Conv2d(before, factor * channels, 3, padding=1, bias=False)
        layers[f"bn{index}"] = nn.BatchNorm2d(factor * channels)
        layers[f"relu{index}"] = nn.ReLU()
        layers[f"pool{index}"] = nn.MaxPool2d(2)
        before = factor * channels
    layers["mean"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["dropout"] = nn.Dropout(dropout)
    layers["fc"] = nn.Linear(before, classes)
    return nn.Sequential(layers)
