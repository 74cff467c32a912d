"""The verdict on one grid point: a statistic over seeds, paired, with an interval, that may say "undecided".

A ticket and its trunk share initialization and order, so their difference varies less over seeds than either
accuracy. The interval is Student's over these differences. It decides against the margin:

    lower end ≥ −margin   matching (winning if the survivors returned to initialization)
    upper end < −margin   not matching
    else                  undecided

The dividing lines that the words alone leave open:

- One seed has no interval: undecided, whatever the difference.
- Two or more seeds that agree exactly give an interval of width zero. It is taken at its word: accuracies on
  a finite test set are multiples of 1/N and may tie; `n` is printed beside every verdict.
- A ticket that diverged beside a finished trunk is a result, and no accuracy of other seeds makes up for it:
  not matching, also with one seed. A seed whose trunk itself diverged has nothing to be compared with: it
  keeps the point from being more than undecided.
- Sparsity 0 is the trunk compared with itself: matching by identity, also with one seed, and never winning.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["VERDICTS", "Comparison", "Interval", "Pair", "Verdict", "compare", "t_interval"]

Verdict = Literal["winning", "matching", "not matching", "undecided", "failed", "missing"]

VERDICTS: tuple[Verdict, ...] = ("winning", "matching", "not matching", "undecided", "failed", "missing")

_TOLERANCE = 1e-12
"""0.966 − 0.968 is not quite −0.002 in binary; a difference equal to the margin counts as within it."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One seed of a grid point.

    Attributes:
        state: "done": ticket and trunk have finite accuracies; "diverged": the ticket's training (or the
            level before it) became non-finite beside a finished trunk; "trunk diverged"; "failed": no result
            because the run or one it descends from crashed; "missing": not there yet.
        dense: test accuracy of the trunk, 0..1; NaN unless done.
        ticket: test accuracy of the ticket, 0..1; NaN unless done.
    """

    state: Literal["done", "diverged", "trunk diverged", "failed", "missing"]
    dense: float = math.nan
    ticket: float = math.nan


@dataclass(frozen=True, slots=True)
class Interval:
    """Mean of a sample, standard deviation (n − 1), two-sided confidence interval; NaN where undefined."""

    mean: float
    sd: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """A grid point over its seeds; n + n_failed + n_missing + n_diverged = n_planned."""

    n: int
    n_planned: int
    n_failed: int
    n_missing: int
    n_diverged: int
    dense_accuracy: float
    ticket_accuracy: float
    ticket_sd: float
    difference: float
    ci_low: float
    ci_high: float
    verdict: Verdict


def t_interval(values: Sequence[float], confidence: float) -> Interval:
    """Student's interval for the mean of `values`.

    Args:
        values: any number of finite values.
        confidence: coverage in (0, 1), e.g. 0.95.

    Returns:
        NaN in every place that the sample is too small for: all for none, all but the mean for one.
    """
    n = len(values)
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, math.nan)
    mean = math.fsum(values) / n
    if n == 1:
        return Interval(mean, math.nan, math.nan, math.nan)
    if min(values) == max(values):  # rounding of the mean must not give equal values a spread
        return Interval(values[0], 0.0, values[0], values[0])
    from scipy.special import stdtrit  # here: it takes a quarter of a second, and reading a table needs none

    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    half = float(stdtrit(n - 1, (1 + confidence) / 2)) * sd / math.sqrt(n)
    return Interval(mean, sd, mean - half, mean + half)


def compare(
    pairs: Collection[Pair],
    *,
    margin: float,
    confidence: float,
    at_initialization: bool = False,
    is_trunk: bool = False,
) -> Comparison:
    """Compare the tickets of one grid point with their trunks.

    The result does not depend on the order of the pairs.

    Args:
        pairs: one per planned seed.
        margin: accuracy (0..1) that a ticket may lose and still match, ≥ 0.
        confidence: coverage of the interval, in (0, 1).
        at_initialization: the survivors returned to step 0, so that matching means winning.
        is_trunk: the point is sparsity 0, answered by the trunks themselves.
    """
    done = sorted((pair.dense, pair.ticket) for pair in pairs if pair.state == "done")
    states = [pair.state for pair in pairs]
    dense = t_interval(sorted(d for d, _ in done), confidence)
    ticket = t_interval(sorted(t for _, t in done), confidence)
    gap = t_interval(sorted(t - d for d, t in done), confidence)
    n_diverged = states.count("diverged") + states.count("trunk diverged")
    verdict: Verdict
    if not done and not n_diverged:
        verdict = "failed" if "failed" in states else "missing"
    elif "diverged" in states:
        verdict = "not matching"
    elif "trunk diverged" in states:
        verdict = "undecided"
    elif is_trunk:
        verdict = "matching"
    else:
        verdict = _against_margin(gap, margin)
        if verdict == "matching" and len(done) == 2 and gap.sd == 0:
            # Accuracies are counts of images: that two differences are equal is a coincidence of the grid they lie
            # on, and no evidence that the next seeds agree. A win is not to rest on it; a loss this clear may.
            verdict = "undecided"
        if verdict == "matching" and at_initialization:
            verdict = "winning"
    return Comparison(
        n=len(done),
        n_planned=len(states),
        n_failed=states.count("failed"),
        n_missing=states.count("missing"),
        n_diverged=n_diverged,
        dense_accuracy=dense.mean,
        ticket_accuracy=ticket.mean,
        ticket_sd=ticket.sd,
        difference=gap.mean,
        ci_low=gap.low,
        ci_high=gap.high,
        verdict=verdict,
    )


def _against_margin(gap: Interval, margin: float) -> Verdict:
    if gap.low >= -margin - _TOLERANCE:
        return "matching"
    if gap.high < -margin - _TOLERANCE:
        return "not matching"
    return "undecided"  # also where the interval is NaN
