"""Loss and accuracy over a data set, summed so that a partial last batch weighs what it should."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

__all__ = ["Score", "autocast", "evaluate"]


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
    loss: torch.Tensor | float = 0.0
    correct: torch.Tensor | int = 0
    count = 0
    with torch.inference_mode():
        for images, labels in batches:
            with autocast(images.device, precision):
                logits = model(images)
            logits = logits.float()
            loss = loss + functional.cross_entropy(logits, labels, reduction="sum").double()
            hit = (logits.argmax(1) == labels) & logits.isfinite().all(1)
            correct = correct + hit.sum()
            count += len(labels)
    model.train(was_training)
    if not count:
        return Score(math.nan, math.nan)
    return Score(float(loss) / count, int(correct) / count)


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """The context in which forward passes run: bfloat16 where asked, else nothing (entering that takes no time)."""
    if precision != "bf16":
        return nullcontext()
    # Without the cache of cast weights: none is cast twice in a pass, and a CUDA graph must cast them itself.
    return torch.autocast(device.type, dtype=torch.bfloat16, cache_enabled=False)
