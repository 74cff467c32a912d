"""Convolution and linear weights are prunable; nothing else is."""

from __future__ import annotations

import pytest
from torch import nn

from lthsweep.errors import PruningError
from lthsweep.models.build import build_model
from lthsweep.pruning.prunable import prunable_weights


def build(name, **options):
    return build_model({"name": name, **options}, input_shape=(3, 32, 32), classes=10, seed=0)


def test_only_convolutions_and_linear_layers_are_prunable():
    """BatchNorm's weight is a scale, a bias is a shift: neither is pruned."""
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Sequential(nn.Linear(3, 4)), nn.Conv1d(1, 1, 1)
    )

    weights = prunable_weights(model)

    assert list(weights) == ["0.weight", "2.0.weight", "3.weight"]
    assert weights["0.weight"] is model[0].weight


def test_an_empty_layer_is_an_error():
    """A width of 0, for example: nothing passes through it, and there is nothing to prune."""
    model = nn.Sequential(nn.Linear(4, 2), nn.Linear(2, 0))

    with pytest.raises(PruningError, match=r"'1' is empty: its weight has shape \(0, 2\)"):
        prunable_weights(model)


@pytest.mark.parametrize(
    ("name", "layers", "weights"),
    [
        ("mobilenet_v2", 53, 2_202_560),
        ("resnet20", 22, 270_896),
        ("lenet_300_100", 3, 952_600),
        ("vgg16", 14, 14_715_584),
    ],
)
def test_counts_of_prunable_weights(name, layers, weights):
    """Depthwise convolutions, shortcuts, the stem and the last layer are all prunable."""
    found = prunable_weights(build(name))

    assert (len(found), sum(weight.numel() for weight in found.values())) == (layers, weights)


def test_a_single_layer_is_its_own_model():
    """The parameter of a bare layer has no prefix."""
    assert list(prunable_weights(nn.Linear(2, 2))) == ["weight"]


@pytest.mark.parametrize(
    "pattern",
    ["classifier.*", "classifier", "classifier.1", "classifier.1.weight", "*.1.weight", "cl?ssifier.1"],
)
def test_pattern_excludes_by_layer_parameter_or_enclosing_module(pattern):
    """However the layer is called in the file, the last layer stays dense."""
    model = build("mobilenet_v2", width=0.25)

    weights = prunable_weights(model, [pattern])

    assert "classifier.1.weight" not in weights
    assert "features.0.0.weight" in weights


def test_name_excludes_no_layer_that_only_begins_alike():
    """features.1 is not features.10."""
    weights = prunable_weights(build("mobilenet_v2", width=0.25), ["features.1"])

    assert not [name for name in weights if name.startswith("features.1.")]
    assert [name for name in weights if name.startswith("features.10.")]


def test_pattern_without_match_is_refused_with_layers():
    """A mistyped exclusion would prune the layer that was to be spared."""
    with pytest.raises(PruningError, match=r"'fc4'.*did you mean 'fc\d'.*fc1, fc2, fc3"):
        prunable_weights(build("lenet_300_100"), ["fc1", "fc4"])


def test_pattern_that_only_matches_batchnorm_excludes_nothing():
    """BatchNorm is never pruned, so excluding it is a mistake."""
    with pytest.raises(PruningError, match="matches no convolution"):
        prunable_weights(build("resnet20"), ["bn1"])


def test_excluding_everything_is_refused():
    """Nothing would be left to prune."""
    with pytest.raises(PruningError, match="nothing is left to prune of 3 layers"):
        prunable_weights(build("lenet_300_100"), ["*"])


def test_shared_weight_appears_once():
    """Counting it twice would make the sparsity wrong."""
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight = first.weight

    assert list(prunable_weights(nn.Sequential(first, second, first))) == ["0.weight"]
