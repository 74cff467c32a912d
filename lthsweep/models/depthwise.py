"""Depthwise convolutions, in float32 on a CPU for any precision of the rest."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["DepthwiseConv2d", "with_depthwise"]


class DepthwiseConv2d(nn.Conv2d):
    """`nn.Conv2d` with a filter per channel; under autocast on a CPU it computes in float32 and rounds its result.

    CPUs have slow kernels for gradients of depthwise convolutions in bfloat16, above all where the stride is
    2. With them MobileNetV2 may take longer in bfloat16 than in float32, without them it takes less
    (docs/benchmarks.md). A filter is nine products and a sum: no other layer has less to gain from bfloat16.
    """

    def forward(self, images: Tensor) -> Tensor:
        """[B, C, H, W] → [B, C, H', W'], of the input's type."""
        if images.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return super().forward(images)
        with torch.autocast("cpu", enabled=False):
            return super().forward(images.float()).to(images.dtype)


def with_depthwise(network: nn.Module) -> nn.Module:
    """The network, whose depthwise layers of type `nn.Conv2d` are such from now on; nothing else of them changes."""
    for layer in network.modules():
        if type(layer) is nn.Conv2d and layer.groups == layer.in_channels > 1:
            layer.__class__ = DepthwiseConv2d
    return network
