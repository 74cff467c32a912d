"""Filters: a feature map is worth the norm of the weights that make it.

Li et al., ICLR 2017, arXiv:1608.08710, rank filters by their norm. Here the norm is that of everything that makes a
map, the group of the group lasso (Wen et al., NeurIPS 2016, arXiv:1608.03665; `lthsweep.training.group_lasso`): groups
that the penalty drove to zero rank lowest, and removing them changes nothing. Columns that read the map are part of the
next layer's filters and belong to other groups; they are removed with the map but do not count in its rank.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lthsweep.pruning.channels import Kept, kept_in
from lthsweep.pruning.coupling import Families
from lthsweep.pruning.masks import Weights
from lthsweep.pruning.scoring import ScoringContext

__all__ = ["filter_norms", "filter_scores"]


def filter_scores(context: ScoringContext) -> dict[str, Tensor]:
    """`filter_norms` of every family, by the name of its root.

    Raises:
        PruningError: if the masks so far do not consist of whole filters.
    """
    families, state = context.families, dict(context.model.named_parameters())
    norms = filter_norms(state, context.masks, families, kept_in(families, context.masks))
    return {family.root: norm for family, norm in zip(families, norms, strict=True)}


def filter_norms(
    state: Mapping[str, Tensor], masks: Weights, families: Families, kept: Kept
) -> tuple[Tensor, ...]:
    """‖w_g‖₂ / √|g| of each channel's group: the root mean square of all that makes its map and is not pruned.

    Args:
        state: parameters by name; buffers do not count.
        masks: of the prunable weights.
        families: of the network.
        kept: the channels that are left; the norm of the others is 0.

    Returns:
        float64 [width] on the CPU for each family.
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
        norms.append((squares / sizes.clamp(min=1)).sqrt().masked_fill(~alive, 0.0))
    return tuple(norms)


def _is_statistic(name: str) -> bool:
    return name.endswith((".running_mean", ".running_var"))
