"""How the tables of a terminal look: a line under the headings, short names of axes, and a word on rows left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
from rich import box
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from lthsweep.report.axes import canonical, labels
from lthsweep.report.numbers import plural

__all__ = ["add_axes", "axis_cells", "heading_of", "plain_table"]


def plain_table(title: str = "", *, rows: int = 0, limit: int | None = None, shown_by: str = "") -> Table:
    """A table that has no columns yet.

    Args:
        title: above the table, as it is: brackets are no markup.
        rows: how many there are.
        limit: how many of them will be shown; if that is not all, the caption says how many were left out.
        shown_by: the command line that shows all.
    """
    left_out = 0 if limit is None else max(rows - limit, 0)
    return Table(
        title=escape(title) or None,
        title_justify="left",
        caption=f"{plural(left_out, 'row')} more; `{shown_by}` shows them" if left_out else None,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )


def heading_of(axis: str) -> str:
    """The last word of a dotted axis, and "k" for the rewind epoch."""
    return "k" if axis == "rewind_epoch" else escape(axis.rpartition(".")[2])


def add_axes(table: Table, axes: Sequence[str]) -> None:
    """A column for each axis; long values are folded."""
    for axis in axes:
        table.add_column(heading_of(axis), justify="right", overflow="fold")


def axis_cells(frame: pd.DataFrame, axes: Sequence[str]) -> Callable[[Mapping[Any, Any]], list[Text]]:
    """What gives the cells of the axes' columns for a row of `frame`: as short as all of its rows allow."""
    short = {axis: labels(canonical(value) for value in frame[axis]) for axis in axes}
    return lambda row: [Text(short[axis][canonical(row[axis])]) for axis in axes]
