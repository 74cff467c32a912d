"""Initial weights: a distribution for convolution and linear weights, zero biases, BatchNorm as built.

The fans are those of `torch.nn.init`, which does not know of groups: for a depthwise convolution fan_in is
right (the kernel's area) and fan_out is too large by the number of groups. Kaiming uses fan_in alone and is
unaffected; Xavier draws depthwise weights smaller than Glorot's formula would, as in every study that calls
`torch.nn.init`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import nn

__all__ = [
    "default",
    "kaiming_normal",
    "kaiming_uniform",
    "orthogonal",
    "signed_constant",
    "xavier_normal",
    "xavier_uniform",
]

_GAIN = math.sqrt(2)  # of ReLU: half of what arrives is cut off, so twice the variance keeps it

_Convolution: TypeAlias = nn.Conv1d | nn.Conv2d | nn.Conv3d
_Layer: TypeAlias = _Convolution | nn.Linear


def default(model: nn.Module) -> None:
    """Leave what the constructors drew: PyTorch's defaults, and torchvision's own for MobileNetV2."""


def kaiming_normal(model: nn.Module) -> None:
    """Normal with variance 2 / fan_in. He et al., ICCV 2015, arXiv:1502.01852."""
    _fill(model, lambda layer: nn.init.kaiming_normal_(layer.weight, nonlinearity="relu"))


def kaiming_uniform(model: nn.Module) -> None:
    """Uniform with variance 2 / fan_in. He et al., ICCV 2015, arXiv:1502.01852."""
    _fill(model, lambda layer: nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu"))


def xavier_normal(model: nn.Module) -> None:
    """Normal with variance 2 / (fan_in + fan_out). Glorot & Bengio, AISTATS 2010."""
    _fill(model, lambda layer: nn.init.xavier_normal_(layer.weight))


def xavier_uniform(model: nn.Module) -> None:
    """Uniform with variance 2 / (fan_in + fan_out). Glorot & Bengio, AISTATS 2010."""
    _fill(model, lambda layer: nn.init.xavier_uniform_(layer.weight))


def orthogonal(model: nn.Module) -> None:
    """Orthonormal rows or columns, whichever are fewer, times √2. Saxe et al., ICLR 2014, arXiv:1312.6120.

    A convolution's weight counts as a matrix of (output channels) × (fan_in). Each group of a grouped
    convolution is a separate matrix, because it reads separate channels: a depthwise filter is a random direction
    of length √2. Drawn through a QR decomposition, so that bits may differ between LAPACK libraries.
    """
    _fill(model, _draw_orthogonal)


def signed_constant(model: nn.Module) -> None:
    """Plus or minus √(2 / fan_in), the sign by a fair coin: Kaiming's deviation without its distribution.

    Zhou et al., NeurIPS 2019, arXiv:1905.01067, section 4, found that tickets live by the signs of their initial
    weights; Ramanujan et al., CVPR 2020, arXiv:1911.13299, call this the signed Kaiming
    constant. All magnitudes of a layer are equal here: what magnitude pruning ranks is what training made of them.
    """
    _fill(model, _draw_signed_constant)


def _draw_orthogonal(layer: _Layer) -> None:
    groups = 1 if isinstance(layer, nn.Linear) else layer.groups
    for block in layer.weight.detach().chunk(groups):
        nn.init.orthogonal_(block, gain=_GAIN)


def _draw_signed_constant(layer: _Layer) -> None:
    weight = layer.weight
    deviation = _GAIN / math.sqrt(weight[0].numel())
    with torch.no_grad():
        weight.bernoulli_(0.5).mul_(2).sub_(1).mul_(deviation)


def _fill(model: nn.Module, draw: Callable[[_Layer], object]) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear):
            draw(module)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
