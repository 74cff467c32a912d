"""LAMP: a weight is worth its square relative to all weights of its layer that are at least as large.

Lee, Park, Mo, Ahn & Shin, ICLR 2021, arXiv:2010.07611, equation 3. The largest weight of every layer scores 1, so with
`scope = "global"` the method chooses a sparsity for each layer, and none loses its last weight while there are more
weights to keep than layers. With `scope = "layer"` it is magnitude pruning: inside a layer both rank alike.

Ties: equal magnitudes are ordered by index, the lower one as the larger, so each layer has exactly one score of 1 and
the lower index stays, as with every criterion. Equal scores of two layers keep the earlier layer.

Masks so far: pruned weights are zero and smaller than any survivor, so they add nothing to the sums. In a chain the
scores change only because the weights were trained again.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lthsweep.pruning.scoring import ScoringContext

__all__ = ["lamp_scores"]


def lamp_scores(context: ScoringContext) -> dict[str, Tensor]:
    """w² / Σ v² over the weights v of the layer with |v| >= |w|, in double precision; 0 for a weight of zero."""
    return {name: _layer(weight, context.masks[name]) for name, weight in context.weights.items()}


def _layer(weight: Tensor, mask: Tensor) -> Tensor:
    squares = weight.double().square().masked_fill(~mask, 0.0).flatten()
    largest_first, order = squares.sort(descending=True, stable=True)
    # the largest is first, so the running sum is the denominator, and the first score is exactly 1
    ranked = (largest_first / largest_first.cumsum(0)).masked_fill(largest_first == 0, 0.0)
    return torch.empty_like(ranked).scatter_(0, order, ranked).reshape(weight.shape)
