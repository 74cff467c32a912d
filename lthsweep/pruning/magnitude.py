"""Magnitude pruning: the weights nearest to zero go. Global, layer by layer, or below an absolute threshold.

Han et al., NeurIPS 2015, arXiv:1506.02626; for lottery tickets Frankle & Carbin, ICLR 2019, arXiv:1803.03635,
who rank by the final weights of the trained network.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lthsweep.errors import PruningError
from lthsweep.pruning.masks import Masks, Weights, check_masks, dense_masks
from lthsweep.pruning.scopes import keep_globally, select_per_layer

__all__ = ["global_mask", "layer_mask", "magnitude_scores", "threshold_mask"]


def magnitude_scores(weights: Weights, seed: int = 0) -> dict[str, Tensor]:
    """The absolute value of each weight.

    Args:
        weights: floating point; the sign of zero does not matter.
        seed: unused; every method's scores take it.

    Raises:
        PruningError: if a weight is NaN, which has no magnitude.
    """
    scores = {}
    for name, weight in weights.items():
        scores[name] = weight.detach().abs()
        if bool(torch.isnan(scores[name]).any()):
            raise PruningError(
                f"weight {name!r} holds NaN, which has no magnitude; its run diverged, so it has no ticket"
            )
    return scores


def global_mask(weights: Weights, masks: Weights | None, keep: int) -> Masks:
    """Keep the `keep` largest magnitudes of all layers together.

    Args:
        weights: the trained weights, in layer order.
        masks: what is kept so far (None: everything), same names, shapes and device.
        keep: how many weights remain, of all layers; see `kept_count`.

    Returns:
        New masks inside `masks` with exactly `keep` True, on the weights' device. On equal magnitudes the
        earlier layer stays, within a layer the lower index in C order.

    Raises:
        PruningError: if a weight is NaN, weights and masks do not match, or fewer than `keep` are left.
    """
    masks = _checked(weights, masks)
    return keep_globally(magnitude_scores(weights), masks, keep)


def layer_mask(weights: Weights, masks: Weights | None, sparsity: float) -> Masks:
    """Keep the largest magnitudes of each layer, at the same sparsity in each.

    Args:
        weights: the trained weights, in layer order.
        masks: what is kept so far (None: everything), same names, shapes and device.
        sparsity: share of each layer's weights to remove, in [0, 1), rounded by `kept_count`.

    Returns:
        New masks inside `masks`; in each layer exactly `kept_count` True. On equal magnitudes the lower index
        stays.

    Raises:
        PruningError: as in `global_mask`, for each layer.
    """
    masks = _checked(weights, masks)
    return select_per_layer(magnitude_scores(weights), masks, sparsity)


def threshold_mask(weights: Weights, masks: Weights | None, threshold: float) -> Masks:
    """Keep magnitudes above an absolute threshold; abs(w) <= threshold goes.

    Unlike a sparsity, a threshold may take a whole layer, or everything: the result says so, and the audit
        names the
    dead layers.

    Args:
        weights: the trained weights, in layer order.
        masks: what is kept so far (None: everything), same names, shapes and device.
        threshold: 0 or more; compared in the weights' own precision, so 0.1 removes a float32 weight of 0.1.

    Returns:
        New masks inside `masks`.

    Raises:
        PruningError: if the threshold is negative or NaN, a weight is NaN, or weights and masks do not match.
    """
    if not threshold >= 0:
        raise PruningError(f"threshold {threshold} is not 0 or more; it is a magnitude")
    masks = _checked(weights, masks)
    scores = magnitude_scores(weights)
    return {name: (score > threshold) & masks[name] for name, score in scores.items()}


def _checked(weights: Weights, masks: Weights | None) -> Weights:
    masks = dense_masks(weights) if masks is None else masks
    check_masks(weights, masks)
    return masks
