"""Conv-2, Conv-4 and Conv-6: the scaled-down VGGs of the lottery ticket paper."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from lthsweep.models.shapes import InputShape, check_input

__all__ = ["conv2", "conv4", "conv6"]

_WIDTHS = (64, 128, 256)
"""Channels of each pair of convolutions; a 2x2 max pooling follows each pair."""


def conv2(input_shape: InputShape, classes: int) -> nn.Module:
    """Build Conv-2: 64, 64, pool, then 256, 256 and `classes` units; 4,301,642 parameters on CIFAR-10.

    Frankle & Carbin, ICLR 2019, arXiv:1803.03635, figure 2, which gives 4.3 M.

    Raises:
        ModelError: if an image is smaller than 2x2.
    """
    return _conv("conv2", 1, input_shape, classes)


def conv4(input_shape: InputShape, classes: int) -> nn.Module:
    """Build Conv-4: Conv-2 with 128, 128, pool added; 2,425,930 parameters on CIFAR-10.

    Frankle & Carbin, ICLR 2019, arXiv:1803.03635, figure 2, which gives 2.4 M.

    Raises:
        ModelError: if an image is smaller than 4x4.
    """
    return _conv("conv4", 2, input_shape, classes)


def conv6(input_shape: InputShape, classes: int) -> nn.Module:
    """Build Conv-6: Conv-4 with 256, 256, pool added; 2,262,602 parameters on CIFAR-10.

    Frankle & Carbin, ICLR 2019, arXiv:1803.03635, figure 2. The figure gives 1.7 M; the layers it lists count
    to 2.26 M, and those are built here.

    Raises:
        ModelError: if an image is smaller than 8x8.
    """
    return _conv("conv6", 3, input_shape, classes)


def _conv(name: str, pairs: int, input_shape: InputShape, classes: int) -> nn.Module:
    shrink = 2**pairs
    channels, height, width = check_input(name, input_shape, smallest=shrink)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for pair, out_channels in enumerate(_WIDTHS[:pairs], start=1):
        for index in (2 * pair - 1, 2 * pair):
            layers[f"conv{index}"] = nn.Conv2d(channels, out_channels, 3, padding=1)
            layers[f"conv{index}_relu"] = nn.ReLU()
            channels = out_channels
        layers[f"pool{pair}"] = nn.MaxPool2d(2)
    layers["flatten"] = nn.Flatten()
    layers["fc1"] = nn.Linear(channels * (height // shrink) * (width // shrink), 256)
    layers["fc1_relu"] = nn.ReLU()
    layers["fc2"] = nn.Linear(256, 256)
    layers["fc2_relu"] = nn.ReLU()
    layers["fc3"] = nn.Linear(256, classes)
    return nn.Sequential(layers)
