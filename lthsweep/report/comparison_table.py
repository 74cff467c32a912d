"""The comparison of an axis's values, for a terminal: settings, a line per point, and the overall result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.markup import escape
from rich.table import Table

from lthsweep.reduce.axis_comparison import AxisComparison, ComparedValue
from lthsweep.reduce.decision import Verdict
from lthsweep.reduce.ranking import RankedValue
from lthsweep.report.axes import canonical, labels
from lthsweep.report.numbers import DASH, interval, percent, points
from lthsweep.report.plain_table import plain_table
from lthsweep.report.verdicts import points_of

__all__ = ["comparison_table", "full_comparison_table", "result_lines", "settings_lines"]

_VERDICTS = (Verdict.EQUAL, Verdict.WORSE, Verdict.UNDECIDED, Verdict.MISSING)
_HEADS = {"dense": "dense", "overall": "all points"}


def settings_lines(found: AxisComparison, name: str) -> list[str]:
    """Two lines: the metric and axis, and the tests."""
    seeds = sorted({row.ranked.n for row in found.rows if row.ranked.n})
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
    shown = [
        verdict
        for verdict in _VERDICTS
        if any(row.ranked.verdict is verdict for row in found.rows if row.ranked.rank != 1)
    ]
    for verdict in shown:
        table.add_column(verdict)
    short = _labels(found)
    for rows in _points(found):
        ranked = [row.ranked for row in rows]
        leader = ranked[0] if ranked[0].rank == 1 else None
        named = [
            [_named(found, one) for one in ranked if one is not leader and one.verdict is verdict]
            for verdict in shown
        ]
        table.add_row(
            *map(escape, _start(rows[0], others, short)),
            str(ranked[0].n),
            escape(canonical(leader.value)) if leader else DASH,
            _value(found, leader.mean) if leader else DASH,
            verdict_with_n(leader) if leader else DASH,
            *(escape(", ".join(names)) for names in named),
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
            start, one = _start(row, others, short), row.ranked
            table.add_row(
                *map(escape, start if i == 0 else [""] * len(start)),
                DASH if one.rank is None else str(one.rank),
                escape(canonical(one.value)),
                str(one.n),
                f"{_value(found, one.mean)} ±{_value(found, one.sd)}",
                DASH if one.rank in (1, None) else _difference(found, one),
                _p(one.p),
                _p(one.p_holm),
                verdict_with_n(one),
                end_section=i == len(rows) - 1,
            )
    return table


def result_lines(found: AxisComparison) -> Iterator[str]:
    """How often each value had each verdict, and the result over all points."""
    at_points = [row for row in found.rows if row.at == "point"]
    number = len({tuple(map(canonical, row.others.values())) for row in at_points})
    for value in dict.fromkeys(canonical(row.ranked.value) for row in at_points):
        own = [row.ranked for row in at_points if canonical(row.ranked.value) == value]
        counts = {
            verdict: sum(one.verdict is verdict for one in own) for verdict in (Verdict.BEST, *_VERDICTS)
        }
        first = sum(one.rank == 1 for one in own)
        listed = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
        yield f"  {value}: first at {first} of {number} points; {listed}"
    overall = [row.ranked for row in found.rows if row.at == "overall"]
    leader = next((one for one in overall if one.rank == 1), None)
    if leader is None:
        yield "over all points: no seed has a result at every point yet"
        return
    rest = [f"{canonical(one.value)} {one.verdict}" for one in overall if one is not leader]
    yield (
        f"over all points: {canonical(leader.value)} is first ({_value(found, leader.mean)}, "
        f"{verdict_with_n(leader)}); {', '.join(rest)}"
    )


def verdict_with_n(one: RankedValue) -> str:
    """Return the verdict; if undecided, with the number of seeds."""
    return f"undecided (n={one.n})" if one.verdict is Verdict.UNDECIDED else one.verdict


def _varied(found: AxisComparison) -> list[str]:
    """Return the other axes with several values, at least one to mark the rows of the dense runs."""
    axes = list(found.rows[0].others) if found.rows else []
    at_points = [row for row in found.rows if row.at == "point"]
    varied = [axis for axis in axes if len({canonical(row.others[axis]) for row in at_points}) > 1]
    return varied or axes[:1]


def _points(found: AxisComparison) -> list[list[ComparedValue]]:
    grouped: dict[tuple[str, ...], list[ComparedValue]] = {}
    for row in found.rows:
        grouped.setdefault((row.at, *map(canonical, row.others.values())), []).append(row)
    return list(grouped.values())


def _start(row: ComparedValue, axes: Sequence[str], short: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return the cells of the other axes; the first one marks dense runs and the mean over all points."""
    cells = [short[axis].get(canonical(row.others[axis]), "") for axis in axes]
    return [_HEADS[row.at], *cells[1:]] if cells and row.at in _HEADS else cells


def _labels(found: AxisComparison) -> Mapping[str, Mapping[str, str]]:
    axes = found.rows[0].others if found.rows else ()
    return {axis: labels(canonical(row.others[axis]) for row in found.rows) for axis in axes}


def _named(found: AxisComparison, one: RankedValue) -> str:
    """Return a value and its difference to the first."""
    name = canonical(one.value)
    if one.n_diverged:
        return f"{name} (diverged)"
    return name if one.rank is None else f"{name} {_size(found, one.difference, signed=True)}"


def _is_fraction(found: AxisComparison) -> bool:
    return "accuracy" in found.metric or found.metric == "sparsity_achieved"


def _value(found: AxisComparison, value: float) -> str:
    return percent(value) if _is_fraction(found) else f"{value:.4g}" if value == value else DASH


def _size(found: AxisComparison, value: float, *, signed: bool = False) -> str:
    if _is_fraction(found):
        return points(value) if signed else points_of(value)
    return f"{value:+.3g}" if signed else f"{value:g}"


def _difference(found: AxisComparison, one: RankedValue) -> str:
    if _is_fraction(found):
        return f"{points(one.difference)} {interval(one.ci_low, one.ci_high)}".strip()
    return f"{one.difference:+.3g} [{one.ci_low:+.3g}, {one.ci_high:+.3g}]"


def _p(value: float) -> str:
    if value != value:
        return DASH
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
