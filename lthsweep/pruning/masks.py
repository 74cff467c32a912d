"""A mask: one bool tensor per prunable weight, True = kept. Both match by name, shape and device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import torch
from torch import Tensor

from lthsweep.errors import PruningError

__all__ = ["Masks", "Weights", "check_masks", "dense_masks", "kept_total"]

Weights: TypeAlias = Mapping[str, Tensor]
"""Prunable weights by parameter name, in layer order."""

Masks: TypeAlias = dict[str, Tensor]
"""Bool tensors by parameter name, in the order of the weights."""


def dense_masks(weights: Weights) -> Masks:
    """Masks that keep every weight, on the weights' devices."""
    return {
        name: torch.ones(weight.shape, dtype=torch.bool, device=weight.device)
        for name, weight in weights.items()
    }


def kept_total(masks: Weights) -> int:
    """How many weights the masks keep together."""
    return sum(int(mask.sum()) for mask in masks.values())


def check_masks(weights: Weights, masks: Weights) -> None:
    """Make sure that each weight has its mask, and each mask its weight.

    Raises:
        PruningError: if there is no weight, or a name, shape, device or dtype does not fit.
    """
    if not weights:
        raise PruningError("there are no prunable weights; check the exclusions")
    if set(weights) != set(masks):
        missing, extra = sorted(set(weights) - set(masks)), sorted(set(masks) - set(weights))
        raise PruningError(
            f"masks and weights differ in name: without a mask {missing}, without a weight {extra}"
        )
    for name, weight in weights.items():
        mask = masks[name]
        if mask.dtype != torch.bool:
            raise PruningError(f"mask {name!r} is {mask.dtype}; a mask is torch.bool, True = kept")
        if mask.shape != weight.shape:
            raise PruningError(
                f"mask {name!r} has shape {tuple(mask.shape)}, its weight {tuple(weight.shape)}"
            )
        if mask.device != weight.device:
            raise PruningError(
                f"mask {name!r} is on {mask.device}, its weight on {weight.device}; move one of them"
            )
