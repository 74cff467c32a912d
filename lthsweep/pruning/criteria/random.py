"""Random pruning: the same number of weights remains, chosen by the seed and not by the training."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lthsweep.pruning.scoring import ScoringContext
from lthsweep.randomness import hash_counters, stream

__all__ = ["random_scores"]


def random_scores(context: ScoringContext) -> dict[str, Tensor]:
    """A 63-bit hash of each weight's position: a pure function of (seed, index over all layers).

    The values of the weights do not matter. The scores of a seed are fixed, so masks of rising sparsities are nested,
    also between one-shot runs.
    """
    weights = context.weights
    total = sum(weight.numel() for weight in weights.values())
    words = hash_counters(stream(context.seed, "random-mask"), np.arange(total)) >> np.uint64(1)
    ranks = torch.from_numpy(words.astype(np.int64))
    parts = torch.split(ranks, [weight.numel() for weight in weights.values()])
    return {
        name: part.reshape(weight.shape).to(weight.device)
        for (name, weight), part in zip(weights.items(), parts, strict=True)
    }
