"""Standings along an axis: the laws of the statistics, and the dividing lines that words leave open."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from lthsweep.reduce.decision import PairedDifference, holm
from lthsweep.reduce.ranking import SeedScores, pairs_tested, rank_values

accuracies = st.integers(0, 1000).map(lambda count: count / 1000)
probabilities = st.floats(0, 1)


def paired_p(differences):
    return PairedDifference.of(differences, 0.95).p


def scores(**by_value):
    return [SeedScores(name, dict(enumerate(values))) for name, values in by_value.items()]


def standings(*points, **settings):
    return rank_values(list(points), **{"confidence": 0.95, "margin": 0.01, **settings})


def verdicts(rows):
    return {row.value: row.verdict for row in rows}


@st.composite
def a_point(draw):
    """Up to five values over the same few seeds."""
    n = draw(st.integers(1, 5))
    values = draw(st.lists(st.lists(accuracies, min_size=n, max_size=n), min_size=1, max_size=5))
    return [SeedScores(f"v{i}", dict(enumerate(found))) for i, found in enumerate(values)]


def test_the_p_value_equals_a_paired_t_test():
    """Compared with scipy's, which takes much longer to import."""
    a, b = [0.91, 0.93, 0.90, 0.94], [0.90, 0.90, 0.89, 0.90]

    ours = paired_p([x - y for x, y in zip(a, b, strict=True)])

    assert ours == pytest.approx(ttest_rel(a, b).pvalue, rel=1e-12)


def test_without_spread_the_sign_test_is_used():
    """Differences of counts of images can agree exactly; a t-test would treat that as certainty."""
    assert math.isnan(paired_p([0.1]))
    assert paired_p([0.0, 0.0]) == 1
    assert paired_p([0.01] * 3) == 0.25
    assert paired_p([-0.01] * 10) == 2**-9


def test_holm_is_as_in_a_worked_example():
    """Four tests: the smallest times 4, the next times 3, and never below the one before."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(probabilities, max_size=12))
def test_holm_raises_p_values_and_keeps_order(p_values):
    """The result is between no correction and Bonferroni's."""
    adjusted = holm(p_values)

    for p, fixed in zip(p_values, adjusted, strict=True):
        assert p <= fixed <= min(1.0, p * len(p_values)) + 1e-15
    by_p = [fixed for _, fixed in sorted(zip(p_values, adjusted, strict=True))]
    assert by_p == sorted(by_p)


def test_impossible_tests_do_not_count():
    assert holm([0.02, math.nan, 0.04])[0] == pytest.approx(0.04)
    assert math.isnan(holm([0.02, math.nan])[1])


@given(st.lists(a_point(), min_size=1, max_size=3), st.randoms(use_true_random=False))
def test_order_of_values_and_seeds_does_not_matter(points, random):
    """Only values with equal means, which have no order, can swap places."""

    def shuffled(point):
        return [
            SeedScores(one.value, dict(random.sample(list(one.by_seed.items()), len(one.by_seed))))
            for one in random.sample(point, len(point))
        ]

    def shown(rows):
        return sorted((row.value, row.n, row.mean) for row in rows)

    before, after = standings(*points), standings(*map(shuffled, points))

    assert [shown(rows) for rows in before] == [shown(rows) for rows in after]
    for rows, others in zip(before, after, strict=True):
        if len({row.mean for row in rows}) == len(rows):
            assert verdicts(rows) == verdicts(others)


@given(a_point())
def test_reversing_the_metric_changes_no_verdict(point):
    """Errors instead of accuracies, lower is better: the same standings."""
    errors = [SeedScores(one.value, {seed: -value for seed, value in one.by_seed.items()}) for one in point]

    up, down = standings(point)[0], standings(errors, higher_is_better=False)[0]

    assert [(row.value, row.verdict) for row in up] == [(row.value, row.verdict) for row in down]
    assert [row.difference for row in up] == [-row.difference for row in down]


@given(st.lists(a_point(), min_size=1, max_size=3))
def test_more_points_never_make_a_difference_more_certain(points):
    """The tests at all points include those of each point."""
    whole = standings(*points)
    apart = [standings(point)[0] for point in points]

    for rows, alone in zip(whole, apart, strict=True):
        for row, other in zip(rows, alone, strict=True):
            assert math.isnan(row.p_holm) or row.p <= other.p_holm <= row.p_holm


@given(a_point())
def test_a_best_value_makes_all_others_worse(point):
    rows = standings(point)[0]

    found = [row.verdict for row in rows]
    assert found.count("best") == (len(rows) > 1 and found[1:].count("worse") == len(rows) - 1)
    assert "best" not in found[1:]


