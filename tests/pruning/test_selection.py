"""Laws that every mask obeys, for any shapes, ties, methods and scopes, against a naive oracle."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn.utils import prune

from lthsweep.errors import PruningError
from lthsweep.pruning.counts import kept_count
from lthsweep.pruning.criteria.random import random_scores
from lthsweep.pruning.make import make_masks
from lthsweep.pruning.masks import check_masks, dense_masks
from lthsweep.pruning.scoring import ScoringContext
from lthsweep.pruning.selection import keep_globally, keep_highest

VALUES = {
    "ties": st.sampled_from([-2.0, -1.0, -0.0, 0.0, 1.0, 2.0]),
    "zeros": st.sampled_from([0.0, -0.0]),
    "any": st.floats(width=32, allow_nan=False),
}
SPARSITIES = st.one_of(st.sampled_from([0.0, 0.2, 0.5, 0.7, 0.9, 0.999]), st.floats(0, 1, exclude_max=True))
LAW = settings(deadline=None)  # the time of an example depends on the machine
METHODS = st.sampled_from(["magnitude", "random"])
SCOPES = st.sampled_from(["global", "layer"])


@st.composite
def nets(draw):
    """Weights of one to four layers, in any shapes and one of three kinds of ties."""
    shapes = draw(st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=4), min_size=1, max_size=4))
    value = VALUES[draw(st.sampled_from(sorted(VALUES)))]
    weights = {}
    for index, shape in enumerate(shapes):
        size = torch.Size(shape).numel()
        flat = draw(st.lists(value, min_size=size, max_size=size))
        weights[f"layer{index}.weight"] = torch.tensor(flat).reshape(shape)
    return weights


@st.composite
def pruned_nets(draw):
    """Weights and the masks of an earlier level, which keep at least one weight."""
    weights = draw(nets())
    masks = {
        name: torch.tensor(
            draw(st.lists(st.booleans(), min_size=weight.numel(), max_size=weight.numel()))
        ).reshape(weight.shape)
        for name, weight in weights.items()
    }
    assume(kept_total(masks) > 0)
    return weights, masks


def make(weights, masks=None, *, method="magnitude", scope="global", seed=0, **amount):
    return make_masks(method, ScoringContext(weights, masks, seed=seed), scope=scope, **amount)


def kept_total(masks):
    return sum(int(mask.sum()) for mask in masks.values())


def oracle(weights, masks, keep):
    """Sort every kept weight by (larger magnitude, lower place) and take the first `keep`."""
    places = [
        (-abs(value), layer, index)
        for layer, (name, weight) in enumerate(weights.items())
        for index, (value, kept) in enumerate(
            zip(weight.flatten().tolist(), masks[name].flatten().tolist(), strict=True)
        )
        if kept
    ]
    chosen = {place[1:] for place in sorted(places)[:keep]}
    return {
        name: torch.tensor([(layer, index) in chosen for index in range(weight.numel())]).reshape(
            weight.shape
        )
        for layer, (name, weight) in enumerate(weights.items())
    }


def equal(ours, theirs):
    return list(ours) == list(theirs) and all(torch.equal(ours[name], theirs[name]) for name in ours)


def inside(inner, outer):
    return all(not bool((inner[name] & ~outer[name]).any()) for name in outer)


@LAW
@given(pruned_nets(), st.data())
def test_global_mask_equals_the_oracle(net, data):
    """Exact count, larger magnitudes first, ties by layer order and then by index, nothing comes back."""
    weights, masks = net
    keep = data.draw(st.integers(0, kept_total(masks)))

    magnitudes = {name: weight.abs() for name, weight in weights.items()}

    assert equal(keep_globally(magnitudes, masks, keep), oracle(weights, masks, keep))


@LAW
@given(nets(), SPARSITIES)
def test_layer_mask_equals_the_oracle_per_layer(weights, sparsity):
    """Each layer is ranked alone and keeps its own exact count."""
    masks = make(weights, scope="layer", sparsity=sparsity)

    for name, weight in weights.items():
        alone = {name: weight}
        expected = oracle(alone, dense_masks(alone), kept_count(weight.numel(), sparsity))
        assert torch.equal(masks[name], expected[name])


@LAW
@given(st.data())
def test_scores_of_any_sign_are_ranked(data):
    """Minus infinity is a score like others, and a pruned weight never comes back."""
    values = data.draw(
        st.lists(st.sampled_from([-math.inf, -2.0, -0.0, 0.0, 1.0, math.inf]), min_size=1, max_size=12)
    )
    kept = data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values)))
    count = data.draw(st.integers(0, sum(kept)))

    found = keep_highest(torch.tensor(values), torch.tensor(kept), count, where="here")

    ranked = sorted((i for i, stays in enumerate(kept) if stays), key=lambda i: (-values[i], i))
    assert found.nonzero().flatten().tolist() == sorted(ranked[:count])


@LAW
@given(nets(), METHODS, SCOPES, SPARSITIES, st.integers(0, 3))
def test_exactly_the_asked_number_remains(weights, method, scope, sparsity, seed):
    """The sparsity of a level is exact for every method and scope, with any ties."""
    sizes = [weight.numel() for weight in weights.values()]
    asked = (
        kept_count(sum(sizes), sparsity)
        if scope == "global"
        else sum(kept_count(size, sparsity) for size in sizes)
    )

    masks = make(weights, method=method, scope=scope, sparsity=sparsity, seed=seed)

    check_masks(weights, masks)
    assert list(masks) == list(weights)
    assert kept_total(masks) == asked


@LAW
@given(nets(), nets(), METHODS, SCOPES, st.lists(SPARSITIES, min_size=2, max_size=3), st.integers(0, 3))
def test_masks_of_a_chain_are_nested_and_exact(weights, values, method, scope, sparsities, seed):
    """Pruned weights stay pruned even if they grew since; the share is of all weights, not of survivors."""
    pool = torch.cat([weight.flatten() for weight in values.values()])
    masks = dense_masks(weights)
    for level, sparsity in enumerate(sorted(sparsities)):
        before = masks
        masks = make(weights, before, method=method, scope=scope, sparsity=sparsity, seed=seed)

        direct = make(weights, method=method, scope=scope, sparsity=sparsity, seed=seed)
        assert inside(masks, before)
        assert kept_total(masks) == kept_total(direct)
        weights = {
            name: pool[(torch.arange(weight.numel()) + level) % pool.numel()].reshape(weight.shape)
            for name, weight in weights.items()
        }


@LAW
@given(nets(), METHODS, SCOPES, st.lists(SPARSITIES, min_size=2, max_size=2), st.integers(0, 3))
def test_one_shot_masks_are_nested(weights, method, scope, sparsities, seed):
    """A sparser ticket of the same dense run is a part of the denser one."""
    dense, sparse = (
        make(weights, method=method, scope=scope, sparsity=sparsity, seed=seed)
        for sparsity in sorted(sparsities)
    )

    assert inside(sparse, dense)


@LAW
@given(pruned_nets(), st.floats(0, width=32) | st.sampled_from([0.0, 1.0, 2.0]))
def test_threshold_removes_magnitudes_up_to_it(net, threshold):
    """abs(w) <= threshold is removed, also at equality, and pruned weights stay pruned."""
    weights, masks = net

    cut = make(weights, masks, threshold=threshold)

    for name, weight in weights.items():
        expected = [
            kept and abs(value) > threshold
            for value, kept in zip(weight.flatten().tolist(), masks[name].flatten().tolist(), strict=True)
        ]
        assert cut[name].flatten().tolist() == expected


@LAW
@given(pruned_nets(), METHODS, SCOPES, SPARSITIES)
def test_inputs_are_unchanged_and_share_no_memory(net, method, scope, sparsity):
    """A mask that aliases its parent's would be cut twice."""
    weights, masks = net
    before = {name: mask.clone() for name, mask in masks.items()}
    try:
        made = make(weights, masks, method=method, scope=scope, sparsity=sparsity, seed=0)
    except PruningError:
        return  # asked for more than is left; tested elsewhere

    for mask in made.values():
        mask.fill_(True)

    assert equal(masks, before)


