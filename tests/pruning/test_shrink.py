"""The small network: the same outputs, fewer weights, and back to full shape."""

from __future__ import annotations

import functools

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lthsweep.errors import PruningError
from lthsweep.models.macs import network_cost
from lthsweep.pruning.channels import all_kept, cut, expanded, kept_in, masks_of_kept
from lthsweep.pruning.coupling import families_of
from lthsweep.pruning.masks import dense_masks
from lthsweep.pruning.prunable import prunable_weights
from lthsweep.pruning.shrink import shrink, without
from tests.pruning.networks import NETWORKS, network


@functools.cache
def coupled(name):
    model, shape = network(name)
    return model, shape, families_of(model, shape)


def some_kept(families, seed, share=0.5):
    """A random choice of channels, at least one of each family."""
    generator = torch.Generator().manual_seed(seed)
    kept = [torch.rand(family.width, generator=generator) < share for family in families]
    for alive in kept:
        alive[int(torch.randint(len(alive), (1,), generator=generator))] = True
    return tuple(kept)


def in_full_shape(name, small, families, kept):
    """A network of full shape with the small one's weights, zeros elsewhere."""
    full, _ = network(name, seed=1)
    shapes = {entry: tuple(value.shape) for entry, value in full.state_dict().items()}
    full.load_state_dict(expanded(small.state_dict(), shapes, families, kept))
    return full


@pytest.mark.parametrize("share", [0.5, 0.0])
@pytest.mark.parametrize("name", NETWORKS)
def test_shrunk_and_masked_networks_have_equal_outputs(name, share):
    """Also where one channel of each layer is left. All that is gone was zero."""
    model, shape, families = coupled(name)
    kept = some_kept(families, 1, share)
    masks = masks_of_kept(families, kept, prunable_weights(model))
    images = torch.randn(3, *shape, generator=torch.Generator().manual_seed(2))

    small = shrink(model, masks, shape)
    full = in_full_shape(name, small, families, kept)

    with torch.no_grad():
        torch.testing.assert_close(small(images), full(images), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_masks_count_the_parameters_of_the_small_network(name):
    """Weights and multiply-accumulates: the table's numbers of a mask are those of the network that is run."""
    model, shape, families = coupled(name)
    masks = masks_of_kept(families, some_kept(families, 3), prunable_weights(model))

    masked, small = network_cost(model, shape, masks), network_cost(shrink(model, masks, shape), shape)

    assert small.params_prunable == masked.params_remaining
    assert small.macs_dense == masked.macs_remaining
    assert small.params_total < masked.params_total


@pytest.mark.slow
@given(seed=st.integers(0, 2**31), share=st.floats(0, 1))
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.parametrize("name", ["conv2", "resnet20", "mobilenet_v2"])
def test_expanding_undoes_cutting(name, seed, share):
    """Records hold masks only, so these must say everything."""
    model, _, families = coupled(name)
    kept = some_kept(families, seed, share)
    masks = masks_of_kept(families, kept, prunable_weights(model))
    state = model.state_dict()
    shapes = {entry: tuple(value.shape) for entry, value in state.items()}

    again = kept_in(families, masks)
    small = cut(state, families, kept)
    wide = expanded(small, shapes, families, kept)

    assert all(map(torch.equal, again, kept))
    for entry, mask in masks.items():
        assert torch.equal(wide[entry], torch.where(mask, state[entry], 0.0))
    for entry, value in cut(wide, families, kept).items():
        assert torch.equal(value, small[entry])


def test_nothing_of_a_removed_channel_is_left():
    """Neither its bias nor its scale and shift: with them the map would not be zero."""
    model, shape, families = coupled("resnet20")
    kept = some_kept(families, 4)
    small = without(model, families, kept, shape)

    full = in_full_shape("resnet20", small, families, kept).state_dict()

    for family, alive in zip(families, kept, strict=True):
        for part in family.made_by:
            assert not full[part.name][~alive].any(), part.name


def test_masks_of_single_weights_are_refused():
    """They leave no smaller network."""
    model, shape, _ = coupled("lenet_300_100")
    masks = dense_masks(prunable_weights(model))
    masks["fc1.weight"][5, 7] = False

    with pytest.raises(PruningError, match="does not remove whole filters"):
        shrink(model, masks, shape)


def test_a_filter_without_its_coupled_layers_is_refused():
    """One branch of a sum cannot lose a channel that the other keeps."""
    model, shape, _ = coupled("resnet20")
    masks = dense_masks(prunable_weights(model))
    masks["layer1.0.conv2.weight"][3] = False

    with pytest.raises(PruningError, match="does not remove whole filters"):
        shrink(model, masks, shape)


def test_the_last_channel_of_a_layer_cannot_go():
    """The network would fall apart."""
    model, shape, families = coupled("lenet_300_100")
    none = torch.zeros(families[1].width, dtype=torch.bool)

    with pytest.raises(PruningError, match="would lose all 100 channels"):
        without(model, families, (all_kept(families)[0], none), shape)


def test_model_keeps_shape_and_copy_keeps_mode():
    """Shrinking makes a new network, which stays in training mode."""
    model, shape, families = coupled("conv2")
    before = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    model.train()
    try:
        small = without(model, families, some_kept(families, 5), shape)
    finally:
        model.eval()

    assert {name: tuple(value.shape) for name, value in model.state_dict().items()} == before
    assert all(module.training for module in small.modules())
