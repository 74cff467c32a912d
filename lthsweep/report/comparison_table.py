"""The comparison of an axis's values, for a terminal: settings, a line per point, and the overall result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

from lthsweep.reduce.axis_comparison import AxisComparison
from lthsweep.reduce.decision import Verdict
from lthsweep.report.axes import canonical, labels
from lthsweep.report.numbers import DASH, as_float, interval, percent, points
from lthsweep.report.plain_table import plain_table
from lthsweep.report.verdicts import points_of

__all__ = ["comparison_table", "full_comparison_table", "result_lines", "settings_lines"]

_FIELDS = (
    "at",
    "rank",
    "n",
    "n_diverged",
    "mean",
    "sd",
    "first",
    "difference",
    "ci_low",
    "ci_high",
    "p",
    "p_holm",
)
_VERDICTS = (Verdict.EQUAL, Verdict.WORSE, Verdict.UNDECIDED, Verdict.MISSING)
_HEADS = {"dense": "dense", "overall": "all points"}


def settings_lines(found: AxisComparison, name: str) -> list[str]:
    """Two lines: the metric and axis, and the tests."""
    seeds = sorted({row["n"] for row in found.rows if row["n"]})
    counted = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}" if seeds else "no"
    direction = "higher is better" if found.higher_is_better else "lower is better"
    margin = f", margin {_size(found, found.margin)}" if found.margin else ""
    return [
        f"{name}: {found.metric} by {found.axis}, {direction}; {counted} common seeds",
        f"paired t-tests, Holm's correction over {found.tests} pairs, confidence {100 * found.confidence:g} %{margin}",
    ]


def comparison_table(found: AxisComparison) -> Table:
    """One row per point: the first value, its verdict, and the other values by verdict."""
    others = _varied(found)
    table = plain_table()
    for heading in others:
        table.add_column(escape(heading.rpartition(".")[2]), justify="right", no_wrap=True)
    table.add_column("n", justify="right")
    table.add_column("first", no_wrap=True)
    table.add_column("mean", justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    shown = [verdict for verdict in _VERDICTS if any(row["verdict"] == verdict for row in _not_first(found))]
    for verdict in shown:
        table.add_column(verdict)
    short = _labels(found)
    for rows in _points(found):
        start = [short[axis].get(canonical(rows[0][axis]), "") for axis in others]
        if others and rows[0]["at"] in _HEADS:
            start[0] = _HEADS[rows[0]["at"]]
        leader = rows[0] if rows[0]["rank"] == 1 else None
        named = {
            verdict: [_named(found, row) for row in rows if row is not leader and row["verdict"] == verdict]
            for verdict in shown
        }
        table.add_row(
            *map(escape, start),
            str(rows[0]["n"]),
            escape(canonical(leader[found.axis])) if leader else DASH,
            _value(found, leader["mean"]) if leader else DASH,
            verdict_with_n(leader) if leader else DASH,
            *(escape(", ".join(names)) for names in named.values()),
        )
    return table


def full_comparison_table(found: AxisComparison) -> Table:
    """One row per value and point, with difference, interval, and p."""
    others = _varied(found)
    table = plain_table()
    headings = [*(axis.rpartition(".")[2] for axis in others), "rank", found.axis.rpartition(".")[2]]
    for heading in (*headings, "n", "mean ± sd", "difference [CI]", "p", "Holm", "verdict"):
        left = heading in ("verdict", found.axis.rpartition(".")[2])
        table.add_column(escape(heading), justify="left" if left else "right", no_wrap=True)
    short = _labels(found)
    for rows in _points(found):
        for i, row in enumerate(rows):
            start = [short[axis].get(canonical(row[axis]), "") for axis in others]
            if others and row["at"] in _HEADS:
                start[0] = _HEADS[row["at"]]
            table.add_row(
                *map(escape, start if i == 0 else [""] * len(start)),
                DASH if row["rank"] is None else str(row["rank"]),
                escape(canonical(row[found.axis])),
                str(row["n"]),
                f"{_value(found, row['mean'])} ±{_value(found, row['sd'])}",
                DASH if row["rank"] in (1, None) else _difference(found, row),
                _p(row["p"]),
                _p(row["p_holm"]),
                verdict_with_n(row),
                end_section=i == len(rows) - 1,
            )
    return table


def result_lines(found: AxisComparison) -> Iterator[str]:
    """How often each value had each verdict, and the result over all points."""
    at_points = [row for row in found.rows if row["at"] == "point"]
    number = len({tuple(canonical(row[axis]) for axis in _other_axes(found)) for row in at_points})
    for value in dict.fromkeys(canonical(row[found.axis]) for row in at_points):
        own = [row for row in at_points if canonical(row[found.axis]) == value]
        counts = {
            verdict: sum(row["verdict"] == verdict for row in own) for verdict in (Verdict.BEST, *_VERDICTS)
        }
        first = sum(row["rank"] == 1 for row in own)
        listed = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
        yield f"  {value}: first at {first} of {number} points; {listed}"
    overall = [row for row in found.rows if row["at"] == "overall"]
    leader = next((row for row in overall if row["rank"] == 1), None)
    if leader is None:
        yield "over all points: no seed has a result at every point yet"
        return
    rest = [f"{canonical(row[found.axis])} {row['verdict']}" for row in overall if row is not leader]
    yield (
        f"over all points: {canonical(leader[found.axis])} is first ({_value(found, leader['mean'])}, "
        f"{verdict_with_n(leader)}); {', '.join(rest)}"
    )


def verdict_with_n(row: Mapping[str, Any]) -> str:
    """The verdict; if undecided, with the number of seeds."""
    return f"undecided (n={row['n']})" if row["verdict"] == Verdict.UNDECIDED else str(row["verdict"])


def _other_axes(found: AxisComparison) -> list[str]:
    left_out = {*_FIELDS, "verdict", found.axis}
    return [name for name in (found.rows[0] if found.rows else ()) if name not in left_out]


def _varied(found: AxisComparison) -> list[str]:
    """The other axes with several values, at least one to mark the rows of the dense runs."""
    at_points = [row for row in found.rows if row["at"] == "point"]
    axes = _other_axes(found)
    varied = [axis for axis in axes if len({canonical(row[axis]) for row in at_points}) > 1]
    return varied or axes[:1]


def _points(found: AxisComparison) -> list[list[dict[str, Any]]]:
    others = _other_axes(found)
    grouped: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in found.rows:
        grouped.setdefault((row["at"], *(canonical(row[axis]) for axis in others)), []).append(row)
    return list(grouped.values())


def _not_first(found: AxisComparison) -> list[dict[str, Any]]:
    return [row for row in found.rows if row["rank"] != 1]


def _labels(found: AxisComparison) -> Mapping[str, Mapping[str, str]]:
    return {axis: labels(canonical(row[axis]) for row in found.rows) for axis in _other_axes(found)}


def _named(found: AxisComparison, row: Mapping[str, Any]) -> str:
    """A value and its difference to the first."""
    name = canonical(row[found.axis])
    if row["n_diverged"]:
        return f"{name} (diverged)"
    return name if row["rank"] is None else f"{name} {_size(found, row['difference'], signed=True)}"


def _is_fraction(found: AxisComparison) -> bool:
    return "accuracy" in found.metric or found.metric == "sparsity_achieved"


def _value(found: AxisComparison, value: float) -> str:
    return percent(value) if _is_fraction(found) else f"{value:.4g}" if value == value else DASH


def _size(found: AxisComparison, value: float, *, signed: bool = False) -> str:
    if _is_fraction(found):
        return points(value) if signed else points_of(value)
    return f"{value:+.3g}" if signed else f"{value:g}"


def _difference(found: AxisComparison, row: Mapping[str, Any]) -> str:
    if _is_fraction(found):
        return f"{points(row['difference'])} {interval(row['ci_low'], row['ci_high'])}".strip()
    return f"{as_float(row['difference']):+.3g} [{row['ci_low']:+.3g}, {row['ci_high']:+.3g}]"


def _p(value: float) -> str:
    if value != value:
        return DASH
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
