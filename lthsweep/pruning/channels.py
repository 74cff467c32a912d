"""Kept channels: as masks of weights, and any tensor reduced to them and back.

If channels are removed, the masks are products: a weight is kept if its row and its column are. So the masks
determine which channels are removed, and records, audits and levels only need masks.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lthsweep.errors import PruningError
from lthsweep.pruning.coupling import Families
from lthsweep.pruning.masks import Masks, Weights

__all__ = ["Kept", "all_kept", "cut", "expanded", "kept_in", "masks_of_kept"]

Kept = tuple[Tensor, ...]
"""One bool tensor [width] per family, True = the channel is kept."""


def all_kept(families: Families) -> Kept:
    """Every channel of every family."""
    return tuple(torch.ones(family.width, dtype=torch.bool) for family in families)


def masks_of_kept(families: Families, kept: Kept, weights: Weights) -> Masks:
    """The masks of weights in a network that has only the kept channels.

    Args:
        families: of the network.
        kept: the channels that are kept.
        weights: by parameter name; weights outside of all families are kept.

    Returns:
        On the weights' devices.
    """
    lines = _lines(families, kept, {name: tuple(weight.shape) for name, weight in weights.items()})
    masks = {}
    for name, weight in weights.items():
        mask = torch.ones(weight.shape, dtype=torch.bool)
        for dim, line in lines[name].items():
            gone = torch.ones(weight.shape[dim], dtype=torch.bool)
            gone[line] = False
            mask.index_fill_(dim, gone.nonzero().flatten(), False)
        masks[name] = mask.to(weight.device)
    return masks


def kept_in(families: Families, masks: Weights) -> Kept:
    """The channels that the masks keep.

    Args:
        families: of the network; a family whose filters have no mask (excluded from pruning) keeps all channels.
        masks: parameter name → bool tensor, on any device.

    Raises:
        PruningError: if the masks do not consist of whole filters.
    """
    kept = []
    for family in families:
        rows = [
            masks[part.name].cpu().flatten(1).any(1)[part.places].any(1)
            for part in family.made_by
            if part.name in masks
        ]
        kept.append(torch.stack(rows).any(0) if rows else torch.ones(family.width, dtype=torch.bool))
    again = masks_of_kept(families, tuple(kept), masks)
    odd = [name for name, mask in masks.items() if not torch.equal(again[name], mask)]
    if odd:
        raise PruningError(
            f"the mask of {odd[0]!r} does not remove whole filters with everything coupled to them, so the network "
            f'cannot be made smaller; use masks of prune.method = "filter"'
        )
    return tuple(kept)


def cut(state: Mapping[str, Tensor], families: Families, kept: Kept) -> dict[str, Tensor]:
    """Copies of tensors without the rows and columns of removed channels.

    Args:
        state: names as in the full network's `state_dict`.
        families: of the full network.
        kept: the channels that stay.
    """
    lines = _lines(families, kept, {name: tuple(tensor.shape) for name, tensor in state.items()})
    out = {}
    for name, tensor in state.items():
        small = tensor.detach().clone()
        for dim, line in lines[name].items():
            small = small.index_select(dim, line.to(small.device))
        out[name] = small
    return out


def expanded(
    small: Mapping[str, Tensor],
    shapes: Mapping[str, tuple[int, ...]],
    families: Families,
    kept: Kept,
    *,
    fill: Mapping[str, float] | None = None,
) -> dict[str, Tensor]:
    """Undo `cut`: every tensor in its full shape, zero where a channel was removed.

    Args:
        small: by name.
        shapes: name → full shape; tensors with other names are not changed.
        families: of the full network.
        kept: the channels of `small`.
        fill: name → value in place of zero.
    """
    lines = _lines(families, kept, shapes)
    out = {}
    for name, tensor in small.items():
        if not lines.get(name):
            out[name] = tensor.detach().clone()
            continue
        full = tensor.new_full(shapes[name], (fill or {}).get(name, 0.0))
        index = [torch.arange(size, device=tensor.device) for size in shapes[name][:2]]
        for dim, line in lines[name].items():
            index[dim] = line.to(tensor.device)
        if len(index) == 2:
            full[index[0][:, None], index[1]] = tensor.detach()
        else:
            full[index[0]] = tensor.detach()
        out[name] = full
    return out


def _lines(
    families: Families, kept: Kept, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, dict[int, Tensor]]:
    """Name → dimension → indices that stay, ascending; only dimensions that belong to a family."""
    lines: dict[str, dict[int, Tensor]] = {name: {} for name in shapes}
    for family, alive in zip(families, kept, strict=True):
        for part in family.parts:
            if part.name in shapes:
                stays = torch.ones(shapes[part.name][part.dim], dtype=torch.bool)
                stays[part.places[~alive].flatten()] = False
                lines[part.name][part.dim] = stays.nonzero().flatten()
    return lines
