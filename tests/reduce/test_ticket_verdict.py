from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lthsweep.reduce.decision import PairedDifference, Verdict
from lthsweep.reduce.run_result import ResultState
from lthsweep.reduce.ticket_verdict import SeedPair, summarize_point

DENSE_DIVERGED = SeedPair(ResultState.DIVERGED, dense_diverged=True)
DIVERGED, FAILED, MISSING = map(SeedPair, (ResultState.DIVERGED, ResultState.FAILED, ResultState.MISSING))


def done(*gaps, dense=0.9):
    """Pairs of one dense accuracy and tickets that differ from it by `gaps`."""
    return [SeedPair(ResultState.DONE, dense, dense + gap) for gap in gaps]


def verdict(pairs, margin=0.002, **options):
    return summarize_point(pairs, margin=margin, confidence=0.95, **options).verdict


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
@pytest.mark.parametrize("values", [(0.1, 0.3), (0.91, 0.92, 0.94), (-0.01, 0.0, 0.01, 0.05, 0.02)])
def test_interval_is_students(values, confidence):
    """The interval is the one that scipy gives for the mean of a small sample."""
    low, high = stats.t.interval(confidence, len(values) - 1, stats.tmean(values), stats.sem(values))

    interval = PairedDifference.of(values, confidence)

    assert interval.mean == pytest.approx(stats.tmean(values), abs=1e-15)
    assert interval.sd == pytest.approx(stats.tstd(values), abs=1e-15)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-12)


def test_interval_of_three_seeds_by_hand():
    """Mean 0.002, sd 0.001, t(2, 97.5 %) = 4.30265: half width 0.00248414."""
    interval = PairedDifference.of([0.001, 0.002, 0.003], 0.95)

    assert interval.low == pytest.approx(0.002 - 0.0024841377, abs=1e-9)
    assert interval.high == pytest.approx(0.002 + 0.0024841377, abs=1e-9)


def test_one_value_has_a_mean_and_nothing_else():
    """One seed has no spread."""
    interval = PairedDifference.of([0.5], 0.95)

    assert interval.mean == 0.5
    assert all(map(math.isnan, (interval.sd, interval.low, interval.high, interval.p)))


@pytest.mark.parametrize(
    ("gaps", "expected"),
    [
        ((0.010, 0.011, 0.012), "matching"),  # [0.0085, 0.0135]
        ((0.001, 0.002, 0.003), "matching"),  # low end −0.00048
        ((-0.001, 0.000, 0.001), "undecided"),  # [−0.0025, 0.0025]: the margin lies inside
        ((-0.010, -0.011, -0.012), "not matching"),  # [−0.0135, −0.0085]
        ((-0.003, -0.004, -0.005), "undecided"),  # high end −0.0015
        ((-0.005, -0.006, -0.007), "not matching"),  # high end −0.0035
        ((0.01, -0.01), "undecided"),
        ((0.02,), "undecided"),  # one seed never decides
        ((-0.5,), "undecided"),
        ((-0.5, -0.5), "not matching"),  # width zero is taken at its word
        ((0.0, 0.0), "undecided"),  # but two seeds that agree exactly are no evidence of a match
        ((0.0, 0.0, 0.0), "matching"),
        ((-0.002, -0.002, -0.002), "matching"),  # exactly the margin is within it
        ((-0.0021, -0.0021), "not matching"),
    ],
)
def test_verdict_by_hand(gaps, expected):
    """The interval of the differences decides against the margin, at 95 % and a margin of 0.2 points."""
    assert verdict(done(*gaps)) == expected


def test_a_difference_equal_to_the_margin_matches():
    """0.966 − 0.968 is below −0.002 in binary; accuracies are decimal fractions of a test set."""
    assert 0.966 - 0.968 < -0.002

    assert verdict([SeedPair(ResultState.DONE, 0.968, 0.966)] * 3) == "matching"


def test_seeds_are_paired():
    """Seeds that differ by 10 points do not hide a ticket that is 1 point better on each of them."""
    pairs = [SeedPair(ResultState.DONE, *both) for both in ((0.70, 0.7100), (0.80, 0.8101), (0.90, 0.9099))]

    assert verdict(pairs) == "matching"


def test_matching_at_initialization_wins():
    """A winning ticket is a matching ticket with k = 0."""
    assert verdict(done(0.01, 0.011), success=Verdict.WINNING) == "winning"
    assert verdict(done(-0.1, -0.11), success=Verdict.WINNING) == "not matching"
    assert verdict(done(0.01), success=Verdict.WINNING) == "undecided"


def test_a_diverged_ticket_never_matches():
    """Divergence is a result: no accuracy of other seeds makes up for it, and more seeds cannot change it."""
    assert verdict([*done(0.1, 0.1, 0.1), DIVERGED]) == "not matching"
    assert verdict([DIVERGED]) == "not matching"


def test_a_diverged_dense_run_has_no_comparison():
    """A ticket is not worse for a dense run that failed to learn, nor better."""
    assert verdict([*done(0.1, 0.1), DENSE_DIVERGED]) == "undecided"
    assert verdict([DENSE_DIVERGED, DIVERGED]) == "not matching"


def test_failed_and_missing_need_all_seeds_without_result():
    """Failures are not results; if another seed has a result, the counts include them."""
    assert verdict([FAILED, MISSING]) == "failed"
    assert verdict([MISSING, MISSING]) == "missing"
    assert verdict([*done(0.01, 0.011), FAILED, MISSING]) == "matching"


def test_the_dense_run_matches_itself_and_never_wins():
    """Sparsity 0 is the dense network: comparing it with itself is no statistic, also with one seed."""
    assert verdict(done(0.0), is_dense=True) == "matching"
    assert verdict([MISSING], is_dense=True) == "missing"


PAIRS = st.lists(
    st.one_of(
        st.builds(SeedPair, st.just(ResultState.DONE), st.floats(0, 1), st.floats(0, 1)),
        st.sampled_from(
            [
                DIVERGED,
                DENSE_DIVERGED,
                FAILED,
                MISSING,
            ]
        ),
    ),
    min_size=1,
    max_size=6,
)


@given(PAIRS, st.floats(0, 0.1), st.randoms())
def test_order_of_seeds_changes_nothing(pairs, margin, random):
    """Records are read in any order; the table must not show it."""
    shuffled = list(pairs)
    random.shuffle(shuffled)

    one, other = (summarize_point(some, margin=margin, confidence=0.95) for some in (pairs, shuffled))

    assert repr(one) == repr(other)  # NaN equals NaN in writing


@given(PAIRS)
def test_every_planned_seed_is_counted_once(pairs):
    """Nothing is silently absent: the counts add up to the planned number."""
    result = summarize_point(pairs, margin=0.002, confidence=0.95)

    assert result.n + result.n_failed + result.n_missing + result.n_diverged == result.n_planned == len(pairs)
    assert result.verdict in set(Verdict) - {Verdict.BEST, Verdict.BETTER, Verdict.EQUAL, Verdict.WORSE}


@given(PAIRS, st.floats(0, 0.1), st.floats(0, 0.1))
def test_a_larger_margin_never_loses_a_match(pairs, margin, more):
    """A ticket can lose the margin and still match."""
    if verdict(pairs, margin) == "matching":
        assert verdict(pairs, margin + more) == "matching"