@given(a_point())
def test_the_first_has_the_highest_mean(point):
    rows = standings(point)[0]

    means = [statistics.fmean(one.by_seed.values()) for one in point]
    assert rows[0].mean == pytest.approx(max(means))
    assert [row.rank for row in rows] == list(range(1, len(rows) + 1))


def test_five_seeds_decide_worse_and_equal():
    point = scores(
        good=[0.970, 0.972, 0.969, 0.971, 0.970],
        near=[0.969, 0.970, 0.970, 0.970, 0.969],
        bad=[0.930, 0.933, 0.929, 0.931, 0.929],
    )

    rows = standings(point)[0]

    assert verdicts(rows) == {"good": "equal", "near": "equal", "bad": "worse"}
    assert rows[2].difference == pytest.approx(-0.04)
    assert rows[2].ci_low < -0.04 < rows[2].ci_high < 0


def test_best_requires_all_others_to_be_worse():
    point = scores(good=[0.97, 0.972, 0.969], bad=[0.93, 0.933, 0.93])

    assert verdicts(standings(point)[0]) == {"good": "best", "bad": "worse"}


def test_three_noisy_seeds_decide_nothing():
    """Four points apart, but so are the seeds."""
    point = scores(a=[0.90, 0.97, 0.93], b=[0.93, 0.86, 0.89])

    rows = standings(point)[0]

    assert verdicts(rows) == {"a": "undecided", "b": "undecided"}
    assert rows[1].n == 3


def test_one_seed_has_no_test():
    points = standings(scores(a=[0.99], b=[0.1]))
    rows = points[0]

    assert verdicts(rows) == {"a": "undecided", "b": "undecided"}
    assert math.isnan(rows[1].p)
    assert pairs_tested(points) == 0


def test_two_seeds_that_agree_by_coincidence_are_undecided():
    """As for the verdict on a ticket: no claim rests on two equal differences."""
    assert verdicts(standings(scores(a=[0.97, 0.96], b=[0.97, 0.96]))[0])["b"] == "undecided"
    assert verdicts(standings(scores(a=[0.97, 0.96, 0.95], b=[0.97, 0.96, 0.95]))[0])["b"] == "equal"


def test_only_seeds_that_all_have_are_compared():
    """A value that lacks the hard seed must not look better for it."""
    point = [
        SeedScores("whole", {0: 0.97, 1: 0.97, 2: 0.50}),
        SeedScores("lacking", {0: 0.96, 1: 0.96}),
    ]

    rows = standings(point)[0]

    assert [(row.value, row.n, row.mean) for row in rows] == [("whole", 2, 0.97), ("lacking", 2, 0.96)]


def test_a_missing_value_prevents_a_best_value():
    point = [*scores(good=[0.97, 0.972, 0.969], bad=[0.93, 0.933, 0.93]), SeedScores("late", {})]

    assert verdicts(standings(point)[0]) == {"good": "undecided", "bad": "worse", "late": "missing"}


def test_a_diverged_value_is_worse():
    """Its other seeds do not compensate, and its lost seed does not affect other values."""
    point = [
        *scores(good=[0.97, 0.972, 0.969], bad=[0.93, 0.933, 0.93]),
        SeedScores("wild", {0: 0.99, 1: 0.99}, diverged=1),
    ]

    rows = standings(point)[0]

    assert verdicts(rows) == {"good": "best", "bad": "worse", "wild": "worse"}
    assert [row.n for row in rows] == [3, 3, 0]
    assert rows[2].n_diverged == 1


def test_no_result_at_all_is_missing():
    assert verdicts(standings([SeedScores("a", {}), SeedScores("b", {})])[0]) == {
        "a": "missing",
        "b": "missing",
    }


@pytest.mark.slow
def test_noise_is_worse_within_the_error_rate():
    """Six equal values at four points, five seeds: any `worse` in fewer than about one table in twenty.

    The seed is fixed; with 400 tables, 5 % expected, 8.5 % is more than three standard errors above.
    """
    random = np.random.default_rng(5)
    wrong = 0
    for _ in range(400):
        common = random.normal(0, 0.02, (4, 1, 5))
        table = 0.9 + common + random.normal(0, 0.01, (4, 6, 5))
        points = [[SeedScores(i, dict(enumerate(row))) for i, row in enumerate(point)] for point in table]
        found = standings(*points)
        wrong += any(row.verdict == "worse" for rows in found for row in rows)

    assert wrong / 400 < 0.085
