"""One line per value of a further axis: accuracy against weights remaining, and against the epochs trained.

The other figures show one combination of the further axes each; these lay the values of one axis over each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes as Plot
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from lthsweep.report.accuracy import frame_plot
from lthsweep.report.axes import labels, spread_pick
from lthsweep.report.content import ReportInput
from lthsweep.report.curves import metric_of
from lthsweep.report.overlay import Overlay
from lthsweep.report.style import MUTED, new_figure, note, say
from lthsweep.report.value_rows import epochs_of_value, points_of_value

__all__ = ["accuracy_by_value", "epochs_by_value"]

_ROWS = 3
_PANELS = 6
_ZOOM = 0.06  # accuracy below the highest that the right panel still shows
_SQUEEZED = 0.12  # a spread of accuracies beyond which the left panel hides what matters
_LABELLED_LEVELS = 10
_BAND = 0.1  # six of them lie over each other


def accuracy_by_value(overlay: Overlay, report: ReportInput) -> Figure:
    """Test accuracy at the last epoch against weights remaining; the dense runs are at 100 %."""
    points = pd.concat(
        [points_of_value(value, part, report.axes.cut, overlay.axis) for value, part in overlay.parts.items()]
    )
    if points.empty:
        return _nothing("no ticket has finished yet")
    rewinds = spread_pick([k for k in overlay.rewinds if (points["rewind_epoch"] == k).any()], _ROWS)
    top, bottom = points["high"].max(), points["low"].min()
    zoom = bottom < top - _SQUEEZED
    figure = new_figure(7.4 if zoom else 5.4, 0.5 + 2.6 * max(len(rewinds), 1))
    grid = figure.subplots(max(len(rewinds), 1), 2 if zoom else 1, squeeze=False)
    label = labels(overlay.rewinds)
    for row, rewind in zip(grid, rewinds, strict=False):
        here = points[points["rewind_epoch"].isin([rewind, ""])]
        for plot in row:
            for value in overlay.parts:
                _line(plot, here[here["value"] == value], overlay.colors[value], overlay.markers[value])
            frame_plot(plot, here["left"])
        row[0].set_ylabel("test accuracy (%)")
        if len(overlay.rewinds) > 1:
            row[0].set_title(f"k = {label[rewind]}")
        if zoom:
            near = here["low"][here["low"] >= top - _ZOOM]
            floor = float(near.min()) if len(near) else top - _ZOOM
            room = 0.06 * max(top - floor, 1e-3)
            row[1].set_ylim(100 * (floor - room), 100 * (top + room))
            row[1].set_title("near the top")
    figure.legend(handles=_handles(overlay, points["value"]), loc="outside right upper")
    note(figure, f"Line: mean over seeds; band: least to greatest seed. {_seeds(points['n'])} per point.")
    return figure


def epochs_by_value(overlay: Overlay, report: ReportInput) -> Figure:
    """Accuracy per epoch: along the chain if the sparsities are its levels, else a panel per sparsity.

    What is drawn per epoch is validation accuracy, for the test set is not read while training. Markers at the end
    of each training are test accuracy.
    """
    metric, name = metric_of(report.curves)
    chains = pd.concat(
        [epochs_of_value(value, part, report, metric, overlay.axis) for value, part in overlay.parts.items()]
    )
    if chains.empty:
        return _nothing("no run has a learning curve yet")
    iterative = _is_one_chain(chains)
    panels = _chain_panels(chains, overlay) if iterative else _level_panels(chains, overlay, report)
    columns = 1 if iterative else min(len(panels), 3)
    rows = math.ceil(len(panels) / columns)
    width, height = (7.4, 2.6) if iterative else (1.2 + 2.15 * columns, 1.75)
    figure = new_figure(width, 0.75 + height * rows)
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for i, (plot, (title, here)) in enumerate(zip(grid, panels, strict=False)):
        for value in overlay.parts:
            _curve(plot, here[here["value"] == value], overlay.colors[value], overlay.markers[value])
        if iterative:
            _mark_levels(plot, here)
        plot.set_title(title)
        plot.grid(axis="y")
        plot.xaxis.set_major_locator(MaxNLocator(8 if iterative else 5, integer=True))
        plot.set_xlabel("epochs trained, all levels" if iterative else "epoch")
        if i % columns == 0:
            plot.set_ylabel(f"{name} (%)")
    for plot in grid[len(panels) :]:
        plot.set_axis_off()
    figure.legend(handles=_handles(overlay, chains["value"]), loc="outside right upper")
    counted = chains.groupby(["value", "level", "cut", "rewind_epoch"])["key"].nunique()
    said = f"Line: mean over seeds; band: least to greatest seed; markers: test accuracy. {_seeds(counted)} per line."
    if iterative:
        said += " Dotted: pruning, then reset; above: weights remaining."
    note(figure, said)
    return figure


def _is_one_chain(chains: pd.DataFrame) -> bool:
    """Whether the amounts of each value are levels of one chain; with `prune.rounds` each has a chain of its own."""
    amounts = chains.groupby(["value", "level"])["cut"].nunique()
    return int(chains["level"].max()) > 1 and int(amounts.max()) == 1


def _chain_panels(chains: pd.DataFrame, overlay: Overlay) -> list[tuple[str, pd.DataFrame]]:
    """A panel per rewind epoch, its levels one behind the other; `x` is epochs trained so far."""
    label = labels(overlay.rewinds)
    panels = []
    for rewind in spread_pick([k for k in overlay.rewinds if (chains["rewind_epoch"] == k).any()], _ROWS):
        here = chains[chains["rewind_epoch"].isin([rewind, ""])]
        lengths = here.groupby("level")["at"].max().sort_index()
        before = lengths.cumsum() - lengths
        title = f"k = {label[rewind]}" if len(overlay.rewinds) > 1 else ""
        panels.append((title, here.assign(x=here["at"] + here["level"].map(before))))
    return panels


def _level_panels(
    chains: pd.DataFrame, overlay: Overlay, report: ReportInput
) -> list[tuple[str, pd.DataFrame]]:
    """A panel per amount at the first rewind epoch, the dense runs in one of their own."""
    part = next(iter(overlay.parts.values()))
    label = labels(part.cuts)
    rewind = next((k for k in overlay.rewinds if (chains["rewind_epoch"] == k).any()), "")
    at_rewind = chains[chains["rewind_epoch"] == rewind].assign(x=lambda frame: frame["epoch"])
    dense = chains[chains["level"] == 0].assign(x=lambda frame: frame["epoch"])
    panels = [("dense", dense)] if len(dense) else []
    cuts = spread_pick([cut for cut in part.cuts if (at_rewind["cut"] == cut).any()], _PANELS - len(panels))
    where = f", k = {rewind}" if len(overlay.rewinds) > 1 else ""
    panels += [(f"{report.axes.cut} {label[cut]}{where}", at_rewind[at_rewind["cut"] == cut]) for cut in cuts]
    return panels


def _line(plot: Plot, points: pd.DataFrame, color: str, marker: str) -> None:
    x = 100 * points["left"].to_numpy(float)
    mean, low, high = (100 * points[name].to_numpy(float) for name in ("mean", "low", "high"))
    plot.fill_between(x, low, high, color=color, alpha=_BAND, linewidth=0)
    plot.plot(x, mean, color=color, marker=marker, markersize=3.8, markeredgewidth=0, linewidth=1.1)


def _curve(plot: Plot, here: pd.DataFrame, color: str, marker: str) -> None:
    if here.empty:
        return
    over = here.groupby("x")["y"].agg(["min", "mean", "max"])
    x = over.index.to_numpy(float)
    plot.fill_between(x, over["min"], over["max"], color=color, alpha=_BAND, linewidth=0)
    plot.plot(x, over["mean"], color=color, linewidth=1.0)
    ends = here.sort_values("x", kind="stable").groupby("key").tail(1)
    tests = ends.groupby("x")["test"].mean()
    plot.plot(tests.index, tests, color=color, marker=marker, linestyle="", markersize=3.8, markeredgewidth=0)


def _mark_levels(plot: Plot, here: pd.DataFrame) -> None:
    levels = here.groupby("level").agg(start=("x", "min"), end=("x", "max"), left=("left", "mean"))
    for level, row in levels.iterrows():
        if level:
            plot.axvline(row["start"] - 0.5, color=MUTED, linewidth=0.6, linestyle=(0, (1, 2)))
        if len(levels) <= _LABELLED_LEVELS:
            plot.annotate(
                f"{100 * row['left']:.3g} %",
                ((row["start"] + row["end"]) / 2, 1.01),
                xycoords=("data", "axes fraction"),
                ha="center",
                fontsize=6.5,
                color=MUTED,
            )


def _handles(overlay: Overlay, shown: pd.Series) -> list[Line2D]:
    there = set(shown)
    return [
        Line2D(
            [],
            [],
            color=overlay.colors[value],
            marker=overlay.markers[value],
            markeredgewidth=0,
            label=value,
        )
        for value in overlay.parts
        if value in there
    ]


def _seeds(counts: Sequence[int] | pd.Series) -> str:
    low, high = int(min(counts)), int(max(counts))
    return f"n\xa0=\xa0{low if low == high else f'{low}–{high}'}"


def _nothing(text: str) -> Figure:
    figure = new_figure(6.2, 2)
    say(figure, text)
    return figure
