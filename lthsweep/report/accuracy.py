"""Accuracy against weights remaining: a line per rewind epoch, a band over the seeds, dense behind."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes as Plot
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from lthsweep.report.axes import labels, spread_pick
from lthsweep.report.content import Part, ReportInput
from lthsweep.report.numbers import as_float, plural
from lthsweep.report.style import ALERT, INK, MARKERS, MUTED, line_colors, new_figure, note, say
from lthsweep.report.summary import dead_layers, remaining, verdict_of

__all__ = ["accuracy", "dense_accuracies", "draw_dense", "frame_plot", "seed_points", "seed_range"]

_LINES = 10
_ZOOM = 0.06  # accuracy below dense that the right panel still shows
_SQUEEZED = 0.12  # a spread of accuracies beyond which the left panel hides what matters


def accuracy(part: Part, report: ReportInput) -> Figure:
    """Draw one combination of further axes, test accuracy at the last epoch.

    The band of a line spans the least and the greatest seed. A confidence band would be honest too, but at
    two or three seeds Student's t makes it wider than the figure; the verdicts carry the intervals.
    """
    dense = dense_accuracies(part)
    points = seed_points(part, report, dense)
    shown = points[np.isfinite(points["mean"]) & (points["left"] > 0)]
    if shown.empty:
        figure = new_figure(6.2, 2)
        say(figure, "no ticket has finished yet")
        return figure
    reference = float(dense.mean()) if len(dense) else math.nan
    zoom = len(dense) > 0 and shown["low"].min() < reference - _SQUEEZED
    figure = new_figure(7.4 if zoom else 5.4, 3.1)
    plots: list[Plot] = list(figure.subplots(1, 2 if zoom else 1, squeeze=False).ravel())
    handles = draw_dense(plots, dense, report.margin) if len(dense) else []
    handles += _draw_lines(plots, points, part)
    for plot in plots:
        frame_plot(plot, shown["left"])
    if zoom:
        near = shown["low"][shown["low"] >= reference - _ZOOM]
        bottom = min(float(near.min()) if len(near) else reference, reference - 3 * report.margin)
        top = max(float(shown["high"].max()), float(dense.max()))
        room = 0.06 * (top - bottom)
        plots[1].set_ylim(100 * (bottom - room), 100 * (top + room))
        plots[1].set_title("near the dense run")
        plots[0].set_title("all tickets")
    plots[0].set_ylabel("test accuracy (%)")
    figure.legend(handles=handles, loc="outside right upper")
    note(figure, _small_print(points))
    return figure


def dense_accuracies(part: Part) -> pd.Series:
    """Test accuracies of the dense runs; their means where a table has no runs."""
    dense = pd.to_numeric(part.dense.get("test_accuracy", pd.Series(dtype=float)), errors="coerce").dropna()
    return dense if len(dense) else pd.to_numeric(part.tickets["dense_accuracy"], errors="coerce").dropna()


def seed_points(part: Part, report: ReportInput, dense: pd.Series) -> pd.DataFrame:
    """One row per grid point: rewind_epoch, left (fraction), mean, low and high of the seeds, and so on.

    A run without a rewind epoch (fresh weights) answers the grid points of all of them.
    """
    cut = report.axes.cut
    by_seed: dict[tuple[str, str], list[float]] = {}
    if "test_accuracy" in part.runs:
        for c, k, value in zip(
            part.runs[cut], part.runs["rewind_epoch"], part.runs["test_accuracy"], strict=True
        ):
            if math.isfinite(number := as_float(value)):
                by_seed.setdefault((c, k), []).append(number)
    rows = []
    for left, row in zip(remaining(part.tickets), part.tickets.to_dict("records"), strict=True):
        mean, n = as_float(row.get("ticket_accuracy")), as_float(row.get("n"))
        seeds = by_seed.get((row[cut], row["rewind_epoch"])) or by_seed.get((row[cut], ""), [])
        if row.get("kind") == "dense":  # sparsity 0 is answered by the trunks
            seeds = dense.tolist()
        if len(seeds) != n:
            # A table without its runs: at two seeds the standard deviation still gives both, exactly.
            reach = as_float(row.get("ticket_sd")) / math.sqrt(2) if n == 2 else 0.0 if n == 1 else math.nan
            seeds = [mean - reach, mean + reach]
        rows.append(
            {
                "rewind_epoch": row["rewind_epoch"],
                "left": left,
                "mean": mean,
                "low": np.fmin(min(seeds, default=mean), mean),
                "high": np.fmax(max(seeds, default=mean), mean),
                "n": n,
                "dead": bool(dead_layers(row.get("dead_layers"))),
                "verdict": verdict_of(row.get("verdict")),
            }
        )
    numbers = dict.fromkeys(("left", "mean", "low", "high", "n"), float)
    columns = ["rewind_epoch", *numbers, "dead", "verdict"]
    return pd.DataFrame(rows, columns=columns).astype(numbers).sort_values("left", kind="stable")


def draw_dense(plots: list[Plot], dense: pd.Series, margin: float) -> list[Line2D]:
    """The dense runs as a line with its band, and the margin below; returns what a legend shows of them."""
    low, mean, high = (100 * float(v) for v in (dense.min(), dense.mean(), dense.max()))
    for plot in plots:
        if high > low:
            plot.axhspan(low, high, color=MUTED, alpha=0.16, linewidth=0)
        plot.axhline(mean, color=INK, linewidth=1.0, linestyle=(0, (5, 2)))
        plot.axhline(mean - 100 * margin, color=MUTED, linewidth=0.7, linestyle=(0, (1, 2)))
    return [
        Line2D([], [], color=INK, linewidth=1.0, linestyle=(0, (5, 2)), label=f"dense (n = {len(dense)})"),
        Line2D([], [], color=MUTED, linewidth=0.7, linestyle=(0, (1, 2)), label="dense − margin"),
    ]


def _draw_lines(plots: list[Plot], points: pd.DataFrame, part: Part) -> list[Line2D]:
    rewinds = spread_pick(list(part.rewinds), _LINES)
    label = labels(part.rewinds)
    handles = []
    for i, (rewind, color) in enumerate(zip(rewinds, line_colors(len(rewinds)), strict=True)):
        line = points[points["rewind_epoch"] == rewind]
        if not np.isfinite(line["mean"]).any():
            continue
        x = 100 * line["left"].to_numpy(float)
        mean, low, high = (100 * line[name].to_numpy(float) for name in ("mean", "low", "high"))
        marker = MARKERS[i % len(MARKERS)]
        size = 4.2 if len(line) <= 12 else 2.6
        for plot in plots:
            plot.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)
            plot.vlines(x, low, high, color=color, alpha=0.45, linewidth=0.8)
            plot.plot(x, mean, color=color, marker=marker, markersize=size, markeredgewidth=0)
        handles.append(
            Line2D(
                [],
                [],
                color=color,
                marker=marker,
                markeredgewidth=0,
                label=f"k = {label[rewind]} (n = {seed_range(line['n'])})",
            )
        )
    dead = points[points["dead"] & points["rewind_epoch"].isin(rewinds)]
    if len(dead):
        look: dict[str, Any] = {
            "linestyle": "",
            "marker": "x",
            "color": ALERT,
            "markersize": 6.5 if len(dead) <= 12 else 4,
            "markeredgewidth": 1.3,
        }
        for plot in plots:
            plot.plot(100 * dead["left"], 100 * dead["mean"], zorder=4, **look)
        handles.append(Line2D([], [], label="a layer died", **look))
    return handles


def frame_plot(plot: Plot, left: pd.Series) -> None:
    """Scale, ticks and label of the axis of weights remaining (fractions)."""
    plot.set_xscale("log")
    low, high = 100 * float(left.min()), 100 * float(left.max())
    room = max((high / low) ** 0.05, 1.05)
    # Reversed, as in Frankle & Carbin (2019): further to the right is a smaller network.
    plot.set_xlim(high * room, low / room)
    plot.set_xticks(ticks_of(100 * left))
    plot.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    plot.xaxis.set_minor_locator(NullLocator())
    plot.xaxis.set_minor_formatter(NullFormatter())
    plot.grid(axis="y")
    plot.set_xlabel("weights remaining (%, log)")


def ticks_of(values: pd.Series, most: int = 8) -> list[float]:
    """The values to three digits, without those that come too near to others on a log axis; both ends stay."""
    known = sorted({float(f"{value:.3g}") for value in values.dropna()})
    apart = math.log(known[-1] / known[0]) / most
    kept = known[:1]
    for value in known[1:-1]:
        if min(math.log(value / kept[-1]), math.log(known[-1] / value)) >= apart:
            kept.append(value)
    return [*kept, *known[1:][-1:]]


def seed_range(numbers: pd.Series) -> str:
    """Numbers of seeds as "3" or "2–3"."""
    present = numbers[numbers > 0]
    if present.empty:
        return "0"
    low, high = int(present.min()), int(present.max())
    return str(low) if low == high else f"{low}–{high}"


def _small_print(points: pd.DataFrame) -> str:
    said = ["Line: mean over seeds; band: least to greatest seed; n: seeds."]
    gaps = [plural(int((points["verdict"] == v).sum()), f"{v} grid point") for v in ("missing", "failed")]
    gaps = [text for text in gaps if not text.startswith("0 ")]
    if gaps:
        said.append(f"Not drawn: {' and '.join(gaps)}.")
    left_out = points["rewind_epoch"].nunique() - _LINES
    if left_out > 0:
        said.append(f"{plural(left_out, 'rewind epoch')} left out for legibility.")
    return " ".join(said)
