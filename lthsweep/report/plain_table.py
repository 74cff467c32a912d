"""The look of tables on a terminal: short names of axes, and a caption that counts omitted rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
from rich import box
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from lthsweep.report.axes import FrameRow, as_written, canonical, labels
from lthsweep.wording import plural

__all__ = ["add_axes", "axis_cells", "heading_of", "plain_table"]


def plain_table(title: str = "", *, rows: int = 0, limit: int | None = None, shown_by: str = "") -> Table:
    """An empty table in the style of this package.

    Args:
        title: above the table; brackets in it are not markup.
        rows: number of rows in total.
        limit: number of rows to show; the caption counts the others.
        shown_by: the command that shows all rows.
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
    """The last part of a dotted axis, "k" for the rewind epoch."""
    return "k" if axis == "rewind_epoch" else escape(axis.rpartition(".")[2])


def add_axes(table: Table, axes: Sequence[str]) -> None:
    """Add a column for each axis; long values are folded."""
    for axis in axes:
        table.add_column(heading_of(axis), justify="right", overflow="fold")


def axis_cells(frame: pd.DataFrame, axes: Sequence[str]) -> Callable[[FrameRow], list[Text]]:
    """A function from a row of `as_written(frame)` to the cells of its axes, as short as all rows allow."""
    frame = as_written(frame)
    short = {axis: labels(canonical(value) for value in frame[axis]) for axis in axes}
    return lambda row: [Text(short[axis][canonical(row[axis])]) for axis in axes]
