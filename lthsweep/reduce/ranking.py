"""Rank the values of an axis at each point of the grid, and test which differences are more than noise.

Values share their seeds, so each pair of values is compared by its paired difference (`lthsweep.reduce.decision`).
Choosing the best of several values by the data and then testing only the others against it would find too much. So
every pair of values is tested, and Holm's correction is over all of these tests, at all points: the
probability that any "worse" is noise stays below 1 - confidence, whichever value the data put first.

    worse        behind the first, and Holm's p is below 1 - confidence; or a seed of the value diverged
    equal        not worse, and at most the margin behind the first
    undecided    neither: more seeds can decide
    missing      no seed has a result

The first value is `best` if all others are worse, `equal` if all others are worse or equal, else undecided. Only seeds
that every value with a result has are compared. The interval is for one pair, not corrected.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from lthsweep.reduce.decision import PairedDifference, Verdict, holm, mean_and_sd
from lthsweep.reduce.points import mean

__all__ = ["RankedValue", "SeedScores", "pairs_tested", "rank_values"]


@dataclass(frozen=True, slots=True)
class SeedScores:
    """The results of one value of the axis at one point.

    Attributes:
        value: of the axis.
        by_seed: seed → finite metric, of the seeds that have one.
        diverged: number of seeds whose training became non-finite.
    """

    value: Hashable
    by_seed: Mapping[Hashable, float]
    diverged: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedValue:
    """One value compared with the first of its point.

    Attributes:
        value: of the axis.
        rank: 1 for the first; None if the value has no result or diverged.
        n: seeds compared, the same for all values of the point; 0 where this value has none.
        n_diverged: seeds whose training diverged.
        mean, sd: over these seeds.
        first: the value that is first; None if none has a result.
        difference: mean of value − first over the seeds; 0 for the first.
        ci_low, ci_high: Student's interval of the difference; NaN where it is not defined.
        p: of the paired t-test against the first; NaN where there is none.
        p_holm: the same after Holm's correction over all pairs at all points.
        verdict: see the module.
    """

    value: Hashable
    rank: int | None = None
    n: int = 0
    n_diverged: int = 0
    mean: float = math.nan
    sd: float = math.nan
    first: Hashable
    difference: float = math.nan
    ci_low: float = math.nan
    ci_high: float = math.nan
    p: float = math.nan
    p_holm: float = math.nan
    verdict: Verdict


def rank_values(
    points: Sequence[Sequence[SeedScores]],
    *,
    confidence: float,
    margin: float = 0.0,
    higher_is_better: bool = True,
) -> list[list[RankedValue]]:
    """Rank the values of an axis at each point and test their differences.

    Args:
        points: for each point the scores of its values, in any order.
        confidence: in (0, 1); of the intervals, and 1 − the chance of any wrong "worse".
        margin: a difference from the first that does not matter, >= 0, in the unit of the metric.
        higher_is_better: the direction of the metric.

    Returns:
        For each point its values, the first one first; those without a rank last, in the order given.
    """
    blocks = [_SharedSeeds.of(scores, higher_is_better) for scores in points]
    raw = [block.pair_p_values(confidence) for block in blocks]
    adjusted = iter(holm([p for ps in raw for p in ps.values()]))
    corrected = [{pair: next(adjusted) for pair in ps} for ps in raw]
    return [
        _ranked(block, p_holm, confidence, margin, higher_is_better)
        for block, p_holm in zip(blocks, corrected, strict=True)
    ]


def pairs_tested(points: Sequence[Sequence[RankedValue]]) -> int:
    """Return the number of tests behind the ranks at these points, which Holm's correction covers."""
    return sum(math.comb(sum(one.rank is not None for one in ranked if one.n > 1), 2) for ranked in points)


