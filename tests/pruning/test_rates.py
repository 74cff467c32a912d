"""Layers with a rate of their own lose that share of what the others lose."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lthsweep.errors import PruningError
from lthsweep.pruning.audit import audit
from lthsweep.pruning.make import make_mask
from lthsweep.pruning.rates import kept_by_rates

LENET = {"fc1.weight": 235_200, "fc2.weight": 30_000, "fc3.weight": 1_000}
HALF = (("fc3", 0.5),)


def levels(count: int, rate: float = 0.2) -> list[float]:
    return [round(1 - (1 - rate) ** level, 12) for level in range(1, count + 1)]


def test_the_output_layer_of_the_paper_keeps_ninety_percent_at_every_level():
    """Frankle & Carbin 2019, figure 2: 20 % per level, 10 % of the output layer."""
    left, kept = LENET, []
    for sparsity in levels(6):
        left = kept_by_rates(LENET, left, sparsity, HALF)
        kept.append(left["fc3.weight"])

    assert kept == [900, 810, 729, 656, 590, 531]
    assert left["fc1.weight"] == round(235_200 * 0.8**6)


def test_one_shot_takes_the_share_at_once():
    assert kept_by_rates(LENET, LENET, 0.8, HALF) == {
        "fc1.weight": 47_040,
        "fc2.weight": 6_000,
        "fc3.weight": 600,
    }


@given(
    sizes=st.lists(st.integers(1, 10_000), min_size=2, max_size=5),
    rate=st.floats(0.01, 1),
    sparsities=st.lists(st.floats(0, 0.999), min_size=1, max_size=5).map(sorted),
)
def test_a_slow_layer_keeps_more_and_never_gets_weights_back(sizes, rate, sparsities):
    """Along a chain counts only fall, no layer is emptied, and the slow layer keeps at least its share."""
    names = {f"layer{index}": size for index, size in enumerate(sizes)}
    left = dict(names)
    for sparsity in sparsities:
        now = kept_by_rates(names, left, sparsity, (("layer0", rate),))
        others = [name for name in names if name != "layer0"]
        fall = sum(now[name] for name in others) / sum(left[name] for name in others)
        assert all(1 <= now[name] <= left[name] for name in names)
        assert now["layer0"] >= left["layer0"] * fall - 1
        left = now


def test_a_rate_of_one_is_the_same_as_none():
    assert kept_by_rates(LENET, LENET, 0.37, (("fc2", 1.0),)) == kept_by_rates(LENET, LENET, 0.37, ())


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        ((("fc4", 0.5),), "matches no layer"),
        ((("fc*", 0.5),), "names every layer"),
        ((("fc3", 0.5), ("fc?", 0.2)), "two patterns match 'fc3.weight'"),
    ],
)
def test_patterns_that_fit_no_network_are_refused(rates, message):
    with pytest.raises(PruningError, match=message):
        kept_by_rates(LENET, LENET, 0.5, rates)


def test_masks_keep_the_largest_of_each_layer_and_pass_the_audit():
    torch.manual_seed(0)
    weights = {"fc1.weight": torch.randn(40, 30), "fc3.weight": torch.randn(10, 10)}
    first = make_mask(weights, None, method="magnitude", scope="layer", sparsity=0.2, rates=HALF, seed=0)
    second = make_mask(weights, first, method="magnitude", scope="layer", sparsity=0.36, rates=HALF, seed=0)

    assert {name: int(mask.sum()) for name, mask in second.items()} == {"fc1.weight": 768, "fc3.weight": 81}
    pruned = {name: weight * second[name] for name, weight in weights.items()}
    assert (
        pruned["fc3.weight"].abs()[second["fc3.weight"]].min()
        >= weights["fc3.weight"].abs()[~second["fc3.weight"]].max()
    )
    known = {"snapshot": pruned, "start": pruned, "final": pruned, "momenta": {}, "sparsity": 0.36}
    left = {name: int(mask.sum()) for name, mask in first.items()}
    assert audit(second, **known, scope="layer", rates=HALF, left=left).ok
    assert not audit(second, **known, scope="layer").ok
