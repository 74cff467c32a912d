"""The verdict on one grid point: do its tickets match their dense runs?

Ticket and dense run share initialization and data order, so their difference varies less over seeds than either
accuracy. The difference is decided against the margin (`lthsweep.reduce.decision`):

    at most the margin behind      matching (winning if the survivors returned to initialization)
    more than the margin behind    not matching
    neither                        undecided

Outside of the statistic:

- A ticket that diverged next to a finished dense run is a result that the accuracy of other seeds cannot offset: not
  matching, also with one seed.
- A seed whose dense run diverged has nothing to be compared with; the point is then at most undecided.
- Sparsity 0 is the dense run compared with itself: matching by identity, also with one seed, and never winning.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from lthsweep.reduce.decision import PairedDifference, Verdict, mean_and_sd
from lthsweep.reduce.run_result import ResultState

__all__ = ["PointSummary", "SeedPair", "summarize_point", "verdict_without_results"]


@dataclass(frozen=True, slots=True)
class SeedPair:
    """One seed of a grid point.

    Attributes:
        state: of the comparison. Done: both runs have an accuracy. Diverged: the dense run, the ticket, or the level
            before it became non-finite. Failed: a run or one of its ancestors failed. Damaged: the record of one of
            them is damaged. Missing: no result yet. Set aside: one of them is of other data or of another network than
            the runs in use.
        dense: test accuracy of the dense run, 0..1; NaN unless done.
        ticket: test accuracy of the ticket, 0..1; NaN unless done.
        dense_diverged: the dense run diverged, so there is nothing to compare the ticket with.
    """

    state: ResultState
    dense: float = math.nan
    ticket: float = math.nan
    dense_diverged: bool = False


@dataclass(frozen=True, slots=True)
class PointSummary:
    """A grid point over its seeds; n and the counts of seeds without a pair add up to n_planned.

    The fields are columns of `/tickets`.
    """

    n: int
    n_planned: int
    n_failed: int
    n_damaged: int
    n_missing: int
    n_set_aside: int
    n_diverged: int
    dense_accuracy: float
    ticket_accuracy: float
    ticket_sd: float
    difference: float
    ci_low: float
    ci_high: float
    verdict: Verdict


def summarize_point(
    pairs: Collection[SeedPair],
    *,
    margin: float,
    confidence: float,
    success: Verdict = Verdict.MATCHING,
    is_dense: bool = False,
) -> PointSummary:
    """Compare the tickets of one grid point with their dense runs; the order of the pairs does not matter.

    Args:
        pairs: one per planned seed.
        margin: accuracy (0..1) that a ticket may lose and still match, >= 0.
        confidence: coverage of the interval, in (0, 1).
        success: verdict of tickets that lose at most the margin: winning if their survivors returned to
            initialization, else matching.
        is_dense: the point is sparsity 0, answered by the dense runs themselves.
    """
    states = [pair.state for pair in pairs]
    done = [pair for pair in pairs if pair.state is ResultState.DONE]
    dense_accuracy, _ = mean_and_sd([pair.dense for pair in done])
    ticket_accuracy, ticket_sd = mean_and_sd([pair.ticket for pair in done])
    difference = PairedDifference.of([pair.ticket - pair.dense for pair in done], confidence)
    n_diverged = states.count(ResultState.DIVERGED)
    if not done and not n_diverged:
        verdict = verdict_without_results(states)
    elif any(pair.state is ResultState.DIVERGED and not pair.dense_diverged for pair in pairs):
        verdict = Verdict.NOT_MATCHING
    elif n_diverged:
        verdict = Verdict.UNDECIDED
    elif is_dense:
        verdict = Verdict.MATCHING
    elif difference.loses_at_most(margin):
        verdict = success
    elif difference.loses_more_than(margin):
        verdict = Verdict.NOT_MATCHING
    else:
        verdict = Verdict.UNDECIDED
    return PointSummary(
        n=len(done),
        n_planned=len(states),
        n_failed=states.count(ResultState.FAILED),
        n_damaged=states.count(ResultState.DAMAGED),
        n_missing=states.count(ResultState.MISSING),
        n_set_aside=states.count(ResultState.SET_ASIDE),
        n_diverged=n_diverged,
        dense_accuracy=dense_accuracy,
        ticket_accuracy=ticket_accuracy,
        ticket_sd=ticket_sd,
        difference=difference.mean,
        ci_low=difference.low,
        ci_high=difference.high,
        verdict=verdict,
    )


def verdict_without_results(states: Collection[ResultState]) -> Verdict:
    """Return the verdict on a point of which no seed can be compared."""
    if ResultState.FAILED in states:
        return Verdict.FAILED
    return Verdict.DAMAGED if ResultState.DAMAGED in states else Verdict.MISSING
