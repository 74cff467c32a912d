"""From the [prune] table and a grid point to masks."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from lthsweep.errors import PruningError, UnknownNameError
from lthsweep.pruning.magnitude import threshold_mask
from lthsweep.pruning.masks import Masks, Weights, check_masks, dense_masks
from lthsweep.pruning.registry import METHODS, SCOPES

__all__ = ["make_mask"]


def make_mask(
    weights: Weights,
    masks: Weights | None,
    *,
    method: str,
    scope: str,
    sparsity: float | None = None,
    threshold: float | None = None,
    seed: int,
) -> Masks:
    """Make the masks of one level from those of the level before.

    Args:
        weights: trained weights by parameter name, in layer order, on any device.
        masks: what is kept so far; None keeps everything.
        method: a name of `registry.METHODS`.
        scope: a name of `registry.SCOPES`; a threshold is absolute, so the scope does not change it.
        sparsity: share of all prunable weights (not of the survivors) to remove, in [0, 1).
        threshold: absolute magnitude; abs(w) <= threshold goes. Give either this or `sparsity`.
        seed: of the replicate; only random pruning uses it.

    Returns:
        New bool tensors on the weights' device, inside `masks`. The given masks are left alone.

    Raises:
        UnknownNameError: if the method or the scope is not in its registry.
        PruningError: if not exactly one of sparsity and threshold is given, a threshold meets a method
            without magnitudes, weights and masks do not match, or the weights cannot be ranked.
    """
    score, select = _entry("pruning method", method, METHODS), _entry("pruning scope", scope, SCOPES)
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
    chosen: Masks = select(score(weights, seed), masks, sparsity)
    return chosen


def _entry(what: str, name: str, registry: Mapping[str, str]) -> Callable[..., Any]:
    if name not in registry:
        raise UnknownNameError.of(what, name, known=registry)
    module, _, function = registry[name].partition(":")
    entry: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return entry
