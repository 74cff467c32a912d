"""Masks from the network before training: by SNIP or SynFlow, in one round or in many."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lthsweep.errors import PruningError, UnknownNameError
from lthsweep.pruning.make import entry_of, selection_of
from lthsweep.pruning.masks import Masks, Weights, check_masks, dense_masks
from lthsweep.pruning.registry import AT_INITIALIZATION

__all__ = ["make_initial_mask"]


def make_initial_mask(
    model: nn.Module,
    weights: Weights,
    *,
    method: str,
    scope: str,
    sparsity: float | None,
    batch: Callable[[], tuple[Tensor, Tensor]],
) -> Masks:
    """Make the masks of a network that was not trained yet.

    With R rounds, 1 − (1 − sparsity)^(r/R) is pruned after round r, so that every round removes the same share of
    what is left (Tanaka et al. 2020, algorithm 1); the last one meets the sparsity exactly.

    Args:
        model: at initialization, on its device; left as it is.
        weights: its prunable parameters by name, in layer order.
        method: a name of `registry.AT_INITIALIZATION`.
        scope: a name of `registry.SCOPES`.
        sparsity: share of all prunable weights to remove, in [0, 1).
        batch: gives images [B, C, H, W] and labels [B] on the model's device.

    Returns:
        New bool tensors on the weights' device; ties as everywhere, the earlier layer and the lower index stay.

    Raises:
        UnknownNameError: if the method or the scope is not in its registry.
        PruningError: if no sparsity is given, or the weights cannot be ranked.
    """
    if method not in AT_INITIALIZATION:
        raise UnknownNameError.of("pruning method", method, known=AT_INITIALIZATION)
    if sparsity is None:
        raise PruningError(f"a threshold cuts magnitudes; method {method!r} has none, so give a sparsity")
    criterion = AT_INITIALIZATION[method]
    score: Callable[..., Any] = entry_of(criterion.scores)
    select = selection_of(scope)
    trial = copy.deepcopy(model)
    parameters = dict(trial.named_parameters())
    masks = dense_masks(weights)
    check_masks(weights, masks)
    example = batch()
    for done in range(1, criterion.rounds + 1):
        rest = (1 - sparsity) ** (done / criterion.rounds)
        scores = score(trial, list(weights), example)
        masks = select(scores, masks, sparsity if done == criterion.rounds else min(1 - rest, sparsity))
        with torch.no_grad():
            for name, mask in masks.items():
                parameters[name].mul_(mask)
    return masks
