"""Initial weights for the fan-in that a mask leaves: each neuron as wide as the inputs that it keeps.

Evci, Ioannou, Keskin & Dauphin, "Gradient flow in sparse neural networks and how lottery tickets win", AAAI 2022,
arXiv:2010.03533: Kaiming's variance 2 / fan_in keeps the signal of a dense layer; where a neuron keeps n of its inputs,
2 / n does.

The mask is known only when a ticket is made, so this is not a scheme of a dense run but a step between fresh weights
and a sparse training that starts from them, as in the control that draws weights anew. A ticket that is rewound to its
own initial weights must not pass through here: its survivors are to equal them bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lthsweep.errors import ModelError

__all__ = ["scaled_to_mask"]


def scaled_to_mask(weights: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Scale every neuron's weights by √(fan_in / inputs kept), and set pruned weights to zero.

    Of weights drawn with variance c / fan_in this makes weights of variance c / (inputs kept), with the shape of
    their distribution and their signs as they were.

    Args:
        weights: name → fresh weights of a layer, (outputs, inputs, …): a row per neuron or output channel. The fan-in
            of a convolution is inputs of its group × kernel.
        masks: name → bool tensor of the same shape and device, True where kept; the same names as `weights`.

    Returns:
        New tensors of the weights' types. A neuron that keeps nothing is zero; one that keeps all is unchanged.

    Raises:
        ModelError: if names or shapes differ.
    """
    if weights.keys() != masks.keys():
        odd = ", ".join(sorted(weights.keys() ^ masks.keys()))
        raise ModelError(f"weights and masks are of different layers ({odd}); give both for the same ones")
    return {name: _scaled(name, weight.detach(), masks[name]) for name, weight in weights.items()}


def _scaled(name: str, weight: Tensor, mask: Tensor) -> Tensor:
    if weight.shape != mask.shape or weight.ndim < 2:
        raise ModelError(
            f"{name}: a mask of shape {tuple(mask.shape)} for weights of shape {tuple(weight.shape)}; both must be "
            f"(outputs, inputs, …)"
        )
    kept = mask.flatten(1).sum(1).clamp(min=1)
    factor = torch.sqrt(weight[0].numel() / kept.to(torch.float64)).to(weight.dtype)
    return torch.where(mask, weight * factor.view(-1, *[1] * (weight.ndim - 1)), 0.0)
