"""SNIP: a connection is worth its effect on the loss, at initialization, on one batch.

Lee, Ajanthan & Torr, ICLR 2019, arXiv:1810.02340, equations 4 to 6: the sensitivity of the loss to a factor c on a
weight, at c = 1, is gradient times weight. Only its magnitude ranks; the paper divides by the sum, which changes no
mask.
"""

from __future__ import annotations

from torch import Tensor

from lthsweep.pruning.scoring import ScoringContext

__all__ = ["snip_scores"]


def snip_scores(context: ScoringContext) -> dict[str, Tensor]:
    """abs(gradient · weight) of the mean cross-entropy over a batch."""
    return {name: (gradient * context.weights[name]).abs() for name, gradient in context.gradients.items()}
