"""From the `[prune]` table, a grid point, and a scoring context to masks."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from lthsweep.errors import PruningError, look_up
from lthsweep.options import load_entry
from lthsweep.pruning.counts import Rates, kept_by_rates
from lthsweep.pruning.custom import ScoreFunction, custom_criterion
from lthsweep.pruning.filters import select_filters
from lthsweep.pruning.masks import Masks, Weights, check_masks
from lthsweep.pruning.registry import Criterion, criterion_of
from lthsweep.pruning.scoring import ScoringContext
from lthsweep.pruning.selection import SCOPES, keep_in_each
from lthsweep.usercode import is_code

__all__ = ["make_masks"]


def make_masks(
    method: str,
    context: ScoringContext,
    *,
    scope: str,
    sparsity: float | None = None,
    threshold: float | None = None,
    rates: Rates = (),
) -> Masks:
    """Make the masks of one level from those of the level before.

    Args:
        method: value of `prune.method`.
        context: weights to rank, with the masks so far.
        scope: a name of `selection.SCOPES`; a threshold is absolute, so the scope does not change it.
        sparsity: share of all prunable weights (not of the survivors) to remove, in [0, 1).
        threshold: absolute magnitude; abs(w) <= threshold is removed. Give either this or `sparsity`.
        rates: layers that lose less than the sparsity, see `kept_by_rates`; with scope "layer".

    Returns:
        New bool tensors on the weights' device, inside the masks so far, which are not changed. Of equal scores, the
        earlier layer stays, and within a layer the lower index.

    Raises:
        UnknownNameError: if the method or the scope does not exist.
        PruningError: if not exactly one of sparsity and threshold is given, the criterion does not support a threshold
            or this network, weights and masks do not match, a score is NaN, or `rates` do not fit the layers.
    """
    criterion = criterion_of(method)
    look_up("pruning scope", scope, SCOPES)
    if (sparsity is None) == (threshold is None):
        raise PruningError(
            f"give either a sparsity or a threshold, not sparsity={sparsity}, threshold={threshold}"
        )
    check_masks(context.weights, context.masks)
    if threshold is not None:
        if not criterion.supports_threshold:
            raise PruningError(f"a threshold cuts magnitudes; method {method!r} has none, so give a sparsity")
        return _above(_scores(method, criterion, context), context.masks, threshold)
    assert sparsity is not None
    masks = context.masks
    for index, target in enumerate(_targets(sparsity, criterion.rounds)):
        context = context.pruned(masks) if index else context
        masks = _select(criterion, context, _scores(method, criterion, context), scope, target, rates)
    return masks


def _targets(sparsity: float, rounds: int) -> Iterator[float]:
    """The sparsity after each round.

    With R rounds it is 1 − (1 − sparsity)^(r/R) after round r, so every round removes the same share of the weights
    left (Tanaka et al. 2020, algorithm 1); the last one meets the sparsity exactly.
    """
    for done in range(1, rounds):
        yield min(1 - (1 - sparsity) ** (done / rounds), sparsity)
    yield sparsity


def _scores(method: str, criterion: Criterion, context: ScoringContext) -> dict[str, Tensor]:
    """The criterion's scores, checked to be rankable."""
    score: ScoreFunction = custom_criterion(method) if is_code(method) else load_entry(criterion.scores)
    scores = score(context)
    for name, values in scores.items():
        if bool(torch.isnan(values).any()):
            raise PruningError(
                f"prune.method {method!r}: a score of {name!r} is NaN, so it cannot be ranked; the weights of the "
                f"parent run are not finite, so it diverged"
            )
    return scores


def _select(
    criterion: Criterion,
    context: ScoringContext,
    scores: Weights,
    scope: str,
    sparsity: float,
    rates: Rates,
) -> Masks:
    weights, masks = context.weights, context.masks
    if criterion.structured:
        return select_filters(scores, weights, masks, context.families, scope=scope, sparsity=sparsity)
    if rates:
        sizes = {name: weight.numel() for name, weight in weights.items()}
        left = {name: int(mask.sum()) for name, mask in masks.items()}
        return keep_in_each(scores, masks, kept_by_rates(sizes, left, sparsity, rates))
    return SCOPES[scope](scores, masks, sparsity)


def _above(scores: Weights, masks: Weights, threshold: float) -> Masks:
    """Keep scores above an absolute threshold; a score equal to it is removed.

    Unlike a sparsity, a threshold can remove a whole layer, or everything: this is a result, and the audit names the
    dead layers. The comparison is in the weights' own precision, so 0.1 removes a float32 weight of 0.1.

    Raises:
        PruningError: if the threshold is negative or NaN.
    """
    if not threshold >= 0:
        raise PruningError(f"threshold {threshold} is not 0 or more; it is a magnitude")
    return {name: (score > threshold) & masks[name] for name, score in scores.items()}
