"""The page defines every verdict as the rule decides it."""

from __future__ import annotations

import pytest

from lthsweep.reduce.run_result import ResultState
from lthsweep.reduce.ticket_verdict import SeedPair, summarize_point
from lthsweep.report.verdicts import definitions


def done(*gaps):
    return [SeedPair(ResultState.DONE, 0.9, 0.9 + gap) for gap in gaps]


@pytest.mark.parametrize(
    ("pairs", "is_dense", "verdict", "cause"),
    [
        (done(-0.01, 0.01), False, "undecided", "interval contains −0.2 points"),
        (done(0.01), False, "undecided", "a single seed gives no interval"),
        (done(0.0, 0.0), False, "undecided", "two seeds with exactly equal differences"),
        (done(-0.5, -0.5), False, "not matching", "whole 95 % interval is below −0.2 points"),
        (
            [*done(0.01, 0.02, 0.03), SeedPair(ResultState.DIVERGED, dense_diverged=True)],
            False,
            "undecided",
            "a dense run diverged",
        ),
        (
            [SeedPair(ResultState.DIVERGED)],
            False,
            "not matching",
            "a ticket diverged where its dense run did not",
        ),
        (done(0.0), True, "matching", "At sparsity 0 it is the dense run"),
        ([SeedPair(ResultState.FAILED)], False, "failed", "an error that is not retried"),
        ([SeedPair(ResultState.MISSING)], False, "missing", "not trained so far"),
    ],
)
def test_definitions_name_every_cause(pairs, is_dense, verdict, cause):
    """A reader of the page looks up why a grid point has its verdict."""
    point = summarize_point(pairs, margin=0.002, confidence=0.95, is_dense=is_dense)

    assert point.verdict == verdict
    assert cause in definitions(0.002, 0.95)[verdict]
