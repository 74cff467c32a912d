"""The winning-ticket table on a terminal: 100 columns, words before colors, nothing left out silently."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from lthsweep.report.axes import Axes, labels
from lthsweep.report.numbers import DASH, as_float, flag, interval, percent, plural, points, times
from lthsweep.report.plain_table import add_axes, axis_cells, heading_of, plain_table
from lthsweep.report.summary import dead_layers, remaining, sparsest_matching, totals, verdict_of
from lthsweep.report.verdicts import VERDICTS, points_of

__all__ = ["control_table", "headline", "remarks", "ticket_table"]


def headline(
    tickets: pd.DataFrame,
    *,
    name: str = "",
    margin: float,
    confidence: float,
    steps_per_epoch: float = math.nan,
) -> list[str]:
    """Plain lines to print above the table: progress, verdicts, sparsest matching ticket per rewind epoch.

    Args:
        tickets: one row per grid point.
        name: of the sweep, leads the first line.
        margin: of the verdict, fraction.
        confidence: of the verdict's interval, fraction.
        steps_per_epoch: see `lthsweep.report.axes.ordered`.
    """
    counted = totals(tickets)
    lines = [
        f"{name + ': ' if name else ''}{plural(counted.points, 'grid point')}, "
        f"{plural(counted.cells, 'cell')}: "
        f"{counted.finished:,} finished, {counted.missing:,} missing, {counted.failed:,} failed"
        + (f"; {counted.diverged:,} diverged" if counted.diverged else "")
    ]
    found = [f"{number} {verdict}" for verdict, number in counted.verdicts.items() if number]
    lines.append(
        f"verdicts (margin {points_of(margin)}, {100 * confidence:g} % interval): "
        f"{', '.join(found) or 'none'}"
    )
    if counted.dead:
        lines.append(f"{plural(counted.dead, 'grid point')} with dead layers: layers that lost every weight")
    if counted.audit:
        lines.append(
            f"AUDIT: {plural(counted.audit, 'grid point')} failed the ticket audit; do not trust them"
        )
    if len(tickets):
        lines.append("sparsest matching ticket per rewind epoch:")
    axes = Axes.of(tickets)
    for best in sparsest_matching(tickets, steps_per_epoch):
        where = ", ".join(f"{a} = {v}" for a, v in zip(axes.further, best.combination, strict=True))
        start = f"  k = {best.rewind}{', ' + where if where else ''}: "
        if best.row is None:
            open_ones = f" ({best.undecided} undecided: more seeds may decide)" if best.undecided else ""
            lines.append(f"{start}none{open_ones}")
        else:
            lines.append(start + _describe(best.row, axes.cut))
    return lines


def ticket_table(tickets: pd.DataFrame, *, title: str = "", limit: int | None = None) -> Table:
    """The table itself; accuracies in percent, differences in percentage points.

    Args:
        tickets: one row per grid point, shown in this order.
        title: above the table.
        limit: rows to show; a caption says how many were left out.
    """
    axes = Axes.of(tickets)
    table = plain_table(title, rows=len(tickets), limit=limit, shown_by="lthsweep query")
    columns = [column for column in _COLUMNS if column.wanted is None or column.wanted(axes)]
    for heading in (axes.cut, "k"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in axes.further:
        longest = max((len(str(v)) for v in tickets[heading]), default=0)
        table.add_column(heading_of(heading), overflow="fold", min_width=min(longest, 14))
    for column in columns:
        table.add_column(escape(column.heading), justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("remarks", min_width=0 if axes.further else 13)
    shown = axes.normalize(tickets).iloc[:limit]
    shown = shown.assign(_remaining=remaining(shown))
    short = {axis: labels(shown[axis]) for axis in axes.names}
    for row in shown.to_dict("records"):
        verdict = verdict_of(row.get("verdict"))
        table.add_row(
            short[axes.cut][row[axes.cut]],
            short["rewind_epoch"][row["rewind_epoch"]],
            *(Text(str(row[axis])) for axis in axes.further),
            *(column.text(row) for column in columns),
            Text(verdict, style=VERDICTS[verdict].terminal),
            Text("; ".join(remarks(row)), style="yellow"),
        )
    return table


def control_table(controls: pd.DataFrame, *, limit: int | None = None) -> Table:
    """Tickets against their controls: accuracies in percent, ticket − control in percentage points.

    Args:
        controls: one row per control of a grid point, shown in this order.
        limit: as for `ticket_table`.
    """
    names = [str(name) for name in controls.columns]
    axes = names[: names.index("control")]
    table = plain_table(
        "ticket − control, paired by seed",
        rows=len(controls),
        limit=limit,
        shown_by="lthsweep query --table controls",
    )
    add_axes(table, axes)
    table.add_column("control", no_wrap=True)
    for heading in ("n", "ticket", "control", "difference [CI]"):
        table.add_column(escape(heading), justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    cells = axis_cells(controls, axes)
    for row in controls.iloc[:limit].to_dict("records"):
        table.add_row(
            *cells(row),
            Text(str(row["control"])),
            _seeds(row),
            percent(row["ticket_accuracy"]),
            percent(row["control_accuracy"]),
            _difference(row),
            Text(str(row["verdict"])),
        )
    return table


def remarks(row: Mapping[Any, Any]) -> list[str]:
    """What a reader must know about a grid point beside its verdict, most serious first."""
    said = []
    if flag(row.get("audit_ok")) is False:
        said.append("audit failed")
    if dead := dead_layers(row.get("dead_layers")):
        said.append(plural(len(dead), "dead layer"))
    for column, word in (("n_failed", "failed"), ("n_missing", "missing"), ("n_diverged", "diverged")):
        number = as_float(row.get(column))
        if number > 0:
            said.append(f"{number:.0f} {word}")
    return said


def _describe(row: pd.Series, cut: str) -> str:
    gone = f"{cut} {labels([row[cut]])[row[cut]]}"
    return (
        f"{gone}, {percent(row['_remaining'], 1)} % of weights left ({times(row.get('compression'))}), "
        f"{_with_sd(row)} %, {_difference(row)} {verdict_of(row.get('verdict'))}"
    )


def _with_sd(row: Mapping[Any, Any] | pd.Series) -> str:
    accuracy, sd = percent(row.get("ticket_accuracy")), percent(row.get("ticket_sd"))
    return accuracy if sd == DASH else f"{accuracy} ±{sd}"


def _difference(row: Mapping[Any, Any] | pd.Series) -> str:
    """The difference and its interval; wide ones need no hundredths, which would widen the column."""
    difference = row.get("difference")
    widest = max(abs(as_float(row.get(name))) for name in ("difference", "ci_low", "ci_high"))
    digits = 1 if widest >= 0.0995 else 2
    bounds = interval(row.get("ci_low"), row.get("ci_high"), digits)
    return f"{points(difference, digits)} {bounds}".strip()


def _seeds(row: Mapping[Any, Any]) -> str:
    done, planned = as_float(row.get("n")), as_float(row.get("n_planned"))
    return "/".join(f"{v:.0f}" if math.isfinite(v) else DASH for v in (done, planned))


@dataclass(frozen=True)
class _Column:
    """A column of numbers; `wanted` says for which axes there is room and need for it."""

    heading: str
    text: Callable[[Mapping[Any, Any]], str]
    wanted: Callable[[Axes], bool] | None = None


_COLUMNS = (
    _Column("n", _seeds),
    _Column("left %", lambda row: percent(row["_remaining"], 1), lambda axes: axes.cut == "threshold"),
    _Column("dense", lambda row: percent(row.get("dense_accuracy"))),
    _Column("ticket ± sd", _with_sd),
    _Column("difference [CI]", _difference),
    _Column("pruned", lambda row: percent(row.get("pruned_accuracy")), lambda axes: not axes.further),
)
