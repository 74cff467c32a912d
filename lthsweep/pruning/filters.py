"""Filter pruning: whole feature maps go, each with the filters that make it and the columns that read it.

Li et al., ICLR 2017, arXiv:1608.08710, rank filters by their norm. Here the norm is that of everything that makes a
map, the group of the group lasso (Wen et al., NeurIPS 2016, arXiv:1608.03665; `lthsweep.training.group_lasso`): what
the penalty drove to zero ranks lowest, and its removal changes nothing. Columns that read the map are part of the next
layer's filters and stand in other groups; they go with the map and have no say in its rank. Layers differ in the size
of their weights by their initialization alone, so filters of different layers are compared by their norm over that of
their own layers (Molchanov et al., ICLR 2017, arXiv:1611.06440, section 2.2); ranked as they are, the widest layers
would be emptied first.

Filters come in different sizes and the last one of a layer stays, so a sparsity is met as nearly as whole filters can.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lthsweep.errors import PruningError, UnknownNameError
from lthsweep.pruning.channels import Kept, all_kept, kept_in, masks_of_kept
from lthsweep.pruning.counts import kept_count
from lthsweep.pruning.coupling import Families
from lthsweep.pruning.masks import Masks, Weights, dense_masks
from lthsweep.pruning.registry import SCOPES

__all__ = ["filter_masks", "filter_norms", "largest_filter"]


def filter_masks(
    state: Mapping[str, Tensor],
    weights: Weights,
    masks: Weights | None,
    families: Families,
    *,
    scope: str,
    sparsity: float,
) -> Masks:
    """Remove the weakest filters until the share of weights that are gone is as near to the sparsity as it gets.

    Args:
        state: the trained network: all its parameters by name.
        weights: those that count, by parameter name: the prunable ones.
        masks: what is kept so far; None keeps everything.
        families: of the network, without those that touch a weight that may not be pruned.
        scope: "global" ranks all filters by `filter_norms` over their root mean square in the family; "layer" ranks
            each family's filters among themselves, and takes from all families the same share.
        sparsity: share of all prunable weights to remove, in [0, 1).

    Returns:
        New masks inside `masks`. Filters of equal rank go in the order of the network. Filters go in one order for all
        sparsities, so sparser masks lie inside denser ones.

    Raises:
        UnknownNameError: if there is no such scope.
        PruningError: if the masks so far are not of whole filters, a weight is not a number, or one filter per layer
            keeps more weights than the sparsity asks for.
    """
    if scope not in SCOPES:
        raise UnknownNameError.of("pruning scope", scope, known=SCOPES)
    masks = dense_masks(weights) if masks is None else dict(masks)
    kept = kept_in(families, masks)
    order = _order(filter_norms(state, masks, families, kept), kept, scope)
    chosen = _take(order, kept, families, weights, sparsity)
    return masks_of_kept(families, chosen, weights)


def filter_norms(
    state: Mapping[str, Tensor], masks: Weights, families: Families, kept: Kept
) -> tuple[Tensor, ...]:
    """‖w_g‖₂ / √|g| of each channel's group: the root mean square of all that makes its map and is still there.

    Args:
        state: parameters by name; buffers do not count.
        masks: of the prunable weights.
        families: of the network.
        kept: channels that are there; of the others the norm is 0.

    Returns:
        float64 [width] on the CPU for each family.

    Raises:
        PruningError: if a weight is NaN.
    """
    norms = []
    for family, alive in zip(families, kept, strict=True):
        squares = torch.zeros(family.width, dtype=torch.float64)
        sizes = torch.zeros(family.width, dtype=torch.float64)
        for part in family.made_by:
            if _is_statistic(part.name):
                continue
            weight = state[part.name].detach()
            rows = (
                weight.double().square().flatten(1).sum(1) if weight.dim() > 1 else weight.double().square()
            )
            there = masks[part.name] if part.name in masks else torch.ones_like(weight, dtype=torch.bool)
            squares += rows.cpu()[part.places].sum(1)
            sizes += (
                there.flatten(1).sum(1).cpu()[part.places].sum(1) if there.dim() > 1 else part.places.shape[1]
            )
        norm = (squares / sizes.clamp(min=1)).sqrt()
        if bool(torch.isnan(norm).any()):
            raise PruningError(
                f"a filter of {family.root!r} holds NaN, which has no norm; its run diverged, so it has no ticket"
            )
        norms.append(norm.masked_fill(~alive, 0.0))
    return tuple(norms)


def largest_filter(families: Families, weights: Weights) -> int:
    """The most weights that can go with one channel: how coarse filter pruning is in this network."""
    sizes = _Sizes(families, all_kept(families), weights)
    return max((sizes.lost_with(index) for index in range(len(families))), default=0)


def _is_statistic(name: str) -> bool:
    return name.endswith((".running_mean", ".running_var"))


def _order(norms: tuple[Tensor, ...], kept: Kept, scope: str) -> list[tuple[int, int]]:
    """(family, channel) of all channels that are there, weakest first."""
    ranked: list[tuple[float, int, int]] = []
    for index, (norm, alive) in enumerate(zip(norms, kept, strict=True)):
        channels = alive.nonzero().flatten().tolist()
        usual = norm[alive].square().mean().sqrt().clamp(min=torch.finfo(norm.dtype).tiny)
        values = (norm / usual).tolist()
        if scope == "global":
            ranked += [(values[channel], index, channel) for channel in channels]
            continue
        # The k-th weakest of w goes when a share of (k + 1/2) / w is to go, whatever went at earlier levels.
        gone = len(values) - len(channels)
        weakest = sorted(channels, key=values.__getitem__)
        ranked += [((gone + k + 0.5) / len(values), index, channel) for k, channel in enumerate(weakest)]
    return [(index, channel) for _, index, channel in sorted(ranked)]


def _take(
    order: list[tuple[int, int]], kept: Kept, families: Families, weights: Weights, sparsity: float
) -> Kept:
    """Walk down the order while that brings the number of removed weights nearer to what was asked."""
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
            f"sparsity {sparsity:g} asks to keep {asked:,} of {total:,} weights, and one filter in every layer "
            f"that may lose any leaves {sizes.left:,}; ask for a sparsity up to {1 - sizes.left / total:.4f}"
        )
    return chosen


class _Sizes:
    """Weights left, counted by rows and columns: a weight [out, in, …] has as many as its sides multiply to."""

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
        """Weights that one more channel of a family takes along."""
        touched = {name: list(self._sides[name]) for name, _, _ in self._owned[family]}
        before = sum(rows * columns * each for rows, columns, each in touched.values())
        for name, dim, places in self._owned[family]:
            touched[name][dim] -= places
        return before - sum(rows * columns * each for rows, columns, each in touched.values())

    def remove(self, family: int) -> None:
        """Take one channel of a family away."""
        self.left -= self.lost_with(family)
        self.channels[family] -= 1
        for name, dim, places in self._owned[family]:
            self._sides[name][dim] -= places
