"""MobileNetV2: torchvision's network, with strides for 224-pixel or for 32-pixel images."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn
from torchvision.models import MobileNetV2

from lthsweep.models.depthwise import with_depthwise
from lthsweep.models.shapes import InputShape, check_input

__all__ = ["STRIDES", "mobilenet_v2"]

STRIDES: Mapping[str, tuple[int, int]] = {
    "imagenet": (2, 2),
    "cifar": (1, 1),
}
"""Variant → stride of the (stem, second stage). All other strides are the paper's."""


def mobilenet_v2(
    input_shape: InputShape,
    classes: int,
    *,
    strides: str = "imagenet",
    width: float = 1.0,
    dropout: float = 0.2,
) -> nn.Module:
    """Build torchvision's MobileNetV2.

    Sandler et al., CVPR 2018, arXiv:1801.04381. At 224 pixels and 1000 classes: 3,504,872 parameters (as
    torchvision states) and 300,774,272 multiply-accumulates. `strides` changes no weight tensor: at 10
    classes both variants have 2,236,682 parameters, and a 32x32 image costs 87,976,448 ("cifar") or 6,124,928
    ("imagenet") multiply-accumulates, 14 times less.

    "cifar" has the strides of github.com/kuangliu/pytorch-cifar on torchvision's blocks: 1 in the stem and in
    the second stage, a last map of 4x4 at 32 pixels. kuangliu's own network has 2,296,922 parameters and 91.2
    M multiply-accumulates because its blocks differ: a 1x1 convolution in the shortcut wherever the stride is
    1 and the width changes, and an expansion convolution in the first block, where nothing expands.

    Args:
        input_shape: (channels, height, width); the first convolution takes that many channels.
        classes: outputs of the classifier.
        strides: a name of `STRIDES`.
        width: multiplier of all channel counts, above 0; rounded to multiples of 8. The last convolution
            keeps its 1280 channels for multipliers below 1, as in the paper.
        dropout: before the classifier, in [0, 1).

    Raises:
        ModelError: if the shape is not an image's.
    """
    channels, _, _ = check_input("mobilenet_v2", input_shape)
    stem_stride, stage2_stride = STRIDES[strides]
    network: nn.Module = MobileNetV2(
        num_classes=classes,
        width_mult=width,
        dropout=dropout,
        # expansion, channels, blocks, stride of the first block
        inverted_residual_setting=[
            [1, 16, 1, 1],
            [6, 24, 2, stage2_stride],
            [6, 32, 3, 2],
            [6, 64, 4, 2],
            [6, 96, 3, 1],
            [6, 160, 3, 2],
            [6, 320, 1, 1],
        ],
    )
    # The stem is changed in place, so that three-channel weights are torchvision's own for every stride.
    stem = network.get_submodule("features.0.0")
    assert isinstance(stem, nn.Conv2d)  # for the type checker: the first layer of torchvision's block
    stem.stride = (stem_stride, stem_stride)
    if channels != stem.in_channels:
        network.set_submodule("features.0.0", _with_input_channels(stem, channels))
    for module in network.modules():
        if isinstance(module, nn.ReLU6):
            # Its gradient needs its input, so in place torch copies that first, and then clamps it in a second pass.
            module.inplace = False
    return with_depthwise(network)


def _with_input_channels(stem: nn.Conv2d, channels: int) -> nn.Conv2d:
    """The same convolution for another number of input channels, initialized as torchvision does."""
    replacement = nn.Conv2d(channels, stem.out_channels, 3, stride=stem.stride[0], padding=1, bias=False)
    nn.init.kaiming_normal_(replacement.weight, mode="fan_out")
    return replacement
