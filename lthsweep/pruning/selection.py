"""From scores to masks: keep an exact number of the highest scores, of all layers together or of each layer.

The only place where counts and ties are decided.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from lthsweep.errors import PruningError
from lthsweep.pruning.counts import kept_count
from lthsweep.pruning.masks import Masks, Weights

__all__ = ["SCOPES", "keep_globally", "keep_highest", "keep_in_each", "select_global", "select_per_layer"]


def select_global(scores: Weights, masks: Weights, sparsity: float) -> Masks:
    """Keep the highest scores of all layers together; `kept_count` of all weights remain.

    Args:
        scores: one tensor per layer, in layer order; on ties the earlier layer stays.
        masks: the present ones, same names and shapes.
        sparsity: share of all weights to remove, in [0, 1).

    Raises:
        PruningError: if the sparsity is out of range or below the present one.
    """
    return keep_globally(scores, masks, kept_count(sum(score.numel() for score in scores.values()), sparsity))


def select_per_layer(scores: Weights, masks: Weights, sparsity: float) -> Masks:
    """Keep the highest scores of each layer; `kept_count` of the layer's weights remain, at least one.

    Args:
        scores: as in `select_global`; on ties the lower index stays.
        masks: the present ones, same names and shapes.
        sparsity: share of each layer's weights to remove, in [0, 1).

    Raises:
        PruningError: if the sparsity is out of range or below the present one of some layer.
    """
    return keep_in_each(
        scores, masks, {name: kept_count(score.numel(), sparsity) for name, score in scores.items()}
    )


SCOPES: Mapping[str, Callable[[Weights, Weights, float], Masks]] = {
    "global": select_global,
    "layer": select_per_layer,
}
"""Value of `prune.scope` → (scores, masks, sparsity) → masks."""


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


def keep_highest(scores: Tensor, kept: Tensor, keep: int, *, where: str) -> Tensor:
    """Choose the `keep` highest scores among those still kept.

    Cutting at the k-th score with `<=` or `<` misses the count if scores tie (zeros do, in every dead layer). So
    everything above the k-th score stays, and of the scores equal to it the lowest indices, until the count is exact.
    Needs no stable sort, and gives the same answer on every device.

    Args:
        scores: one dimension, of any sign, no NaN.
        kept: bool, same shape; False was pruned before and stays so.
        keep: how many to keep, from 0 to the number still kept.
        where: names the weights in the message.

    Returns:
        A new bool tensor inside `kept` with exactly `keep` True.

    Raises:
        PruningError: if fewer than `keep` are left, or `keep` is negative.
    """
    left = int(kept.sum())
    if not 0 <= keep <= left:
        raise PruningError(
            f"{where}: asked to keep {keep} weights, but {left} are left; pruned weights never come back, so "
            f"sparsities of a chain must rise"
        )
    if keep == left:
        return kept.clone()
    if keep == 0:
        return torch.zeros_like(kept)
    lowest = -math.inf if scores.is_floating_point() else torch.iinfo(scores.dtype).min
    ranked = scores.masked_fill(~kept, lowest)
    cut = torch.topk(ranked, keep, sorted=False).values.min()
    above = ranked > cut
    tied = (ranked == cut) & kept  # a survivor's score can be the lowest number, too
    missing = keep - int(above.sum())
    return above | (tied & (tied.cumsum(0) <= missing))


def _flat(tensors: Weights) -> Tensor:
    # reshape, not view: it walks in C order whatever the memory format, so channels_last changes no mask
    return torch.cat([tensor.reshape(-1) for tensor in tensors.values()])
