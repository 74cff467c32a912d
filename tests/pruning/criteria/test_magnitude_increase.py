"""Magnitude increase by hand."""

from __future__ import annotations

import torch

from lthsweep.pruning.make import make_masks
from lthsweep.pruning.scoring import ScoringContext


def test_weights_that_grew_most_stay():
    """2 − 1 is more than 5 − 4.5, and −3 + 0.5 is a negative score that still has a rank."""
    final, initial = {"a": torch.tensor([5.0, -2.0, 0.5, 0.0])}, {"a": torch.tensor([-4.5, 1.0, 3.0, 9.0])}
    context = ScoringContext(final, initial=lambda: initial)

    kept = [
        make_masks("magnitude-increase", context, scope="global", sparsity=sparsity)["a"].tolist()
        for sparsity in (0.25, 0.5, 0.75)
    ]

    assert kept == [[True, True, True, False], [True, True, False, False], [False, True, False, False]]
