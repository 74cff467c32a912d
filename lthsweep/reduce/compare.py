"""Which value of an axis is best at each point of the grid, and is the difference more than noise?

Values share their seeds, so each pair of values is compared by its differences seed by seed: a two-sided paired t-test.
Taking the best of several by the data and then testing the others against it would find too much. So every pair of
values is tested, and Holm's correction (Scandinavian Journal of Statistics 6, 1979) is over all of these tests, at all
points unless it is asked otherwise: the chance that any "worse" is noise stays below 1 − confidence, whichever value
the data put first.

    worse             it is behind the first, and Holm's p is below 1 − confidence
    tied with best    not worse, and its interval says that it is at most the margin behind
    undecided         neither: more seeds may decide
    missing           no seed of it has a result

The first itself is `best` if all others are worse, `tied with best` if all others are worse or tied, else undecided.

The dividing lines that the words alone leave open:

- Only seeds count that every value has which has any: the comparison is over equal conditions.
- One seed has no test. At two, differences that agree exactly are a coincidence of counts of images: undecided.
- Differences that agree exactly at three seeds or more have no spread for a t-test. They get the probability that all
  n have one sign by chance, 2^(1 − n).
- A value of which a seed diverged is worse than one of which none did, also at one seed.
- The interval is for one pair, not corrected: it says how large a difference may be, Holm's p whether there is one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lthsweep.reduce.significance import holm, paired_p
from lthsweep.reduce.verdict import t_interval

__all__ = ["Family", "Scores", "Standing", "compare_values", "pairs_tested"]

Family = Literal["table", "point"]
"""What Holm's correction is over: all pairs at all points, or those of each point apart."""

StandingVerdict = Literal["best", "tied with best", "worse", "undecided", "missing"]

_TOLERANCE = 1e-12


@dataclass(frozen=True, slots=True)
class Scores:
    """What is known of one value of the axis at one point.

    Attributes:
        value: of the axis.
        by_seed: seed → finite metric, of the seeds that have one.
        diverged: number of seeds whose training became non-finite.
    """

    value: Any
    by_seed: Mapping[Hashable, float]
    diverged: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """One value beside the first of its point.

    Attributes:
        value: of the axis.
        rank: 1 for the first; None if it has no result or diverged.
        n: seeds compared, the same for all values of the point; 0 where this value has none.
        n_diverged: seeds of it that diverged.
        mean, sd: over these seeds.
        first: the value that is first; None if none has a result.
        difference: mean of value − first over the seeds; 0 for the first.
        ci_low, ci_high: Student's interval of the difference; NaN where it is not defined.
        p: of the paired t-test against the first; NaN where there is none.
        p_holm: the same after Holm's correction over the family.
        verdict: see the module.
    """

    value: Any
    rank: int | None
    n: int
    n_diverged: int
    mean: float
    sd: float
    first: Any
    difference: float
    ci_low: float
    ci_high: float
    p: float
    p_holm: float
    verdict: StandingVerdict


def compare_values(
    points: Sequence[Sequence[Scores]],
    *,
    confidence: float,
    margin: float = 0.0,
    higher_is_better: bool = True,
    family: Family = "table",
) -> list[list[Standing]]:
    """Rank the values of an axis at each point and say which differences are more than noise.

    Args:
        points: for each point the scores of its values, in any order.
        confidence: in (0, 1); of the intervals, and 1 − the chance of any wrong "worse" in the family.
        margin: a difference to the first that does not matter, ≥ 0, in the unit of the metric.
        higher_is_better: the direction of the metric.
        family: what Holm's correction is over.

    Returns:
        For each point its values, the first one first; those without a rank last, in the order given.
    """
    blocks = [_Block.of(scores, higher_is_better) for scores in points]
    raw = [block.pair_p_values() for block in blocks]
    if family == "table":
        adjusted = iter(holm([p for ps in raw for p in ps.values()]))
        corrected = [{pair: next(adjusted) for pair in ps} for ps in raw]
    else:
        corrected = [dict(zip(ps, holm(list(ps.values())), strict=True)) for ps in raw]
    sign = 1.0 if higher_is_better else -1.0
    return [
        _standings(block, ps, fixed, confidence, margin, sign)
        for block, ps, fixed in zip(blocks, raw, corrected, strict=True)
    ]


def pairs_tested(points: Sequence[Sequence[Scores]]) -> int:
    """How many pairs of values are tested at these points: what Holm's correction is over."""
    return sum(
        not math.isnan(p) for scores in points for p in _Block.of(scores, True).pair_p_values().values()
    )


