"""Which filters are removed: the lowest-ranked, until the sparsity is as near as whole filters allow.

Filters have different sizes and the last one of a layer stays, so a sparsity is met only approximately. The scores of
the layers depend on the size of their weights, which differs by initialization alone, so filters of different layers
are compared by their score over the root mean square in their own family (Molchanov et al., ICLR 2017,
arXiv:1611.06440, section 2.2); without this, the widest layers would be emptied first.
"""

from __future__ import annotations

import torch

from lthsweep.errors import PruningError
from lthsweep.pruning.channels import Kept, all_kept, kept_in, masks_of_kept
from lthsweep.pruning.counts import kept_count
from lthsweep.pruning.coupling import Families
from lthsweep.pruning.masks import Masks, Weights

__all__ = ["largest_filter", "select_filters"]


def select_filters(
    scores: Weights, weights: Weights, masks: Weights, families: Families, *, scope: str, sparsity: float
) -> Masks:
    """Masks without the lowest-ranked filters, with the share of pruned weights as near to the sparsity as possible.

    Args:
        scores: float64 [width] by the root of each family, at least 0, on the CPU.
        weights: the prunable weights by parameter name, which the sparsity counts.
        masks: the present ones.
        families: of the network, without those that touch a weight that cannot be pruned.
        scope: "global" ranks all filters by score over the root mean square of their family; "layer" ranks each
            family's filters separately and removes the same share of every family.
        sparsity: share of all prunable weights to remove, in [0, 1).

    Returns:
        New masks inside `masks`. Filters of equal rank are removed in the order of the network. The order does not
        depend on the sparsity, so sparser masks lie inside denser ones.

    Raises:
        PruningError: if the masks so far do not consist of whole filters, or one filter per layer keeps more weights
            than the sparsity allows.
    """
    kept = kept_in(families, masks)
    order = _order(tuple(scores[family.root] for family in families), kept, scope)
    return masks_of_kept(families, _remove_in_order(order, kept, families, weights, sparsity), weights)


def largest_filter(families: Families, weights: Weights) -> int:
    """The largest number of weights that one channel removes: the resolution of filter pruning in this network."""
    sizes = _Sizes(families, all_kept(families), weights)
    return max((sizes.lost_with(index) for index in range(len(families))), default=0)


def _order(scores: tuple[torch.Tensor, ...], kept: Kept, scope: str) -> list[tuple[int, int]]:
    """(family, channel) of all channels that are left, lowest rank first."""
    ranked: list[tuple[float, int, int]] = []
    for index, (score, alive) in enumerate(zip(scores, kept, strict=True)):
        channels = alive.nonzero().flatten().tolist()
        usual = score[alive].square().mean().sqrt().clamp(min=torch.finfo(score.dtype).tiny)
        values = (score / usual).tolist()
        if scope == "global":
            ranked += [(values[channel], index, channel) for channel in channels]
            continue
        # The k-th weakest of w is removed at a share of (k + 1/2) / w, regardless of earlier levels.
        gone = len(values) - len(channels)
        weakest = sorted(channels, key=values.__getitem__)
        ranked += [((gone + k + 0.5) / len(values), index, channel) for k, channel in enumerate(weakest)]
    return [(index, channel) for _, index, channel in sorted(ranked)]


def _remove_in_order(
    order: list[tuple[int, int]], kept: Kept, families: Families, weights: Weights, sparsity: float
) -> Kept:
    """Remove filters in order while that brings the number of weights nearer to the requested one."""
    chosen = tuple(alive.clone() for alive in kept)
    sizes = _Sizes(families, kept, weights)
    total = sum(weight.numel() for weight in weights.values())
    asked = kept_count(total, sparsity)
    for index, channel in order:
        if sizes.channels[index] == 1:
            continue
        if 2 * (sizes.left - asked) <= sizes.lost_with(index):
            return chosen
        sizes.remove(index)
        chosen[index][channel] = False
    if sizes.left > asked:
        raise PruningError(
            f"sparsity {sparsity:g} keeps {asked:,} of {total:,} weights, but one filter in every prunable layer "
            f"already has {sizes.left:,}; set a sparsity up to {1 - sizes.left / total:.4f}"
        )
    return chosen


class _Sizes:
    """Number of weights left, by rows and columns: that of a weight [out, in, …] is the product of its sides."""

    def __init__(self, families: Families, kept: Kept, weights: Weights) -> None:
        self.channels = [int(alive.sum()) for alive in kept]
        self._sides: dict[str, list[int]] = {}
        self._owned: list[list[tuple[str, int, int]]] = []
        for name, weight in weights.items():
            rows, columns = weight.shape[0], weight.shape[1]
            self._sides[name] = [rows, columns, weight.numel() // (rows * columns)]
        for family, alive in zip(families, kept, strict=True):
            owned = [
                (part.name, part.dim, part.places.shape[1]) for part in family.parts if part.name in weights
            ]
            self._owned.append(owned)
            for name, dim, places in owned:
                self._sides[name][dim] -= places * int((~alive).sum())
        self.left = sum(rows * columns * each for rows, columns, each in self._sides.values())

    def lost_with(self, family: int) -> int:
        """Number of weights that one more channel of a family removes."""
        touched = {name: list(self._sides[name]) for name, _, _ in self._owned[family]}
        before = sum(rows * columns * each for rows, columns, each in touched.values())
        for name, dim, places in self._owned[family]:
            touched[name][dim] -= places
        return before - sum(rows * columns * each for rows, columns, each in touched.values())

    def remove(self, family: int) -> None:
        """Remove one channel of a family."""
        self.left -= self.lost_with(family)
        self.channels[family] -= 1
        for name, dim, places in self._owned[family]:
            self._sides[name][dim] -= places
