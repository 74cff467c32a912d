"""Which channels go together: shortcuts, depthwise filters, flattened maps."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from lthsweep.errors import PruningError
from lthsweep.models.shapes import TextShape
from lthsweep.pruning.coupling import families_of
from lthsweep.pruning.prunable import prunable_weights
from tests.pruning.networks import NETWORKS, network


def family_making(families, weight):
    (found,) = [family for family in families if weight in {part.name for part in family.made_by}]
    return found


def names(parts):
    return {part.name for part in parts}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_every_filter_except_outputs_has_one_family(name):
    """So groups share no weight, and the classes stay."""
    model, shape = network(name)
    families = families_of(model, shape)
    made = [part.name for family in families for part in family.made_by]

    assert len(made) == len(set(made))
    weights = list(prunable_weights(model))
    assert set(weights) - set(made) == {weights[-1]}


def test_layers_added_by_a_shortcut_share_channels():
    """A map that is added to another can only go with it."""
    model, shape = network("resnet20")

    family = family_making(families_of(model, shape), "layer2.0.shortcut.0.weight")

    convolutions = {name for name in names(family.made_by) if "conv" in name or "shortcut.0" in name}
    assert convolutions == {
        "layer2.0.shortcut.0.weight",
        "layer2.0.conv2.weight",
        "layer2.1.conv2.weight",
        "layer2.2.conv2.weight",
    }
    assert names(family.read_by) == {
        "layer2.1.conv1.weight",
        "layer2.2.conv1.weight",
        "layer3.0.conv1.weight",
        "layer3.0.shortcut.0.weight",
    }


def test_the_inside_of_a_block_is_separate():
    """Nothing is added to it."""
    model, shape = network("resnet20")

    family = family_making(families_of(model, shape), "layer1.1.conv1.weight")

    assert names(family.read_by) == {"layer1.1.conv2.weight"}
    assert names(family.made_by) == {
        "layer1.1.conv1.weight",
        *(f"layer1.1.bn1.{entry}" for entry in ("weight", "bias", "running_mean", "running_var")),
    }


def test_a_depthwise_filter_belongs_to_its_channel():
    """It reads one map and makes one map, so it is neither row nor column alone."""
    model, shape = network("mobilenet_v2")

    family = family_making(families_of(model, shape), "features.3.conv.0.0.weight")

    assert "features.3.conv.1.0.weight" in names(family.made_by)
    assert names(family.read_by) == {"features.3.conv.2.weight"}


def test_a_flattened_map_owns_a_column_per_pixel():
    """The first linear layer of Conv-2 reads 2 × 2 pixels of each of 64 maps."""
    model, shape = network("conv2")

    (part,) = family_making(families_of(model, shape), "conv2.weight").read_by

    assert part.name == "fc1.weight"
    assert torch.equal(part.places, torch.arange(64 * 4).reshape(64, 4))


def test_what_touches_a_frozen_weight_stays():
    """An excluded layer loses neither rows nor columns."""
    model, shape = network("lenet_300_100")

    (family,) = families_of(model, shape, frozen=["fc3.weight"])

    assert family.root == "fc1"


def test_the_model_is_left_as_it_was():
    """torch-pruning puts the model into evaluation mode."""
    model, shape = network("resnet20")
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}

    families_of(model, shape)

    assert all(module.training for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_grouped_convolutions_that_are_not_depthwise_are_refused():
    """A group of several channels cannot lose one of them."""
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.Conv2d(8, 8, 3, groups=4),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 2),
    )

    with pytest.raises(PruningError, match="depthwise"):
        families_of(model, (3, 8, 8))


def test_missing_torch_pruning_is_named(monkeypatch):
    """It is a dependency that an installation without dependencies lacks."""
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    model, shape = network("lenet_300_100")

    with pytest.raises(PruningError, match="pip install torch-pruning"):
        families_of(model, shape)


def test_networks_that_read_texts_are_refused():
    """Their filters are no feature maps that another layer reads."""
    model, _ = network("lenet_300_100")

    with pytest.raises(PruningError, match="reads texts"):
        families_of(model, TextShape(length=8, vocabulary=20))