@pytest.mark.parametrize("sparsity", [0.2, 0.5, 0.8, 0.95])
@pytest.mark.parametrize("seed", range(5))
def test_magnitude_masks_equal_those_of_torch(sparsity, seed):
    """Without ties, torch's own pruning is an independent implementation of both scopes."""
    generator = torch.Generator().manual_seed(seed)
    layers = {"conv": torch.nn.Conv2d(4, 10, 3), "depthwise": torch.nn.Conv2d(10, 10, 3, groups=10)}
    layers["fc"] = torch.nn.Linear(40, 25)
    for layer in layers.values():
        layer.weight.data.normal_(generator=generator)
    weights = {f"{name}.weight": layer.weight.detach().clone() for name, layer in layers.items()}
    ours_global = make(weights, method="magnitude", scope="global", sparsity=sparsity, seed=0)
    ours_layer = make(weights, method="magnitude", scope="layer", sparsity=sparsity, seed=0)

    for name, layer in layers.items():
        amount = layer.weight.numel() - kept_count(layer.weight.numel(), sparsity)
        prune.l1_unstructured(layer, "weight", amount=amount)
        assert torch.equal(layer.weight_mask.bool(), ours_layer[f"{name}.weight"])
        prune.remove(layer, "weight")
        layer.weight.data.copy_(weights[f"{name}.weight"])
    total = sum(weight.numel() for weight in weights.values())
    prune.global_unstructured(
        [(layer, "weight") for layer in layers.values()],
        pruning_method=prune.L1Unstructured,
        amount=total - kept_count(total, sparsity),
    )

    assert all(torch.equal(layers[n].weight_mask.bool(), ours_global[f"{n}.weight"]) for n in layers)


@LAW
@given(nets(), st.integers(0, 2**40))
def test_random_scores_depend_on_seed_and_place_alone(weights, seed):
    """A control must not depend on the weights."""
    others = {name: torch.full_like(weight, 7.0) for name, weight in weights.items()}

    scores, same = (random_scores(ScoringContext(given, seed=seed)) for given in (weights, others))

    assert equal(scores, same)
    assert all(bool((score >= 0).all()) for score in scores.values())
