"""VGG for small images: 3x3 convolutions with BatchNorm, average pooling, one linear layer."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from torch import nn

from lthsweep.errors import ModelError
from lthsweep.models.shapes import InputShape, check_input

__all__ = ["STAGES", "vgg", "vgg11", "vgg13", "vgg16", "vgg19"]

STAGES: Mapping[int, tuple[tuple[int, int], ...]] = {
    11: ((64, 1), (128, 1), (256, 2), (512, 2), (512, 2)),
    13: ((64, 2), (128, 2), (256, 2), (512, 2), (512, 2)),
    16: ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)),
    19: ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4)),
}
"""Depth → (channels, convolutions) of each stage; with 2x2 max pooling between stages."""


def vgg(input_shape: InputShape, classes: int, *, depth: int) -> nn.Module:
    """Build a VGG of Simonyan & Zisserman, ICLR 2015, arXiv:1409.1556, in the form used for CIFAR.

    As in open_lth and in Frankle & Carbin, arXiv:1803.03635: convolutions with bias and BatchNorm, the
    average over the last map in place of the fifth max pooling, and one linear layer in place of three.
    CIFAR-10 parameters: 9,231,114 (11), 9,416,010 (13), 14,728,266 (16), 20,040,522 (19).

    Args:
        input_shape: (channels, height, width), at least 16x16.
        classes: outputs of the last layer.
        depth: 11, 13, 16 or 19.

    Raises:
        ModelError: if `depth` is not one of these, or an image is smaller than 16x16.
    """
    if depth not in STAGES:
        raise ModelError(f"model 'vgg{depth}': no such depth; take one of {', '.join(map(str, STAGES))}")
    channels, _, _ = check_input(f"vgg{depth}", input_shape, smallest=16)
    layers: list[nn.Module] = []
    for stage, (out_channels, convolutions) in enumerate(STAGES[depth]):
        if stage > 0:
            layers.append(nn.MaxPool2d(2))
        for _ in range(convolutions):
            layers += [
                nn.Conv2d(channels, out_channels, 3, padding=1),
                nn.BatchNorm2d(out_channels),
                nn.ReLU(),
            ]
            channels = out_channels
    network = nn.Sequential()
    network.add_module("features", nn.Sequential(*layers))
    network.add_module("pool", nn.AdaptiveAvgPool2d(1))
    network.add_module("flatten", nn.Flatten())
    network.add_module("fc", nn.Linear(channels, classes))
    return network


vgg11 = partial(vgg, depth=11)
vgg13 = partial(vgg, depth=13)
vgg16 = partial(vgg, depth=16)
vgg19 = partial(vgg, depth=19)
