"""A mask: one bool tensor per prunable weight, True = kept. Both match by name, shape, and device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from lthsweep.errors import PruningError

__all__ = ["LayerRow", "Masks", "Weights", "check_masks", "dead_channels", "dense_masks", "layer_rows"]

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


def check_masks(weights: Weights, masks: Weights) -> None:
    """Check that each weight has its mask, and each mask its weight.

    Raises:
        PruningError: if there is no weight, or a name, shape, device, or dtype does not fit.
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


class LayerRow(NamedTuple):
    """One prunable layer under a mask.

    Attributes:
        name: of the weight ("features.0.0.weight").
        size: number of weights.
        remaining: number of weights kept.
        sparsity: share of the layer's weights removed, in [0, 1].
        dead: True if no weight is kept, so the layer's output is its bias.
    """

    name: str
    size: int
    remaining: int
    sparsity: float
    dead: bool


def layer_rows(masks: Weights, weights: Weights) -> list[LayerRow]:
    """One row per layer, in the order of the weights.

    Args:
        masks: True = kept.
        weights: the model's prunable weights, same names and shapes.

    Raises:
        PruningError: if masks and weights do not match.
    """
    check_masks(weights, masks)
    rows = []
    for name in weights:
        size, remaining = masks[name].numel(), int(masks[name].sum())
        rows.append(LayerRow(name, size, remaining, (size - remaining) / size, remaining == 0))
    return rows


def dead_channels(masks: Weights, transposed: Mapping[str, int] | None = None) -> dict[str, int]:
    """The number of output channels of each layer without a weight.

    Rows of a linear layer are its output units, of a recurrent layer the units of its gates.

    Args:
        masks: (outputs, inputs, …), in layer order.
        transposed: masks of transposed convolutions, (inputs, outputs per group, …), with their groups.
    """
    rows = {
        name: mask.reshape(groups, -1, mask.shape[1], mask[0, 0].numel()).transpose(1, 2).flatten(0, 1)
        for name, groups in (transposed or {}).items()
        if (mask := masks.get(name)) is not None
    }
    return {
        name: row.shape[0] - int(row.reshape(row.shape[0], -1).any(dim=1).sum())
        for name, row in {**masks, **rows}.items()
    }
