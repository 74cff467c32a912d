"""Initial weights: a distribution for convolution and linear weights, zero biases, BatchNorm as built.

The fans are those of `torch.nn.init`, which does not know of groups: for a depthwise convolution fan_in is
right (the kernel's area) and fan_out is too large by the number of groups. Kaiming uses fan_in alone and is
unaffected; Xavier draws depthwise weights smaller than Glorot's formula would, as in every study that calls
`torch.nn.init`.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

__all__ = ["default", "kaiming_normal", "kaiming_uniform", "xavier_normal", "xavier_uniform"]


def default(model: nn.Module) -> None:
    """Leave what the constructors drew: PyTorch's defaults, and torchvision's own for MobileNetV2."""


def kaiming_normal(model: nn.Module) -> None:
    """Normal with variance 2 / fan_in. He et al., ICCV 2015, arXiv:1502.01852."""
    _fill(model, lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"))


def kaiming_uniform(model: nn.Module) -> None:
    """Uniform with variance 2 / fan_in. He et al., ICCV 2015, arXiv:1502.01852."""
    _fill(model, lambda weight: nn.init.kaiming_uniform_(weight, nonlinearity="relu"))


def xavier_normal(model: nn.Module) -> None:
    """Normal with variance 2 / (fan_in + fan_out). Glorot & Bengio, AISTATS 2010."""
    _fill(model, nn.init.xavier_normal_)


def xavier_uniform(model: nn.Module) -> None:
    """Uniform with variance 2 / (fan_in + fan_out). Glorot & Bengio, AISTATS 2010."""
    _fill(model, nn.init.xavier_uniform_)


def _fill(model: nn.Module, draw: Callable[[Tensor], Tensor]) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear):
            draw(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
