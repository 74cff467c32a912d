"""Compare the values of one axis of a sweep: which cells belong to one point, and the rows of the result."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias

from lthsweep.errors import QueryError, nearest
from lthsweep.reduce.ranking import RankedValue, SeedScores, pairs_tested, rank_values
from lthsweep.reduce.run_result import ResultState
from lthsweep.spec.grid_table import axis_name
from lthsweep.store.metrics import METRICS

if TYPE_CHECKING:
    from lthsweep.plan.run import Cell, Plan

__all__ = ["COMPARABLE", "LOWER_IS_BETTER", "AxisComparison", "ComparedValue", "RunScore", "compare_axis"]

COMPARABLE = tuple(name for name, info in METRICS.items() if info.better is not None)
"""Metrics that have a better direction, so that values of an axis can be ranked by them."""

LOWER_IS_BETTER = frozenset(name for name, info in METRICS.items() if info.better == "lower")

_OF_TICKETS = ("sparsity", "threshold", "rewind_epoch")

Where: TypeAlias = Literal["dense", "point", "overall"]
"""The dense runs, a point of the grid, or the mean over all points (a separate family of tests)."""

_ScoresByPoint: TypeAlias = dict[tuple[Hashable, ...], dict[Hashable, dict[Hashable, "RunScore"]]]


@dataclass(frozen=True)
class RunScore:
    """Score of a run: its state as in /runs, and the compared metric."""

    state: ResultState
    value: float


@dataclass(frozen=True)
class ComparedValue:
    """A value of the axis at one place.

    Attributes:
        at: the place.
        others: the other axes → value; "" where the place has none.
        ranked: the value compared with the first one of the place.
    """

    at: Where
    others: Mapping[str, Hashable]
    ranked: RankedValue


@dataclass(frozen=True)
class AxisComparison:
    """The answer.

    Attributes:
        axis, metric, confidence, margin, higher_is_better: as given, or by default.
        tests: pairs of values tested, the size of Holm's family.
        rows: one per place and value: the dense runs, the points, then the mean over all points.
    """

    axis: str
    metric: str
    confidence: float
    margin: float
    higher_is_better: bool
    tests: int
    rows: Sequence[ComparedValue] = field(repr=False)

    def records(self) -> list[dict[str, object]]:
        """Return the rows as flat records: `at`, the other axes, the axis, then the fields of `RankedValue`."""
        records = []
        for row in self.rows:
            ranked = asdict(row.ranked)
            records.append({"at": row.at, **row.others, self.axis: ranked.pop("value"), **ranked})
        return records


def compare_axis(
    plan: Plan,
    scores_of_runs: Mapping[str, RunScore],
    axis: str,
    *,
    metric: str = "test_accuracy",
    confidence: float | None = None,
    margin: float | None = None,
) -> AxisComparison:
    """Compare the values of an axis at every combination of the other axes, over the seeds.

    Dense runs are compared too, if each value has separate dense runs.

    Args:
        plan: the grid.
        scores_of_runs: key of a run → its score; runs that are not listed are missing.
        axis: any axis of the grid but the seed, by any name that the file takes.
        metric: one of `COMPARABLE`, for the messages and the direction.
        confidence: None takes the file's.
        margin: None takes the file's for an accuracy, 0 for other metrics.

    Raises:
        QueryError: if there is no such axis or metric, or the axis has one value only.
    """
    axis = axis_name(axis)
    _check(plan, axis, metric)
    higher = metric not in LOWER_IS_BETTER
    verdict = plan.spec.verdict
    confidence = verdict.confidence if confidence is None else confidence
    if margin is None:
        margin = verdict.margin if "accuracy" in metric else 0.0
    points = _points(plan, scores_of_runs, axis)
    overall = _overall([scores for kind, _, scores in points if kind == "point"])
    rank = partial(rank_values, confidence=confidence, margin=margin, higher_is_better=higher)
    at_points = rank([scores for *_, scores in points])
    others = _other_axes(plan, axis)
    rows = [
        ComparedValue(at, values, one)
        for (at, values, _), ranked in zip(points, at_points, strict=True)
        for one in ranked
    ]
    rows += [ComparedValue("overall", dict.fromkeys(others, ""), one) for one in rank([overall])[0]]
    return AxisComparison(
        axis=axis,
        metric=metric,
        confidence=confidence,
        margin=margin,
        higher_is_better=higher,
        tests=pairs_tested(at_points),
        rows=rows,
    )


def _other_axes(plan: Plan, axis: str) -> list[str]:
    return [name for name, _ in plan.cells[0].values if name not in (axis, "seed")]


def _check(plan: Plan, axis: str, metric: str) -> None:
    axes = {name: len(values) for name, values in plan.spec.grid.axes.items() if name != "seed"}
    several = [name for name, number in axes.items() if number > 1]
    there = f"axes of this sweep with several values: {', '.join(several) or 'none'}"
    if axis == "seed":
        raise QueryError(f"seed is not a possible axis: values are compared over seeds; {there}")
    if axis not in axes:
        hint = nearest(axis, axes)
        raise QueryError(f"no axis {axis!r};{f' did you mean {hint}?' if hint else ''} {there}")
    if axes[axis] < 2:
        raise QueryError(f"the axis {axis} has one value, so there is nothing to compare; {there}")
    if metric not in COMPARABLE:
        hint = nearest(metric, COMPARABLE)
        raise QueryError(
            f"no metric {metric!r} to compare;{f' did you mean {hint}?' if hint else ''} there are: "
            f"{', '.join(COMPARABLE)}"
        )


def _points(
    plan: Plan, scores_of_runs: Mapping[str, RunScore], axis: str
) -> list[tuple[Where, dict[str, Hashable], list[SeedScores]]]:
    """Return (place, values of the other axes, scores of each value of the axis): dense runs first."""
    found: _ScoresByPoint = {}
    dense: _ScoresByPoint = {}
    names = _other_axes(plan, axis)
    missing = RunScore(ResultState.MISSING, math.nan)
    dense_runs: dict[Hashable, set[str]] = {}
    for cell in plan.cells:
        value, seed = cell[axis], cell["seed"]
        dense_run = plan.runs[cell.run].trunk
        dense_runs.setdefault(value, set()).add(dense_run)
        point = tuple(cell[name] for name in names)
        found.setdefault(point, {}).setdefault(value, {})[seed] = scores_of_runs.get(cell.run, missing)
        of_dense_run = tuple(_of_dense_run(cell, name) for name in names)
        dense.setdefault(of_dense_run, {}).setdefault(value, {})[seed] = scores_of_runs.get(
            dense_run, missing
        )
    own_dense_runs = len(set.union(*dense_runs.values())) == sum(map(len, dense_runs.values()))
    is_a_point = "sparsity" in names and any(cell["sparsity"] == 0 for cell in plan.cells)
    kinds: list[tuple[Where, _ScoresByPoint]] = [("point", found)]
    if own_dense_runs and not is_a_point:
        kinds.insert(0, ("dense", dense))
    return [
        (
            kind,
            dict(zip(names, point, strict=True)),
            [_scores(value, by_seed) for value, by_seed in by_value.items()],
        )
        for kind, points in kinds
        for point, by_value in points.items()
    ]


def _of_dense_run(cell: Cell, name: str) -> Hashable:
    """Return the value of an axis for the dense run, which has none for pruning axes."""
    if name == "sparsity":
        return 0.0
    return "" if name in _OF_TICKETS or name.startswith("prune.") else cell[name]


def _scores(value: Hashable, by_seed: Mapping[Hashable, RunScore]) -> SeedScores:
    done = {
        seed: one.value
        for seed, one in by_seed.items()
        if one.state is ResultState.DONE and math.isfinite(one.value)
    }
    return SeedScores(value, done, sum(one.state is ResultState.DIVERGED for one in by_seed.values()))


def _overall(points: list[list[SeedScores]]) -> list[SeedScores]:
    """Return the mean over all points for each value and seed; a seed that lacks a point has none."""
    by_value: dict[Hashable, list[SeedScores]] = {}
    for scores in points:
        for one in scores:
            by_value.setdefault(one.value, []).append(one)
    whole = []
    for value, parts in by_value.items():
        seeds: set[Hashable] = set.intersection(*(set(part.by_seed) for part in parts))
        means = {seed: math.fsum(part.by_seed[seed] for part in parts) / len(parts) for seed in seeds}
        whole.append(SeedScores(value, means, max(part.diverged for part in parts)))
    return whole
