"""Among which weights scores are compared: all layers together, or each layer alone."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lthsweep.pruning.counts import kept_count
from lthsweep.pruning.masks import Masks, Weights
from lthsweep.pruning.selection import keep_highest

__all__ = ["keep_globally", "keep_in_each", "select_global", "select_per_layer"]


def select_global(scores: Weights, masks: Weights, sparsity: float) -> Masks:
    """Keep the highest scores of all layers together; `kept_count` of all weights remain.

    Args:
        scores: one tensor per layer, in layer order; on ties the earlier layer stays.
        masks: what is kept so far, same names and shapes.
        sparsity: share of all weights to remove, in [0, 1).

    Raises:
        PruningError: if the sparsity is out of range or below what is already pruned.
    """
    return keep_globally(scores, masks, kept_count(sum(score.numel() for score in scores.values()), sparsity))


def select_per_layer(scores: Weights, masks: Weights, sparsity: float) -> Masks:
    """Keep the highest scores of each layer; `kept_count` of its own weights remain in each, at least one.

    Args:
        scores: as in `select_global`; on ties the lower index stays.
        masks: what is kept so far, same names and shapes.
        sparsity: share of each layer's weights to remove, in [0, 1).

    Raises:
        PruningError: if the sparsity is out of range or below what is already pruned in some layer.
    """
    return keep_in_each(
        scores, masks, {name: kept_count(score.numel(), sparsity) for name, score in scores.items()}
    )


def keep_in_each(scores: Weights, masks: Weights, keep: Mapping[str, int]) -> Masks:
    """Keep `keep[name]` of the highest scores of each layer; see `select_per_layer`."""
    return {
        name: keep_highest(
            score.reshape(-1), masks[name].reshape(-1), keep[name], where=f"layer {name!r}"
        ).reshape(score.shape)
        for name, score in scores.items()
    }


def keep_globally(scores: Weights, masks: Weights, keep: int) -> Masks:
    """Keep the `keep` highest scores of all layers together; see `select_global`."""
    kept = _flat({name: masks[name] for name in scores})
    chosen = keep_highest(_flat(scores), kept, keep, where="all layers")
    parts = torch.split(chosen, [score.numel() for score in scores.values()])
    # clone: the parts are views of one tensor, and writing to one mask must not keep the others alive
    return {name: part.reshape(scores[name].shape).clone() for name, part in zip(scores, parts, strict=True)}


def _flat(tensors: Weights) -> Tensor:
    # reshape, not view: it walks in C order whatever the memory format, so channels_last changes no mask
    return torch.cat([tensor.reshape(-1) for tensor in tensors.values()])
