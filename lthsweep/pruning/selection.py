"""Keep exactly so many of the highest scores: the one place where counts and ties are decided."""

from __future__ import annotations

import torch
from torch import Tensor

from lthsweep.errors import PruningError

__all__ = ["keep_highest"]


def keep_highest(scores: Tensor, kept: Tensor, keep: int, *, where: str) -> Tensor:
    """Choose the `keep` highest scores among those still kept.

    Cutting at the k-th score with `<=` or `<` misses the count wherever scores tie (zeros do, in every dead
    layer). So everything above the k-th score stays, and of those equal to it the lowest indices, until the
    count is exact. Needs no stable sort, and gives the same answer on every device.

    Args:
        scores: one dimension, no NaN, all at least 0.
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
    ranked = scores.masked_fill(~kept, -1)  # below every score, so never above the cut
    cut = torch.topk(ranked, keep, sorted=False).values.min()
    above = ranked > cut
    tied = ranked == cut
    room = keep - int(above.sum())
    return above | (tied & (tied.cumsum(0) <= room))
