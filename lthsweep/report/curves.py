"""Learning curves: validation accuracy over epochs, dense run and tickets, one small panel per sparsity."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd
from matplotlib.axes import Axes as Plot
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from lthsweep.report.axes import labels, spread_pick
from lthsweep.report.content import Part, ReportInput
from lthsweep.report.numbers import plural
from lthsweep.report.style import INK, line_colors, new_figure, note, say

__all__ = ["curves", "metric_of"]

_PANELS = 6
_LINES = 5
_COLUMNS = 3


def curves(part: Part, report: ReportInput) -> Figure:
    """Draw one combination of further axes; a readable choice of at most 6 sparsities and 5 rewind epochs.

    A ticket's curve starts where it was rewound to, so the lines of one panel are aligned by the epochs of
    the schedule, not by the time spent.
    """
    metric, name = metric_of(report.curves)
    keyed = _by_key(report.curves, metric)
    cut = report.axes.cut
    trained = part.runs[part.runs["key"].isin(keyed.index)] if "key" in part.runs else part.runs.iloc[:0]
    cuts = [value for value in part.cuts if (trained[cut] == value).any()]
    if not cuts:
        figure = new_figure(6.2, 2)
        say(figure, "no ticket has a learning curve yet")
        return figure
    panels = spread_pick(cuts, _PANELS)
    rewinds = spread_pick([k for k in part.rewinds if (trained["rewind_epoch"] == k).any()], _LINES)
    columns = 2 if len(panels) == 4 else min(len(panels), _COLUMNS)
    rows = math.ceil(len(panels) / columns)
    figure = new_figure(1.2 + 2.15 * columns, 0.75 + 1.75 * rows)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    colors = dict(zip(rewinds, line_colors(len(rewinds)), strict=True))
    of_cut, of_rewind = labels(part.cuts), labels(part.rewinds)
    dense_keys = [key for key in part.dense.get("key", []) if key in keyed.index]
    handles: dict[str, Line2D] = {}
    for plot, value in zip(grid, panels, strict=False):
        if line := _draw(plot, keyed, dense_keys, INK, dense=True):
            handles[f"dense (n = {len(dense_keys)})"] = line
        here = trained[trained[cut] == value]
        for rewind in rewinds:
            if line := _draw(plot, keyed, here["key"][here["rewind_epoch"] == rewind], colors[rewind]):
                handles.setdefault(f"k = {of_rewind[rewind]}", line)
        plot.set_title(f"{cut} {of_cut[value]}", fontsize=8)
        plot.grid(axis="y")
        plot.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    for plot in grid[len(panels) :]:
        plot.set_axis_off()
    for i, plot in enumerate(grid[: len(panels)]):
        if i % columns == 0:
            plot.set_ylabel(f"{name} (%)")
        if i + columns >= len(panels):
            plot.set_xlabel("epoch")
            plot.tick_params(labelbottom=True)
    figure.legend(list(handles.values()), list(handles), loc="outside right upper")
    note(figure, _small_print(part, cuts, panels, trained, cut))
    return figure


def metric_of(frame: pd.DataFrame) -> tuple[str, str]:
    """The column to draw and its name: training accuracy if nothing was held out for validation."""
    if "val_accuracy" in frame and pd.to_numeric(frame["val_accuracy"], errors="coerce").notna().any():
        return "val_accuracy", "validation accuracy"
    return "train_accuracy", "training accuracy"


def _by_key(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    if frame.empty or metric not in frame:
        return pd.DataFrame({"epoch": [], "value": []}, index=pd.Index([], name="key"))
    numbers = pd.DataFrame(
        {
            "key": frame["key"],
            "epoch": pd.to_numeric(frame["epoch"], errors="coerce"),
            "value": 100 * pd.to_numeric(frame[metric], errors="coerce"),
        }
    )
    return numbers.dropna().set_index("key").sort_index(kind="stable")


def _draw(
    plot: Plot, keyed: pd.DataFrame, keys: Iterable[str], color: str, *, dense: bool = False
) -> Line2D | None:
    """Mean and min–max band over the runs `keys`; returns the line, or None if they have no curve."""
    here = keyed[keyed.index.isin(list(keys))]
    if here.empty:
        return None
    over = here.groupby("epoch")["value"].agg(["min", "mean", "max"])
    epochs = over.index.to_numpy(float)
    look: dict[str, Any] = {"linewidth": 1.0, "linestyle": (0, (5, 2))} if dense else {"linewidth": 1.3}
    plot.fill_between(epochs, over["min"], over["max"], color=color, alpha=0.1 if dense else 0.2, linewidth=0)
    marker = "o" if len(epochs) == 1 else ""
    (line,) = plot.plot(epochs, over["mean"], color=color, marker=marker, zorder=1.9 if dense else 2, **look)
    return line


def _small_print(part: Part, cuts: list[str], panels: list[str], trained: pd.DataFrame, cut: str) -> str:
    said = ["Line: mean over seeds; band: least to greatest seed; tickets start at their rewind epoch."]
    seeds = trained.groupby([cut, "rewind_epoch"]).size()
    low, high = int(seeds.min()), int(seeds.max())
    said.append(f"n\xa0=\xa0{low if low == high else f'{low}–{high}'} per ticket line.")
    if len(cuts) > len(panels):
        said.append(f"{len(panels)} of {len(cuts)} values shown.")
    if untrained := len(part.cuts) - len(cuts):
        said.append(f"No finished run at {plural(untrained, 'value')}.")
    return " ".join(said)
