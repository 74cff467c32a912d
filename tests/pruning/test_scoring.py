"""The scoring context: its values, their sources, and that the network is not changed."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lthsweep.errors import PruningError
from lthsweep.pruning.prunable import prunable_weights
from lthsweep.pruning.scoring import ScoringContext

BATCH = (torch.randn(8, 3, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 2)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4, 2))


def context(model, **sources):
    return ScoringContext(prunable_weights(model), network=model, **sources)


def test_sources_are_read_once_and_only_if_used():
    """A criterion of weights alone costs no batch and no second network."""
    calls = []
    model = network()
    made = context(
        model,
        batch=lambda: calls.append("batch") or BATCH,
        initial=lambda: calls.append("initial") or prunable_weights(model),
    )
    before = list(calls)

    for _ in range(2):
        assert made.gradients.keys() == made.initial.keys()
    later = made.pruned(made.masks).gradients

    assert later.keys() == made.weights.keys()
    assert (before, calls) == ([], ["batch", "initial"])


def test_gradients_use_batch_statistics_and_no_dropout():
    """As a training step without noise; running statistics and torch's generator do not matter."""
    model = network()
    state = torch.get_rng_state()

    gradients = context(model, batch=lambda: BATCH).gradients
    model[1].running_var.fill_(9.0)
    again = context(model, batch=lambda: BATCH).gradients

    assert torch.equal(state, torch.get_rng_state())
    reference = network()
    reference[3].p = 0.0
    nn.functional.cross_entropy(reference(BATCH[0]), BATCH[1]).backward()

    assert all(torch.equal(gradients[name], again[name]) for name in gradients)
    assert torch.allclose(gradients["0.weight"], reference[0].weight.grad)


def test_model_is_a_copy():
    """A criterion can change it freely."""
    model = network()
    made = context(model)

    made.model[0].weight.data.zero_()

    assert bool(made.weights["0.weight"].all())
    assert not made.model.training
    assert model.training


def test_rounds_see_the_pruned_network():
    """SynFlow scores the weights that are left after each round."""
    model = network()
    made = context(model)
    masks = {name: torch.zeros_like(mask) for name, mask in made.masks.items()}

    after = made.pruned(masks)

    assert not bool(after.weights["0.weight"].any())
    assert not bool(after.model[0].weight.any())
    assert bool(model[0].weight.all())


def test_missing_sources_are_named():
    """A criterion that needs weights at the rewind point, in a run that does not return to them."""
    made = context(network(), rewound=lambda: None)

    with pytest.raises(PruningError, match=r"prune\.rewind"):
        _ = made.rewound
    with pytest.raises(PruningError, match="weights at initialization"):
        _ = made.initial


def test_infinite_gradients_are_refused():
    """They rank nothing."""
    made = context(network(), batch=lambda: (BATCH[0] * torch.inf, BATCH[1]))

    with pytest.raises(PruningError, match="not finite"):
        _ = made.gradients
