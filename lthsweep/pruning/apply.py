"""Hold pruned weights at zero: weights once at the start of a ticket, then their gradients in every step."""

from __future__ import annotations

import torch
from torch import Tensor

from lthsweep.pruning.masks import Weights, check_masks

__all__ = ["apply_masks", "mask_gradients", "mask_multipliers", "masked"]


def masked(weights: Weights, masks: Weights) -> dict[str, Tensor]:
    """Copies of the weights with +0.0 where they are pruned, even if they were NaN.

    Args:
        weights: by parameter name.
        masks: same names, shapes and device; True = kept.

    Raises:
        PruningError: if weights and masks do not match.
    """
    check_masks(weights, masks)
    return {name: torch.where(masks[name], weight.detach(), 0.0) for name, weight in weights.items()}


def mask_multipliers(masks: Weights, params: Weights) -> dict[str, Tensor]:
    """The masks as numbers 0 and 1, prepared once for `apply_masks`.

    Each has its parameter's dtype, device and memory format: with equal strides, the multiplication takes
    PyTorch's fused path.

    Args:
        masks: bool, same names and shapes as `params`; moved to the parameters' device.
        params: the parameters that will be masked.

    Raises:
        PruningError: if masks and parameters do not match.
    """
    moved = {name: mask.to(params[name].device) if name in params else mask for name, mask in masks.items()}
    check_masks(params, moved)
    return {name: torch.empty_like(param.detach()).copy_(moved[name]) for name, param in params.items()}


@torch.no_grad()
def apply_masks(params: Weights, multipliers: Weights) -> None:
    """Multiply each tensor by its mask, in place.

    Masked gradients hold pruned weights at zero if the weights and their optimizer state are zero at the start; an
    existing momentum would move them. A pruned NaN or infinity becomes NaN, so a diverged run stays visible; a pruned
    negative becomes -0.0, equal to zero.

    Args:
        params: parameters, gradients or momenta by parameter name.
        multipliers: from `mask_multipliers`; names that `params` lacks are ignored.
    """
    if params:
        torch._foreach_mul_(list(params.values()), [multipliers[name] for name in params])


def mask_gradients(params: Weights, multipliers: Weights) -> None:
    """Multiply the gradients of parameters by their masks, in place; a parameter without a gradient is skipped.

    Args:
        params: parameters by name.
        multipliers: from `mask_multipliers`, with the same names.
    """
    pairs = [(param.grad, multipliers[name]) for name, param in params.items() if param.grad is not None]
    if not pairs:
        return
    if not pairs[0][0].is_cpu:  # one launch
        torch._foreach_mul_([gradient for gradient, _ in pairs], [multiplier for _, multiplier in pairs])
        return
    # Faster on a CPU, where the list version is a loop with overhead.
    for gradient, multiplier in pairs:
        gradient.mul_(multiplier)