@dataclass(frozen=True)
class _SharedSeeds:
    """The values of one point over the seeds that they share: a complete block design.

    Attributes:
        scores: as given.
        seeds: those of every value that has a result and did not diverge.
        order: positions in `scores` of the values that are compared, the first one first.
    """

    scores: tuple[SeedScores, ...]
    seeds: tuple[Hashable, ...]
    order: tuple[int, ...]

    @classmethod
    def of(cls, scores: Sequence[SeedScores], higher_is_better: bool) -> _SharedSeeds:
        taken = [i for i, one in enumerate(scores) if one.by_seed and not one.diverged]
        shared = set.intersection(*(set(scores[i].by_seed) for i in taken)) if taken else set()
        seeds = tuple(sorted(shared, key=str))

        def merit(i: int) -> float:
            value = mean(scores[i].by_seed[seed] for seed in seeds)
            return -value if higher_is_better else value

        return cls(tuple(scores), seeds, tuple(sorted(taken, key=merit) if seeds else taken))

    def values(self, i: int) -> list[float]:
        return [self.scores[i].by_seed[seed] for seed in self.seeds]

    def compared(self, i: int, other: int, confidence: float) -> PairedDifference:
        """Return value i minus the other value over the shared seeds."""
        differences = [a - b for a, b in zip(self.values(i), self.values(other), strict=True)]
        return PairedDifference.of(differences, confidence)

    def pair_p_values(self, confidence: float) -> dict[tuple[int, int], float]:
        """Return (better, worse) -> p, for each pair of values."""
        return {
            (i, other): self.compared(other, i, confidence).p
            for i, other in itertools.combinations(self.order, 2)
        }


def _ranked(
    block: _SharedSeeds,
    p_holm: Mapping[tuple[int, int], float],
    confidence: float,
    margin: float,
    higher_is_better: bool,
) -> list[RankedValue]:
    if not block.seeds:
        return [
            RankedValue(
                value=one.value,
                first=None,
                n_diverged=one.diverged,
                verdict=Verdict.UNDECIDED if one.by_seed else Verdict.MISSING,
            )
            for one in block.scores
        ]
    first, *others = block.order
    best = block.scores[first].value
    rows = []
    for rank, i in enumerate(others, start=2):
        behind = block.compared(i, first, confidence)
        average, sd = mean_and_sd(block.values(i))
        rows.append(
            RankedValue(
                value=block.scores[i].value,
                rank=rank,
                n=behind.n,
                mean=average,
                sd=sd,
                first=best,
                difference=behind.mean,
                ci_low=behind.low,
                ci_high=behind.high,
                p=behind.p,
                p_holm=p_holm[first, i],
                verdict=_verdict(
                    behind if higher_is_better else behind.reversed(), p_holm[first, i], confidence, margin
                ),
            )
        )
    outside = [
        RankedValue(
            value=one.value,
            first=best,
            n_diverged=one.diverged,
            verdict=Verdict.WORSE if one.diverged else Verdict.MISSING,
        )
        for i, one in enumerate(block.scores)
        if i not in block.order
    ]
    average, sd = mean_and_sd(block.values(first))
    leader = RankedValue(
        value=best,
        rank=1,
        n=len(block.seeds),
        mean=average,
        sd=sd,
        first=best,
        difference=0.0,
        verdict=_verdict_of_first([row.verdict for row in (*rows, *outside)]),
    )
    return [leader, *rows, *outside]


def _verdict(behind: PairedDifference, p_holm: float, confidence: float, margin: float) -> Verdict:
    """Decide on a value, given its difference from the first, where higher is better."""
    if p_holm < 1 - confidence and behind.mean < 0:
        return Verdict.WORSE
    return Verdict.EQUAL if behind.loses_at_most(margin) else Verdict.UNDECIDED


def _verdict_of_first(others: Sequence[Verdict]) -> Verdict:
    if others and all(verdict is Verdict.WORSE for verdict in others):
        return Verdict.BEST
    if others and all(verdict in (Verdict.WORSE, Verdict.EQUAL) for verdict in others):
        return Verdict.EQUAL
    return Verdict.UNDECIDED