@dataclass(frozen=True)
class _Block:
    """The values of one point over the seeds that they share: a complete block design.

    Attributes:
        scores: as given.
        seeds: those that every value has which has any and did not diverge.
        order: positions in `scores` of the values that are compared, the first one first.
    """

    scores: tuple[Scores, ...]
    seeds: tuple[Hashable, ...]
    order: tuple[int, ...]

    @classmethod
    def of(cls, scores: Sequence[Scores], higher_is_better: bool) -> _Block:
        taken = [i for i, one in enumerate(scores) if one.by_seed and not one.diverged]
        shared = set.intersection(*(set(scores[i].by_seed) for i in taken)) if taken else set()
        seeds = tuple(sorted(shared, key=str))

        def merit(i: int) -> float:
            mean = _mean([scores[i].by_seed[seed] for seed in seeds])
            return -mean if higher_is_better else mean

        return cls(tuple(scores), seeds, tuple(sorted(taken, key=merit) if seeds else taken))

    def values(self, i: int) -> list[float]:
        return [self.scores[i].by_seed[seed] for seed in self.seeds]

    def differences(self, i: int, other: int) -> list[float]:
        return [a - b for a, b in zip(self.values(i), self.values(other), strict=True)]

    def pair_p_values(self) -> dict[tuple[int, int], float]:
        """(better, worse) → p, for each pair of values."""
        return {
            (i, other): paired_p(self.differences(other, i))
            for i, other in itertools.combinations(self.order, 2)
        }


def _standings(
    block: _Block,
    raw: Mapping[tuple[int, int], float],
    corrected: Mapping[tuple[int, int], float],
    confidence: float,
    margin: float,
    sign: float,
) -> list[Standing]:
    if not block.seeds:
        return [_without_rank(one, None, "undecided" if one.by_seed else "missing") for one in block.scores]
    first, *others = block.order
    best = block.scores[first].value
    rows = []
    for rank, i in enumerate(others, start=2):
        differences = block.differences(i, first)
        gap = t_interval(differences, confidence)
        rows.append(
            Standing(
                value=block.scores[i].value,
                rank=rank,
                n=len(block.seeds),
                n_diverged=0,
                **_location(block.values(i), confidence),
                first=best,
                difference=gap.mean,
                ci_low=gap.low,
                ci_high=gap.high,
                p=raw[first, i],
                p_holm=corrected[first, i],
                verdict=_verdict(
                    differences, corrected[first, i], gap.low, gap.high, confidence, margin, sign
                ),
            )
        )
    outside = [
        _without_rank(one, best, "worse" if one.diverged else "missing")
        for i, one in enumerate(block.scores)
        if i not in block.order
    ]
    leader = Standing(
        value=best,
        rank=1,
        n=len(block.seeds),
        n_diverged=0,
        **_location(block.values(first), confidence),
        first=best,
        difference=0.0,
        ci_low=math.nan,
        ci_high=math.nan,
        p=math.nan,
        p_holm=math.nan,
        verdict=_verdict_of_first([row.verdict for row in (*rows, *outside)]),
    )
    return [leader, *rows, *outside]


def _verdict(
    differences: Sequence[float],
    p_holm: float,
    low: float,
    high: float,
    confidence: float,
    margin: float,
    sign: float,
) -> StandingVerdict:
    n = len(differences)
    if n < 2:
        return "undecided"
    if p_holm < 1 - confidence and sign * math.fsum(differences) < 0:
        return "worse"
    if n == 2 and differences[0] == differences[1]:
        return "undecided"
    lag = min(sign * low, sign * high)
    return "tied with best" if lag >= -margin - _TOLERANCE else "undecided"


def _verdict_of_first(others: Sequence[StandingVerdict]) -> StandingVerdict:
    if others and all(verdict == "worse" for verdict in others):
        return "best"
    if others and all(verdict in ("worse", "tied with best") for verdict in others):
        return "tied with best"
    return "undecided"


def _without_rank(one: Scores, first: Any, verdict: StandingVerdict) -> Standing:
    return Standing(
        value=one.value,
        rank=None,
        n=0,
        n_diverged=one.diverged,
        mean=math.nan,
        sd=math.nan,
        first=first,
        difference=math.nan,
        ci_low=math.nan,
        ci_high=math.nan,
        p=math.nan,
        p_holm=math.nan,
        verdict=verdict,
    )


def _location(values: Sequence[float], confidence: float) -> dict[str, float]:
    found = t_interval(values, confidence)
    return {"mean": found.mean, "sd": found.sd}


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan
