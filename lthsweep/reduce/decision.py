"""The decision rule: a paired difference over seeds, and the verdict that it supports.

Ticket against dense run, ticket against control, and value against value of an axis all share their seeds, so each
seed gives one difference. `PairedDifference.of` is the only statistic behind all three questions; another statistic
(pooled variances, sequential looks) replaces this function and nothing else. Its readings:

    loses_at_most(margin)     the interval lies above -margin: "matching", "equal" to the best value
    loses_more_than(margin)   the interval lies below -margin: "not matching"
    verdict(margin)           "equal" within the margin, else "better" or "worse" where the interval excludes zero

One seed has no interval, so it decides nothing. Accuracies are counts of images: two differences that agree exactly
are a coincidence of that grid and show nothing about the next seed, so they never support "equal" or "better". Three
or more equal differences give an interval of width zero and decide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["PairedDifference", "Verdict", "holm", "mean_and_sd"]

_TOLERANCE = 1e-12
"""0.966 - 0.968 is slightly below -0.002 in binary; a difference equal to the margin counts as within it."""


class Verdict(StrEnum):
    """All verdicts of the tables; failed, damaged and missing mean that no seed has a result.

    A ticket against its dense run is winning, matching or not matching; a ticket against a control is better, equal
    or worse; a value of an axis is best, equal to the best, or worse. All three can be undecided.
    """

    WINNING = "winning"
    MATCHING = "matching"
    NOT_MATCHING = "not matching"
    BEST = "best"
    BETTER = "better"
    EQUAL = "equal"
    WORSE = "worse"
    UNDECIDED = "undecided"
    FAILED = "failed"
    DAMAGED = "damaged"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Mean difference over seeds with Student's two-sided interval; NaN where the sample is too small.

    Attributes:
        n: number of seeds.
        mean: of the differences.
        sd: their standard deviation (n - 1).
        low, high: ends of the interval.
        p: two-sided p of the paired t-test of no difference. Differences that all agree have no spread: they get
            2^(1 - n), the probability that n signs agree by chance, or 1 if they are zero.
    """

    n: int
    mean: float
    sd: float
    low: float
    high: float
    p: float

    @classmethod
    def of(cls, differences: Sequence[float], confidence: float) -> PairedDifference:
        """Compute the interval and p of finite differences, one per seed; their order does not matter.

        Args:
            differences: first minus second, of each seed that has both.
            confidence: coverage of the interval, in (0, 1), for example 0.95.
        """
        n = len(differences)
        mean, sd = mean_and_sd(differences)
        if n < 2:
            return cls(n, mean, sd, math.nan, math.nan, math.nan)
        if sd == 0:
            return cls(n, mean, sd, mean, mean, 2.0 ** (1 - n) if mean else 1.0)
        from scipy.special import stdtr, stdtrit  # 0.25 s to import, and reading a table does not need it

        half = float(stdtrit(n - 1, (1 + confidence) / 2)) * sd / math.sqrt(n)
        variance = math.fsum((value - mean) ** 2 for value in differences) / (n - 1)
        p = 2.0 * float(stdtr(n - 1, -abs(mean) / math.sqrt(variance / n)))
        return cls(n, mean, sd, mean - half, mean + half, p)

    def reversed(self) -> PairedDifference:
        """Return second minus first."""
        return PairedDifference(self.n, -self.mean, self.sd, -self.high, -self.low, self.p)

    def loses_at_most(self, margin: float) -> bool:
        """True if the first is decided to be at most the margin behind the second."""
        return not self._coincidence and self.low >= -margin - _TOLERANCE

    def loses_more_than(self, margin: float) -> bool:
        """True if the first is decided to be more than the margin behind the second."""
        return self.high < -margin - _TOLERANCE

    def verdict(self, margin: float) -> Verdict:
        """Return better, equal, worse or undecided: the first against the second."""
        if self.loses_at_most(margin) and self.reversed().loses_at_most(margin):
            return Verdict.EQUAL
        if self._coincidence:
            return Verdict.UNDECIDED
        if self.low > 0:
            return Verdict.BETTER
        return Verdict.WORSE if self.high < 0 else Verdict.UNDECIDED  # NaN is undecided

    @property
    def _coincidence(self) -> bool:
        return self.n == 2 and self.sd == 0


def mean_and_sd(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and the standard deviation (n - 1) of finite values; NaN where undefined."""
    n = len(values)
    if n == 0:
        return math.nan, math.nan
    mean = math.fsum(values) / n
    if n == 1:
        return mean, math.nan
    if min(values) == max(values):  # rounding of the mean would give equal values a spread
        return values[0], 0.0
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p-values, in the order given; NaN (no test) stays NaN.

    Rejecting the values below alpha keeps the probability of any wrong rejection below alpha, whatever the dependence
    between the tests. Source: Holm, Scandinavian Journal of Statistics 6, 1979.
    """
    order = sorted((p, i) for i, p in enumerate(p_values) if not math.isnan(p))
    adjusted = [math.nan] * len(p_values)
    highest = 0.0
    for rank, (p, i) in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p))
        adjusted[i] = highest
    return adjusted
