"""Loss and accuracy over a data set, summed so that a partial last batch weighs what it should."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Score", "Tally", "autocast", "evaluate", "tally_of", "total"]

Tally = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True, slots=True)
class Score:
    """Mean cross-entropy (nats) and the fraction of samples classified correctly; NaN over no samples."""

    loss: float
    accuracy: float


def evaluate(
    model: nn.Module, batches: Iterable[tuple[torch.Tensor, torch.Tensor]], *, precision: str = "fp32"
) -> Score:
    """Score a model in evaluation mode, leaving its mode as it was.

    A sample whose logits are not finite counts as wrong: `argmax` over NaN would call it class 0.
    """
    was_training = model.training
    model.eval()
    (score,) = total(tally_of(model, precision=precision), batches)
    model.train(was_training)
    return score


def tally_of(network: Callable[[Tensor], Tensor], *, precision: str) -> Tally:
    """How a network in evaluation mode does on a batch: (images, labels) → sum of losses, right answers."""

    def tally(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        with autocast(images.device, precision):
            logits = network(images)
        logits = logits.float()
        loss = functional.cross_entropy(logits, labels, reduction="sum").double()
        hit = (logits.argmax(1) == labels) & logits.isfinite().all(1)
        return loss, hit.sum()

    return tally


def total(tally: Tally, batches: Iterable[tuple[Tensor, Tensor]], members: int = 1) -> list[Score]:
    """Scores over a data set, of one network or of several whose tallies come together, [K] and [K]."""
    loss: Tensor | float = 0.0
    correct: Tensor | int = 0
    count = 0
    with torch.inference_mode():
        for images, labels in batches:
            more, right = tally(images, labels)
            loss, correct = loss + more, correct + right
            count += len(labels)
    if not (isinstance(loss, Tensor) and isinstance(correct, Tensor)):
        return [Score(math.nan, math.nan)] * members
    answers = zip(loss.view(members).tolist(), correct.view(members).tolist(), strict=True)
    return [Score(summed / count, right / count) for summed, right in answers]


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """The context in which forward passes run: bfloat16 where asked, else nothing (entering that takes no time)."""
    if precision != "bf16":
        return nullcontext()
    # Without the cache of cast weights: none is cast twice in a pass, and a CUDA graph must cast them itself.
    return torch.autocast(device.type, dtype=torch.bfloat16, cache_enabled=False)
