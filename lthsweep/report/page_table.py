"""The table of all grid points on the page: its columns, its filters, and the texts of its cells."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lthsweep.reduce.catalog import COLUMNS
from lthsweep.report.axes import FrameRow
from lthsweep.report.numbers import (
    DASH,
    as_float,
    count,
    flag,
    interval,
    percent,
    percent_left,
    points,
    seconds,
    size,
    times,
)
from lthsweep.report.summary import dead_layers, lost_seeds
from lthsweep.report.verdicts import TICKET_VERDICTS

__all__ = ["AxisFilter", "PageColumn", "PageFilters", "PageRow", "columns", "filters", "table_rows"]

_MOST_OPTIONS = 200


@dataclass(frozen=True)
class PageColumn:
    """A column of numbers.

    Attributes:
        heading: short; the tooltip explains it.
        text: the number as a reader wants it.
        sort: the column of the tickets that it sorts by.
        detail: text in smaller print behind the number, "" for none.
    """

    heading: str
    text: Callable[[FrameRow], str]
    sort: str
    detail: Callable[[FrameRow], str] = lambda row: ""

    @property
    def meaning(self) -> str:
        """The declared meaning of the column that it sorts by."""
        return next(column.tooltip for column in COLUMNS["tickets"] if column.name == self.sort)


@dataclass(frozen=True)
class PageCell:
    """One number of a row: its text, its detail, and the text it sorts by ("" if unknown)."""

    text: str
    detail: str
    sort: str


@dataclass(frozen=True)
class PageRow:
    """One grid point.

    Attributes:
        values: the row of the tickets, with canonical axes.
        order: of its verdict, for sorting.
        main, further: cells of the columns before and after the remarks.
        dead: names of dead layers.
        remarks: other reasons to look closer.
        audit_failed: whether the ticket failed its audit.
    """

    values: FrameRow
    order: int
    main: list[PageCell]
    further: list[PageCell]
    dead: list[str]
    remarks: list[str]
    audit_failed: bool


@dataclass(frozen=True)
class AxisFilter:
    """A choice of values of one axis: the number of its column, its name, value → label."""

    column: int
    name: str
    options: Mapping[str, str]


@dataclass(frozen=True)
class PageFilters:
    """The verdicts and the axes that can be filtered by."""

    verdicts: list[str]
    axes: list[AxisFilter]


def columns() -> tuple[tuple[PageColumn, ...], tuple[PageColumn, ...]]:
    """The columns before and after the remarks."""
    return _MAIN, _FURTHER


def table_rows(rows: Sequence[FrameRow]) -> list[PageRow]:
    """The grid points, in the order of `rows`."""
    verdicts = list(TICKET_VERDICTS)
    return [
        PageRow(
            values=row,
            order=verdicts.index(row["verdict"]),
            main=[_cell(row, column) for column in _MAIN],
            further=[_cell(row, column) for column in _FURTHER],
            dead=dead_layers(row.get("dead_layers")),
            remarks=lost_seeds(row),
            audit_failed=flag(row.get("audit_ok")) is False,
        )
        for row in rows
    ]


def filters(rows: Sequence[FrameRow], short: Mapping[str, Mapping[str, str]]) -> PageFilters:
    """The filters: verdicts that occur, and axes with several values.

    Args:
        rows: the rows of the table.
        short: axis → value → label.
    """
    occurring = {row["verdict"] for row in rows}
    return PageFilters(
        verdicts=[name for name in TICKET_VERDICTS if name in occurring],
        axes=[
            AxisFilter(column, axis, options)
            for column, (axis, options) in enumerate(short.items())
            if 1 < len(options) <= _MOST_OPTIONS
        ],
    )


def _cell(row: FrameRow, column: PageColumn) -> PageCell:
    number = as_float(row.get(column.sort))
    sort = "" if math.isnan(number) else f"{number:.10g}"
    return PageCell(column.text(row), column.detail(row), sort)


def _with_sd(row: FrameRow) -> str:
    accuracy, sd = percent(row.get("ticket_accuracy")), percent(row.get("ticket_sd"))
    return accuracy if sd == DASH else f"{accuracy} ± {sd}"


def _share(part: str, whole: str) -> Callable[[FrameRow], str]:
    def text(row: FrameRow) -> str:
        share = percent(as_float(row.get(part)) / (as_float(row.get(whole)) or math.nan), 0)
        return "" if share == DASH else f"({share} %)"

    return text


def _steps(row: FrameRow) -> str:
    steps = as_float(row.get("steps_to_dense"))
    return "never" if steps < 0 else f"{steps:,.0f}" if steps >= 0 else DASH


_MAIN = (
    PageColumn(
        "ticket %",
        _with_sd,
        "ticket_accuracy",
    ),
    PageColumn(
        "difference",
        lambda row: points(row.get("difference")),
        "difference",
        lambda row: interval(row.get("ci_low"), row.get("ci_high")),
    ),
    PageColumn(
        "dense %",
        lambda row: percent(row.get("dense_accuracy")),
        "dense_accuracy",
    ),
    PageColumn(
        "n",
        lambda row: "/".join(count(row.get(column)) for column in ("n", "n_planned")),
        "n",
    ),
    PageColumn(
        "left %",
        lambda row: percent_left(row["weights_remaining"], 2),
        "weights_remaining",
    ),
)

_FURTHER = (
    PageColumn(
        "compression",
        lambda row: times(row.get("compression")),
        "compression",
    ),
    PageColumn(
        "pruned %",
        lambda row: percent(row.get("pruned_accuracy")),
        "pruned_accuracy",
    ),
    PageColumn(
        "steps to dense",
        _steps,
        "steps_to_dense",
    ),
    PageColumn(
        "MACs",
        lambda row: count(row.get("macs_remaining")),
        "macs_remaining",
        _share("macs_remaining", "macs_dense"),
    ),
    PageColumn(
        "bytes",
        lambda row: size(row.get("bytes_sparse")),
        "bytes_sparse",
        _share("bytes_sparse", "bytes_dense"),
    ),
    PageColumn(
        "training",
        lambda row: seconds(row.get("seconds_train")),
        "seconds_train",
    ),
)
