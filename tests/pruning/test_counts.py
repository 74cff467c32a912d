"""Counts are exact; layers with a rate lose that share of the others' loss."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lthsweep.errors import PruningError
from lthsweep.pruning.audit import audit
from lthsweep.pruning.counts import kept_by_rates, kept_count, matches
from lthsweep.pruning.make import make_masks
from lthsweep.pruning.scoring import ScoringContext

LENET = {"fc1.weight": 235_200, "fc2.weight": 30_000, "fc3.weight": 1_000}
HALF = (("fc3", 0.5),)


def levels(count: int, rate: float = 0.2) -> list[float]:
    return [round(1 - (1 - rate) ** level, 12) for level in range(1, count + 1)]


@pytest.mark.parametrize(
    ("total", "sparsity", "kept"),
    [
        (10, 0, 10),
        (10, 0.7, 3),
        (5, 0.7, 1),  # 3.5 removed rounds to 4; in binary, 0.7 is below 7/10 and 3 would go
        (5, 0.5, 3),  # 2.5 removed rounds to 2
        (7, 0.5, 3),  # 3.5 removed rounds to 4
        (3, 0.999, 1),  # never nothing
        (1, 0.5, 1),
        (2_202_560, 0.9, 220_256),
        (1_000_000, 1e-06, 999_999),
        (266_200, 1 - 0.8**3, 136_294),
    ],
)
def test_kept_count_is_exact(total, sparsity, kept):
    """A sparsity is a share of all weights, read as it is written, halves to even."""
    assert kept_count(total, sparsity) == kept


@pytest.mark.parametrize("sparsity", [1.0, 1.5, -0.1, float("nan"), float("inf")])
def test_sparsity_outside_zero_to_one_is_refused(sparsity):
    """1 removes all weights."""
    with pytest.raises(PruningError, match=r"not in \[0, 1\)"):
        kept_count(10, sparsity)


def test_no_weights_cannot_be_pruned():
    """Everything was excluded."""
    with pytest.raises(PruningError, match="0 weights"):
        kept_count(0, 0.5)


@given(
    st.integers(1, 10**7),
    st.sampled_from([0.0, 0.2, 0.5, 0.7, 0.9, 0.999]) | st.floats(0, 1, exclude_max=True),
)
def test_kept_count_rounds_the_decimal_half_to_even(total, sparsity):
    """0.7 means 7/10, not the nearest binary number."""
    exact = Fraction(str(sparsity)) * total
    floor = exact.numerator // exact.denominator
    rest = exact - floor
    removed = floor + (rest > Fraction(1, 2) or (rest == Fraction(1, 2) and floor % 2 == 1))

    assert kept_count(total, sparsity) == max(1, total - removed)


@pytest.mark.parametrize(
    ("pattern", "matching"),
    [
        ("fc3", ["fc3.weight"]),
        ("features.*", ["features.0.0.weight", "features.10.weight"]),
        ("features.1", []),
    ],
)
def test_patterns_match_layers_and_their_modules(pattern, matching):
    """`features.1` is not `features.10`."""
    names = ["fc3.weight", "features.0.0.weight", "features.10.weight"]

    assert [name for name in names if matches(pattern, name)] == matching


def test_output_layer_of_the_paper_loses_ten_percent():
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
def test_a_slow_layer_keeps_more_and_only_loses(sizes, rate, sparsities):
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


def test_a_rate_of_one_changes_nothing():
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


def test_masks_by_rates_pass_the_audit():
    torch.manual_seed(0)
    weights = {"fc1.weight": torch.randn(40, 30), "fc3.weight": torch.randn(10, 10)}
    options = {"scope": "layer", "rates": HALF}
    first = make_masks("magnitude", ScoringContext(weights), sparsity=0.2, **options)
    second = make_masks("magnitude", ScoringContext(weights, first), sparsity=0.36, **options)

    assert {name: int(mask.sum()) for name, mask in second.items()} == {"fc1.weight": 768, "fc3.weight": 81}
    pruned = {name: weight * second[name] for name, weight in weights.items()}
    assert (
        pruned["fc3.weight"].abs()[second["fc3.weight"]].min()
        >= weights["fc3.weight"].abs()[~second["fc3.weight"]].max()
    )
    known = {"snapshot": pruned, "start": pruned, "final": pruned, "momenta": {}, "sparsity": 0.36}
    left = {name: int(mask.sum()) for name, mask in first.items()}
    assert audit(second, **known, scope="layer", rates=HALF, kept_before=left).ok
    assert not audit(second, **known, scope="layer").ok
