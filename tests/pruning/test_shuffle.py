"""A shuffled mask has the counts of the ticket at other positions."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from lthsweep.pruning.shuffle import shuffled

LAYER = st.lists(st.booleans(), min_size=1, max_size=30).map(torch.tensor)
MASKS = st.lists(LAYER, min_size=1, max_size=4).map(lambda layers: dict(zip("abcd", layers, strict=False)))
SEEDS = st.integers(0, 5)


def kept(masks):
    return sum(int(mask.sum()) for mask in masks.values())


@given(MASKS, SEEDS)
def test_every_layer_keeps_its_count(masks, seed):
    """Only the number of weights in each layer is the ticket's."""
    found = shuffled(masks, seed)

    assert list(found) == list(masks)
    assert [int(m.sum()) for m in found.values()] == [int(m.sum()) for m in masks.values()]
    assert [m.shape for m in found.values()] == [m.shape for m in masks.values()]


@given(MASKS, SEEDS)
def test_across_layers_only_the_total_stays(masks, seed):
    """The weaker control: not even the layers' shares are the ticket's."""
    found = shuffled(masks, seed, across_layers=True)

    assert kept(found) == kept(masks)
    assert [m.shape for m in found.values()] == [m.shape for m in masks.values()]


@given(MASKS, st.data(), SEEDS, st.booleans())
def test_nested_masks_stay_nested(masks, data, seed, across_layers):
    """The permutation does not depend on the mask, so masks of sparser controls are subsets of denser ones."""
    inner = {
        name: mask & torch.tensor(data.draw(st.lists(st.booleans(), min_size=len(mask), max_size=len(mask))))
        for name, mask in masks.items()
    }

    outer_found, inner_found = (shuffled(m, seed, across_layers=across_layers) for m in (masks, inner))

    assert all(not bool((inner_found[name] & ~outer_found[name]).any()) for name in masks)


def test_positions_are_uniform_and_seeded():
    """A block of survivors spreads over the whole layer; another seed spreads it otherwise."""
    masks = {"a": torch.arange(10_000) < 1000, "b": (torch.arange(10_000) < 1000).reshape(100, 100)}

    first, again, other = (shuffled(masks, seed) for seed in (0, 0, 1))

    assert all(torch.equal(first[name], again[name]) for name in masks)
    assert not torch.equal(first["a"], other["a"])
    assert not torch.equal(first["a"], first["b"].reshape(-1))
    assert 400 < int(first["a"][:5000].sum()) < 600
    assert 50 < int((first["a"] & masks["a"]).sum()) < 150


def test_across_layers_survivors_move_between_layers():
    """From a layer that kept all to one that kept nothing."""
    masks = {"full": torch.ones(1000, dtype=torch.bool), "empty": torch.zeros(1000, dtype=torch.bool)}

    found = shuffled(masks, 0, across_layers=True)

    assert 400 < int(found["empty"].sum()) < 600
