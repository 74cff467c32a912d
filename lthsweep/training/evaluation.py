"""Loss and accuracy over a data set; a partial last batch weighs as much as it has samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from lthsweep.data.batching import LabeledBatch

__all__ = ["BatchScore", "Score", "autocast", "batch_score", "evaluate", "total_scores"]

BatchScore = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(inputs, labels) → sum of losses, number of correct answers."""


@dataclass(frozen=True, slots=True)
class Score:
    """Mean cross-entropy (nats) and the fraction of samples classified correctly; NaN over no samples."""

    loss: float
    accuracy: float


def evaluate(model: nn.Module, batches: Iterable[LabeledBatch], *, precision: str = "fp32") -> Score:
    """Score a model in evaluation mode; its mode is restored afterward.

    A sample whose logits are not finite counts as wrong: `argmax` over NaN would return class 0.
    """
    was_training = model.training
    model.eval()
    (score,) = total_scores(batch_score(model, precision=precision), batches)
    model.train(was_training)
    return score


def batch_score(network: Callable[[Tensor], Tensor], *, precision: str) -> BatchScore:
    """A function that scores one batch with a network in evaluation mode."""

    def score(inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        with autocast(inputs.device, precision):
            logits = network(inputs)
        logits = logits.float()
        loss = functional.cross_entropy(logits, labels, reduction="sum").double()
        hit = (logits.argmax(1) == labels) & logits.isfinite().all(1)
        return loss, hit.sum()

    return score


def total_scores(score: BatchScore, batches: Iterable[LabeledBatch], members: int = 1) -> list[Score]:
    """Scores over a data set: of one network, or of the members of an ensemble, whose batch scores are [K]."""
    loss: Tensor | float = 0.0
    correct: Tensor | int = 0
    count = 0
    with torch.inference_mode():
        for inputs, labels in batches:
            batch_loss, batch_correct = score(inputs, labels)
            loss, correct = loss + batch_loss, correct + batch_correct
            count += len(labels)
    if not (isinstance(loss, Tensor) and isinstance(correct, Tensor)):
        return [Score(math.nan, math.nan)] * members
    totals = zip(loss.view(members).tolist(), correct.view(members).tolist(), strict=True)
    return [Score(summed / count, right / count) for summed, right in totals]


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """The context of forward passes: bfloat16 if asked for; else nothing, which takes no time to enter."""
    if precision != "bf16":
        return nullcontext()
    # Without the cache of cast weights: no weight is cast twice in a pass, and a CUDA graph must cast them itself.
    return torch.autocast(device.type, dtype=torch.bfloat16, cache_enabled=False)
