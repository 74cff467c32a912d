"""What a mask leaves of each layer, one row per layer."""

from __future__ import annotations

from typing import NamedTuple

from lthsweep.pruning.masks import Weights, check_masks

__all__ = ["LayerRow", "dead_channels", "layer_rows"]


class LayerRow(NamedTuple):
    """One prunable layer under a mask.

    Attributes:
        name: of the weight ("features.0.0.weight").
        size: number of weights.
        remaining: weights kept.
        sparsity: share of the layer's weights removed, in [0, 1].
        dead: no weight is kept, so the layer passes nothing on but its bias.
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


def dead_channels(masks: Weights) -> dict[str, int]:
    """How many output channels of each layer have no weight left (of a linear layer: output units)."""
    return {
        name: mask.shape[0] - int(mask.reshape(mask.shape[0], -1).any(dim=1).sum())
        for name, mask in masks.items()
    }
