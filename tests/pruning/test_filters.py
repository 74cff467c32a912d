"""Filter pruning removes the weakest whole filters, as near to the sparsity as possible."""

from __future__ import annotations

import copy
import functools
import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lthsweep.errors import PruningError, UnknownNameError
from lthsweep.pruning.channels import all_kept, kept_in
from lthsweep.pruning.counts import kept_count
from lthsweep.pruning.coupling import families_of
from lthsweep.pruning.criteria.filter import filter_norms
from lthsweep.pruning.filters import largest_filter
from lthsweep.pruning.make import make_masks
from lthsweep.pruning.masks import dense_masks
from lthsweep.pruning.prunable import prunable_weights
from lthsweep.pruning.scoring import ScoringContext
from tests.pruning.networks import network

LAWS = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
NAMES = ["lenet_300_100", "conv2", "resnet20", "mobilenet_v2"]
SCOPES = ["global", "layer"]


@functools.cache
def coupled(name):
    model, shape = network(name)
    return dict(model.named_parameters()), prunable_weights(model), families_of(model, shape)


@functools.cache
def context(name):
    model, shape = network(name)
    found = ScoringContext(prunable_weights(model), network=model, input_shape=shape)
    assert found.families  # cached: reading them off the network takes most of the time
    return found


def masks_of(name, sparsity, scope="global", before=None):
    found = context(name)
    if before is not None:
        found = copy.copy(found)
        found.masks = before
    return make_masks("filter", found, scope=scope, sparsity=sparsity)


def kept_total(masks):
    return sum(int(mask.sum()) for mask in masks.values())


@pytest.mark.slow
@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("name", NAMES)
@given(sparsity=st.floats(0, 0.95))
@LAWS
def test_the_nearest_share_of_filters_is_removed(name, scope, sparsity):
    """Off by at most half of the largest filter, and made of whole filters with everything coupled to them."""
    _, weights, families = coupled(name)

    masks = masks_of(name, sparsity, scope)

    asked = kept_count(sum(weight.numel() for weight in weights.values()), sparsity)
    assert abs(kept_total(masks) - asked) <= largest_filter(families, weights) / 2
    assert all(alive.any() for alive in kept_in(families, masks))


@pytest.mark.slow
@pytest.mark.parametrize("scope", SCOPES)
@given(two=st.tuples(st.floats(0, 0.9), st.floats(0, 0.9)))
@LAWS
def test_sparser_tickets_lie_inside_denser_ones(scope, two):
    """Filters go in one order, so a chain of levels on the same weights is one-shot pruning."""
    low, high = sorted(two)

    dense, sparse = masks_of("resnet20", low, scope), masks_of("resnet20", high, scope)
    chained = masks_of("resnet20", high, scope, before=dense)

    assert all(not bool((sparse[name] & ~dense[name]).any()) for name in dense)
    if scope == "layer":
        assert all(torch.equal(chained[name], sparse[name]) for name in dense)
    assert all(not bool((chained[name] & ~dense[name]).any()) for name in dense)


def test_filters_at_zero_go_first_wherever_they_are():
    """The group lasso creates such filters: without them the network computes the same."""
    model, shape = network("resnet20")
    state, weights, families = (
        dict(model.named_parameters()),
        prunable_weights(model),
        context("resnet20").families,
    )
    dead = {0: [3, 7], 5: [0, 20], 11: [60]}
    for index, channels in dead.items():
        for part in families[index].made_by:
            if part.name in state:
                state[part.name].data[channels] = 0
    without_dead = dense_masks(weights)
    for index, channels in dead.items():
        for part in families[index].parts:
            if part.name in without_dead:
                without_dead[part.name].index_fill_(part.dim, torch.tensor(channels), False)
    total = sum(weight.numel() for weight in weights.values())

    masks = make_masks(
        "filter",
        ScoringContext(weights, network=model, input_shape=shape),
        scope="global",
        sparsity=1 - kept_total(without_dead) / total,
    )

    assert all(torch.equal(masks[name], without_dead[name]) for name in weights)


def test_norm_covers_everything_that_makes_a_map():
    """Rows of every coupled layer, biases, scale and shift; no column that reads the map."""
    state, _, families = coupled("lenet_300_100")

    first, _ = filter_norms(state, {}, families, all_kept(families))

    group = torch.cat([state["fc1.weight"][17], state["fc1.bias"][17:18]]).double()
    assert first[17].item() == pytest.approx((group.norm() / math.sqrt(len(group))).item())


def test_scope_layer_removes_equal_shares_of_families():
    """To within one filter."""
    _, _, families = coupled("resnet20")

    kept = kept_in(families, masks_of("resnet20", 0.6, "layer"))

    shares = [float(alive.float().mean()) for alive in kept]
    assert max(shares) - min(shares) <= 1 / min(family.width for family in families)


def test_layers_of_small_weights_are_not_emptied_first():
    """A wide layer starts with smaller weights, which does not make its filters weaker."""
    _, _, families = coupled("resnet20")

    kept = kept_in(families, masks_of("resnet20", 0.5))

    assert min(float(alive.float().mean()) for alive in kept) > 0.3


@pytest.mark.parametrize("scope", SCOPES)
def test_refused_sparsity_names_the_highest_possible(scope):
    """One filter of each layer stays, so there is a highest sparsity."""
    with pytest.raises(PruningError, match=r"a sparsity up to 0\.99") as caught:
        masks_of("lenet_300_100", 0.9999, scope)

    highest = float(str(caught.value).rpartition("up to ")[2])
    assert kept_total(masks_of("lenet_300_100", highest, scope)) == 64 + 1 + 10


def test_an_excluded_layer_keeps_its_shape():
    """Neither its filters go nor the maps that it reads."""
    model, shape = network("resnet20")
    weights = prunable_weights(model, ["layer1.1.conv2"])

    masks = make_masks(
        "filter",
        ScoringContext(weights, network=model, input_shape=shape),
        scope="global",
        sparsity=0.5,
    )

    assert "layer1.1.conv2.weight" not in masks
    assert masks["layer1.1.conv1.weight"].all()


def test_a_weight_that_is_no_number_is_refused():
    """It has no rank."""
    model, shape = network("lenet_300_100")
    model.fc1.bias.data.fill_(math.nan)
    spoiled = ScoringContext(prunable_weights(model), network=model, input_shape=shape)

    with pytest.raises(PruningError, match="NaN"):
        make_masks("filter", spoiled, scope="global", sparsity=0.5)


def test_an_unknown_scope_is_refused():
    """With the scopes that there are."""
    with pytest.raises(UnknownNameError, match="global, layer"):
        masks_of("lenet_300_100", 0.5, "model")
