"""From the [prune] table and a grid point to masks."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from lthsweep.errors import PruningError, UnknownNameError
from lthsweep.pruning.magnitude import threshold_mask
from lthsweep.pruning.masks import Masks, Weights, check_masks, dense_masks
from lthsweep.pruning.rates import Rates, kept_by_rates
from lthsweep.pruning.registry import AT_INITIALIZATION, METHODS, SCOPES, WHOLE_FILTERS
from lthsweep.pruning.scopes import keep_in_each

__all__ = ["entry_of", "make_mask", "selection_of"]


def make_mask(
    weights: Weights,
    masks: Weights | None,
    *,
    method: str,
    scope: str,
    sparsity: float | None = None,
    threshold: float | None = None,
    rates: Rates = (),
    seed: int,
) -> Masks:
    """Make the masks of one level from those of the level before.

    Args:
        weights: trained weights by parameter name, in layer order, on any device.
        masks: what is kept so far; None keeps everything.
        method: a name of `registry.METHODS`; for the others see `at_initialization` and `filters`.
        scope: a name of `registry.SCOPES`; a threshold is absolute, so the scope does not change it.
        sparsity: share of all prunable weights (not of the survivors) to remove, in [0, 1).
        threshold: absolute magnitude; abs(w) <= threshold goes. Give either this or `sparsity`.
        rates: layers that lose less than the sparsity says, see `kept_by_rates`; with scope "layer".
        seed: of the replicate; only random pruning uses it.

    Returns:
        New bool tensors on the weights' device, inside `masks`. The given masks are left alone.

    Raises:
        UnknownNameError: if the method or the scope is not in its registry.
        PruningError: if not exactly one of sparsity and threshold is given, a threshold meets a method
            without magnitudes, weights and masks do not match, the weights cannot be ranked, or `rates` do not
            fit the layers.
    """
    if method not in METHODS:
        raise UnknownNameError.of(
            "pruning method", method, known=[*METHODS, *AT_INITIALIZATION, *WHOLE_FILTERS]
        )
    score, select = entry_of(METHODS[method]), selection_of(scope)
    if (sparsity is None) == (threshold is None):
        raise PruningError(
            f"give either a sparsity or a threshold, not sparsity={sparsity}, threshold={threshold}"
        )
    masks = dense_masks(weights) if masks is None else masks
    if threshold is not None:
        if method != "magnitude":
            raise PruningError(f"a threshold cuts magnitudes; method {method!r} has none, so give a sparsity")
        return threshold_mask(weights, masks, threshold)
    check_masks(weights, masks)
    assert sparsity is not None
    if rates:
        sizes = {name: weight.numel() for name, weight in weights.items()}
        left = {name: int(mask.sum()) for name, mask in masks.items()}
        return keep_in_each(score(weights, seed), masks, kept_by_rates(sizes, left, sparsity, rates))
    return select(score(weights, seed), masks, sparsity)


def selection_of(scope: str) -> Callable[[Weights, Weights, float], Masks]:
    """The function of a scope: (scores, masks, sparsity) → masks.

    Raises:
        UnknownNameError: if there is no such scope.
    """
    if scope not in SCOPES:
        raise UnknownNameError.of("pruning scope", scope, known=SCOPES)
    return entry_of(SCOPES[scope])


def entry_of(place: str) -> Callable[..., Any]:
    """What a registry means by "module:function"."""
    module, _, function = place.partition(":")
    entry: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return entry
