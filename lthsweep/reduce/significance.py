"""Is a paired difference more than noise, and how many of several such findings may be trusted."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["holm", "paired_p"]


def paired_p(differences: Sequence[float]) -> float:
    """Two-sided p of a paired t-test of no difference.

    Args:
        differences: one per pair, finite.

    Returns:
        NaN for fewer than two; 1 if all are zero; 2^(1 − n), the chance that all have one sign, if all are equal and
        not zero.
    """
    n = len(differences)
    if n < 2:
        return math.nan
    if min(differences) == max(differences):
        return 2.0 ** (1 - n) if differences[0] else 1.0
    from scipy.special import stdtr  # here: it takes a quarter of a second, and reading a table needs none

    mean = math.fsum(differences) / n
    error = math.sqrt(math.fsum((value - mean) ** 2 for value in differences) / (n - 1) / n)
    return 2.0 * float(stdtr(n - 1, -abs(mean) / error))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given; NaN is no test and stays NaN.

    Source: Holm, Scandinavian Journal of Statistics 6, 1979.

    To reject what is below α controls the chance of any wrong rejection at α, however the tests depend on each
    other.
    """
    order = sorted((p, i) for i, p in enumerate(p_values) if not math.isnan(p))
    adjusted = [math.nan] * len(p_values)
    highest = 0.0
    for place, (p, i) in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - place) * p))
        adjusted[i] = highest
    return adjusted
