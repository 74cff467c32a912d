"""The winning-ticket table, the table of controls, and the headline for a terminal of 100 columns."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from lthsweep.report.axes import Axes, FrameRow, as_written, labels
from lthsweep.report.numbers import DASH, as_float, flag, interval, percent, percent_left, points, times
from lthsweep.report.plain_table import add_axes, axis_cells, heading_of, plain_table
from lthsweep.report.summary import dead_layers, lost_seeds, ready_rows, sparsest_matching, totals
from lthsweep.report.verdicts import TICKET_VERDICTS, points_of
from lthsweep.wording import plural

__all__ = ["control_table", "headline", "remarks", "ticket_table"]


def headline(
    tickets: pd.DataFrame,
    *,
    name: str = "",
    margin: float,
    confidence: float,
    steps_per_epoch: float = math.nan,
) -> list[str]:
    """Lines above the table: progress, verdicts, sparsest matching ticket per rewind epoch.

    Args:
        tickets: one row per grid point.
        name: of the sweep, starts the first line.
        margin: of the verdict, fraction.
        confidence: of the verdict's interval, fraction.
        steps_per_epoch: see `lthsweep.report.axes.ordered`.
    """
    counted = totals(tickets)
    lines = [
        f"{name + ': ' if name else ''}{plural(counted.points, 'grid point')}, "
        f"{plural(counted.cells, 'cell')}: "
        f"{counted.finished:,} finished, {counted.missing:,} missing, {counted.failed:,} failed"
        + (f", {counted.set_aside:,} set aside" if counted.set_aside else "")
        + (f"; {counted.diverged:,} diverged" if counted.diverged else "")
    ]
    found = [f"{number} {verdict}" for verdict, number in counted.verdicts.items() if number]
    lines.append(
        f"verdicts (margin {points_of(margin)}, {100 * confidence:g} % interval): "
        f"{', '.join(found) or 'none'}"
    )
    if counted.dead:
        lines.append(f"{plural(counted.dead, 'grid point')} with dead layers, which lost every weight")
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
            open_ones = f" ({best.undecided} undecided: more seeds can decide)" if best.undecided else ""
            lines.append(f"{start}none{open_ones}")
        else:
            lines.append(start + _describe(best.row, axes.cut))
    return lines


def ticket_table(tickets: pd.DataFrame, *, title: str = "", limit: int | None = None) -> Table:
    """The winning-ticket table: accuracies in percent, differences in percentage points.

    Args:
        tickets: one row per grid point, shown in this order.
        title: above the table.
        limit: rows to show; a caption counts the others.
    """
    axes = Axes.of(tickets)
    table = plain_table(title, rows=len(tickets), limit=limit, shown_by="lthsweep query")
    columns = [column for column in _COLUMNS if column.shown(axes)]
    for heading in (axes.cut, "k"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in axes.further:
        longest = max((len(str(v)) for v in tickets[heading]), default=0)
        table.add_column(heading_of(heading), overflow="fold", min_width=min(longest, 14))
    for column in columns:
        table.add_column(escape(column.heading), justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("remarks", min_width=0 if axes.further else 13)
    shown = ready_rows(tickets).iloc[:limit]
    short = {axis: labels(shown[axis]) for axis in axes.names}
    for row in shown.to_dict("records"):
        table.add_row(
            short[axes.cut][row[axes.cut]],
            short["rewind_epoch"][row["rewind_epoch"]],
            *(Text(str(row[axis])) for axis in axes.further),
            *(column.text(row) for column in columns),
            Text(row["verdict"], style=TICKET_VERDICTS[row["verdict"]].terminal),
            Text("; ".join(remarks(row)), style="yellow"),
        )
    return table


def control_table(controls: pd.DataFrame, *, limit: int | None = None) -> Table:
    """The table of controls: accuracies in percent, ticket − control in percentage points.

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
    for row in as_written(controls).iloc[:limit].to_dict("records"):
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


def remarks(row: FrameRow) -> list[str]:
    """Problems of a grid point in addition to its verdict, the most serious first."""
    found = []
    if flag(row.get("audit_ok")) is False:
        found.append("audit failed")
    if dead := dead_layers(row.get("dead_layers")):
        found.append(plural(len(dead), "dead layer"))
    return found + lost_seeds(row)


def _describe(row: FrameRow, cut: str) -> str:
    gone = f"{cut} {labels([row[cut]])[row[cut]]}"
    return (
        f"{gone}, {percent_left(row['weights_remaining'])} % of weights left ({times(row.get('compression'))}), "
        f"{_with_sd(row)} %, {_difference(row)} {row['verdict']}"
    )


def _with_sd(row: FrameRow) -> str:
    accuracy, sd = percent(row.get("ticket_accuracy")), percent(row.get("ticket_sd"))
    return accuracy if sd == DASH else f"{accuracy} ±{sd}"


def _difference(row: FrameRow) -> str:
    """The difference and its interval; wide intervals without hundredths, to keep the column narrow."""
    difference = row.get("difference")
    widest = max(abs(as_float(row.get(name))) for name in ("difference", "ci_low", "ci_high"))
    digits = 1 if widest >= 0.0995 else 2
    bounds = interval(row.get("ci_low"), row.get("ci_high"), digits)
    return f"{points(difference, digits)} {bounds}".strip()


def _seeds(row: FrameRow) -> str:
    done, planned = as_float(row.get("n")), as_float(row.get("n_planned"))
    return "/".join(f"{v:.0f}" if math.isfinite(v) else DASH for v in (done, planned))


@dataclass(frozen=True)
class TerminalColumn:
    """A column of numbers; `shown` is true for the axes that leave space for it."""

    heading: str
    text: Callable[[FrameRow], str]
    shown: Callable[[Axes], bool] = lambda axes: True


_COLUMNS = (
    TerminalColumn("n", _seeds),
    TerminalColumn(
        "left %", lambda row: percent_left(row["weights_remaining"]), lambda axes: axes.cut == "threshold"
    ),
    TerminalColumn("dense", lambda row: percent(row.get("dense_accuracy"))),
    TerminalColumn("ticket ± sd", _with_sd),
    TerminalColumn("difference [CI]", _difference),
    TerminalColumn("pruned", lambda row: percent(row.get("pruned_accuracy")), lambda axes: not axes.further),
)
