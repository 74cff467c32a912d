"""Magnitude increase: a weight is worth the amount that training added to its magnitude since initialization.

Zhou, Lan, Liu & Yosinski, NeurIPS 2019, arXiv:1905.01067, section 2 ("magnitude increase"): large final minus initial
magnitude. Scores can be negative. The initial weights are those of the replicate's seed, also if the rewind point is
later and at every level of a chain.
"""

from __future__ import annotations

from torch import Tensor

from lthsweep.pruning.scoring import ScoringContext

__all__ = ["magnitude_increase_scores"]


def magnitude_increase_scores(context: ScoringContext) -> dict[str, Tensor]:
    """|w_final| − |w_initial| of each weight."""
    initial = context.initial
    return {name: weight.abs() - initial[name].abs() for name, weight in context.weights.items()}
