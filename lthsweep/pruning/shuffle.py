"""A mask with its positions shuffled: the same counts at other weights.

Frankle & Carbin, ICLR 2019, arXiv:1803.03635, compare with random sparse networks; Frankle, Dziugaite, Roy & Carbin,
ICLR 2021, arXiv:2009.08576, shuffle a mask within its layers to test whether the weights matter, or only their number
in each layer.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lthsweep.pruning.masks import Masks, Weights
from lthsweep.randomness import permutation, stream

__all__ = ["shuffled"]


def shuffled(masks: Weights, seed: int, *, across_layers: bool = False) -> Masks:
    """The masks with their values permuted uniformly.

    The permutation depends only on the seed and the layer's position, not on the masks: shuffled masks of rising
    sparsity are nested if the masks are.

    Args:
        masks: bool tensors by name, in layer order.
        seed: of the replicate.
        across_layers: permute over all layers together, which preserves only the total; else within each layer, which
            preserves the count of each.

    Returns:
        New bool tensors of the same names, shapes and devices.
    """
    key = stream(seed, "shuffle")
    if not across_layers:
        return {name: _permuted(mask, key, place) for place, (name, mask) in enumerate(masks.items())}
    whole = _permuted(torch.cat([mask.reshape(-1) for mask in masks.values()]), key, len(masks))
    parts = torch.split(whole, [mask.numel() for mask in masks.values()])
    return {
        name: part.reshape(mask.shape).clone()
        for (name, mask), part in zip(masks.items(), parts, strict=True)
    }


def _permuted(mask: Tensor, key: int, counter: int) -> Tensor:
    order = torch.from_numpy(permutation(key, counter, mask.numel())).to(mask.device)
    return mask.reshape(-1)[order].reshape(mask.shape)
