"""Gradient × weight by hand, on a network that was trained."""

from __future__ import annotations

import torch
from torch import nn

from lthsweep.pruning.criteria.taylor import taylor_scores
from lthsweep.pruning.prunable import prunable_weights
from lthsweep.pruning.scoring import ScoringContext


def test_score_is_gradient_times_weight():
    """One layer: the gradient of the mean cross-entropy is (softmax − onehot)ᵀ x / B."""
    model = nn.Sequential(nn.Linear(2, 2, bias=False))
    weight = torch.tensor([[0.5, -1.0], [2.0, 0.0]])
    model[0].weight.data.copy_(weight)
    x, labels = torch.tensor([[1.0, -2.0], [0.5, 3.0]]), torch.tensor([0, 1])
    context = ScoringContext(prunable_weights(model), network=model, batch=lambda: (x, labels))

    scores = taylor_scores(context)["0.weight"]

    error = torch.softmax(x @ weight.T, 1) - torch.eye(2)[labels]
    assert torch.allclose(scores, (error.T @ x / 2 * weight).abs())
    assert scores[1, 1] == 0
