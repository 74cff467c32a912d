"""Random pruning, the control: as many weights remain, chosen by the seed and not by the training."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lthsweep.pruning.masks import Masks, Weights, check_masks, dense_masks
from lthsweep.pruning.scopes import keep_globally, select_per_layer
from lthsweep.randomness import hash_counters, stream

__all__ = ["random_global_mask", "random_layer_mask", "random_scores"]


def random_scores(weights: Weights, seed: int) -> dict[str, Tensor]:
    """A 63-bit hash of each weight's place, a pure function of (seed, index over all layers).

    The values of the weights do not matter. Since the scores of a seed are fixed, the masks of rising
    sparsities are nested in each other, also between one-shot runs.

    Args:
        weights: in layer order; only shapes and devices are used.
        seed: of the replicate.
    """
    total = sum(weight.numel() for weight in weights.values())
    words = hash_counters(stream(seed, "random-mask"), np.arange(total)) >> np.uint64(1)
    ranks = torch.from_numpy(words.astype(np.int64))
    parts = torch.split(ranks, [weight.numel() for weight in weights.values()])
    return {
        name: part.reshape(weight.shape).to(weight.device)
        for (name, weight), part in zip(weights.items(), parts, strict=True)
    }


def random_global_mask(weights: Weights, masks: Weights | None, keep: int, *, seed: int) -> Masks:
    """Keep `keep` weights, drawn uniformly from all layers together.

    Args:
        weights: in layer order; only shapes and devices are used.
        masks: what is kept so far (None: everything), same names, shapes and device.
        keep: how many weights remain, of all layers.
        seed: of the replicate.

    Raises:
        PruningError: if weights and masks do not match, or fewer than `keep` are left.
    """
    masks = dense_masks(weights) if masks is None else masks
    check_masks(weights, masks)
    return keep_globally(random_scores(weights, seed), masks, keep)


def random_layer_mask(weights: Weights, masks: Weights | None, sparsity: float, *, seed: int) -> Masks:
    """Keep the same share of each layer, drawn uniformly within it.

    Args:
        weights: in layer order; only shapes and devices are used.
        masks: what is kept so far (None: everything), same names, shapes and device.
        sparsity: share of each layer's weights to remove, in [0, 1), rounded by `kept_count`.
        seed: of the replicate.

    Raises:
        PruningError: if weights and masks do not match, or a layer has fewer left than the sparsity keeps.
    """
    masks = dense_masks(weights) if masks is None else masks
    check_masks(weights, masks)
    return select_per_layer(random_scores(weights, seed), masks, sparsity)
