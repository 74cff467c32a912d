"""Criteria of the user: the function of a name such as "my_criteria:movement@HASH", with checks around it."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import torch
from torch import Tensor

from lthsweep.errors import PruningError
from lthsweep.pruning.registry import criterion_of
from lthsweep.pruning.scoring import ScoringContext
from lthsweep.usercode import load

__all__ = ["ScoreFunction", "custom_criterion"]

ScoreFunction = Callable[[ScoringContext], dict[str, Tensor]]


def custom_criterion(name: str) -> ScoreFunction:
    """The scores of the user's function.

    A ticket and its controls compute their mask independently, so the function is called twice and must return the
    same scores.

    Args:
        name: as in the resolved file, with the hash of the source.

    Returns:
        A function that raises PruningError if the user's function fails, returns other names or shapes than those of
        the weights, or returns other scores on the second call.

    Raises:
        CodeError: if the code is not allowed, not found, or not the code that was hashed.
        PruningError: if the function does not take one argument.
    """
    function = load(name)
    try:
        inspect.signature(function).bind(None)
    except TypeError as error:
        raise PruningError(f"prune.method {name!r} cannot be called as scores(context): {error}") from None

    entry = criterion_of(name)
    if getattr(function, "declared", (False, 1)) != (entry.at_initialization, entry.rounds):
        raise PruningError(
            f"prune.method {name!r}: the attributes of its function were not found in the source; write the decorator "
            f"as @criterion(…) directly above the function"
        )

    def scores(context: ScoringContext) -> dict[str, Tensor]:
        first, second = _called(name, function, context), _called(name, function, context)
        if not all(torch.equal(first[key].nan_to_num(), second[key].nan_to_num()) for key in first):
            raise PruningError(
                f"prune.method {name!r} returns other scores on a second call; draw random numbers only from a "
                f"generator that is seeded with context.seed, and do not change what the context gives"
            )
        return first

    return scores


def _called(name: str, function: Callable[..., object], context: ScoringContext) -> dict[str, Tensor]:
    try:
        found = function(context)
    except Exception as error:
        raise PruningError(f"prune.method {name!r} fails: {type(error).__name__}: {error}") from error
    if not isinstance(found, dict) or found.keys() != context.weights.keys():
        raise PruningError(
            f"prune.method {name!r} must return a dictionary with one tensor for each of {', '.join(context.weights)}"
        )
    for key, weight in context.weights.items():
        score = found[key]
        if not isinstance(score, Tensor) or score.shape != weight.shape:
            raise PruningError(
                f"prune.method {name!r}: the score of {key!r} must be a tensor of shape {tuple(weight.shape)}"
            )
    return {key: found[key].detach().to(weight.device) for key, weight in context.weights.items()}
