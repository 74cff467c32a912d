"""Magnitude: the weights nearest to zero are pruned, ranked over all layers, in each layer, or cut by a threshold.

Han et al., NeurIPS 2015, arXiv:1506.02626; for lottery tickets Frankle & Carbin, ICLR 2019, arXiv:1803.03635,
who rank by the final weights of the trained network.
"""

from __future__ import annotations

from torch import Tensor

from lthsweep.pruning.scoring import ScoringContext

__all__ = ["magnitude_scores"]


def magnitude_scores(context: ScoringContext) -> dict[str, Tensor]:
    """The absolute value of each weight."""
    return {name: weight.abs() for name, weight in context.weights.items()}
