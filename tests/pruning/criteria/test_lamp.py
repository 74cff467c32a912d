"""LAMP by hand, its ties, and its relation to magnitude pruning."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from lthsweep.pruning.criteria.lamp import lamp_scores
from lthsweep.pruning.make import make_masks
from lthsweep.pruning.scoring import ScoringContext

LAYER = st.lists(st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0]), min_size=1, max_size=12).map(torch.tensor)


def test_score_is_relative_to_larger_weights():
    """Squares 16, 9, 4, 1: each over the sum of itself and the larger ones."""
    weights = {"a": torch.tensor([[1.0, -4.0], [3.0, -2.0]])}

    scores = lamp_scores(ScoringContext(weights))

    assert torch.allclose(scores["a"], torch.tensor([[1 / 30, 1.0], [9 / 25, 4 / 29]], dtype=torch.float64))


def test_of_equal_weights_the_lower_index_stays():
    """Each layer has exactly one score of 1, so it keeps a weight."""
    scores = lamp_scores(ScoringContext({"a": torch.tensor([2.0, -2.0, 2.0]), "b": torch.tensor([0.0, 0.0])}))

    assert torch.allclose(scores["a"], torch.tensor([1, 1 / 2, 1 / 3], dtype=torch.float64))
    assert scores["b"].tolist() == [0.0, 0.0]


def test_pruned_weights_do_not_count():
    """Even if they are not zero."""
    context = ScoringContext({"a": torch.tensor([5.0, 1.0])}, {"a": torch.tensor([False, True])})

    assert lamp_scores(context)["a"].tolist() == [0.0, 1.0]


def test_global_scope_spares_layers_of_small_weights():
    """Magnitude pruning would empty the first layer."""
    weights = {"small": torch.tensor([0.1, 0.01]), "large": torch.tensor([10.0, 9.0, 8.0, 7.0])}
    options = {"scope": "global", "sparsity": 0.5}

    lamp = make_masks("lamp", ScoringContext(weights), **options)
    magnitude = make_masks("magnitude", ScoringContext(weights), **options)

    assert (int(lamp["small"].sum()), int(magnitude["small"].sum())) == (1, 0)


@given(LAYER, st.floats(0, 0.99))
def test_scope_layer_is_magnitude_pruning(weight, sparsity):
    """Inside a layer the score rises with the magnitude, ties included."""
    options = {"scope": "layer", "sparsity": sparsity}

    lamp, magnitude = (
        make_masks(method, ScoringContext({"a": weight}), **options) for method in ("lamp", "magnitude")
    )

    assert torch.equal(lamp["a"], magnitude["a"])
