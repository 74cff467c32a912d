"""Gradient times weight on the trained network: the first-order change of the loss if a weight becomes zero.

Molchanov, Tyree, Karras, Aila & Kautz, ICLR 2017, arXiv:1611.06440, equation 7, and for weights Molchanov, Mallya,
Tyree, Frosio & Kautz, CVPR 2019, arXiv:1906.10771, equation 8, whose square ranks alike. They average over many
batches; here it is the first training batch, see `ScoringContext.gradients`. SNIP is the same score before training.
"""

from __future__ import annotations

from torch import Tensor

from lthsweep.pruning.scoring import ScoringContext

__all__ = ["taylor_scores"]


def taylor_scores(context: ScoringContext) -> dict[str, Tensor]:
    """abs(gradient · weight) of the mean cross-entropy over a batch; 0 for weights that are pruned already."""
    return {name: (gradient * context.weights[name]).abs() for name, gradient in context.gradients.items()}
