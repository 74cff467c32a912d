"""Figures of test accuracy against weights remaining: all tickets, values of an axis, tickets and controls.

All three draw lines over the seeds of grid points (`grid_points`); a line and a panel stand for something else in each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes as Plot
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lthsweep.reduce.decision import Verdict
from lthsweep.report.axes import labels, spread_pick
from lthsweep.report.content import CONTROL_AXIS, Combination, Overlay, ReportInput
from lthsweep.report.numbers import as_float
from lthsweep.report.panels import LineStyle, Panels, empty_figure, line_styles, seed_range, weights_axis
from lthsweep.report.style import ALERT, INK, MUTED
from lthsweep.report.summary import dead_layers, remaining, verdict_of
from lthsweep.wording import plural

__all__ = ["accuracy", "accuracy_by_value", "control_accuracy", "grid_points"]

_LINES = 10
_PANELS = 3
_ZOOM = 0.06  # the zoomed panel shows accuracies down to this far below the reference
_SQUEEZED = 0.12  # a zoomed panel is added if accuracies spread by more than this
_LABELS = {"x": "weights remaining (%, log)", "y": "test accuracy (%)"}
_BANDS = "Line: mean over seeds; band: lowest to highest seed"
_DENSE = LineStyle(INK, width=1.0, dashes=(5, 2))
_MARGIN = LineStyle(MUTED, width=0.7, dashes=(1, 2))


def accuracy(one: Combination, report: ReportInput) -> Figure:
    """Draw one combination: a line per rewind epoch, and a zoomed panel near the dense runs if needed.

    Bands span the lowest to the highest seed. With two or three seeds, Student's t makes a confidence band wider than
    the figure; the verdicts carry the intervals.
    """
    dense = _dense_accuracies(one)
    points = grid_points(one, report)
    shown = _drawable(points)
    if shown.empty:
        return empty_figure("no ticket has finished yet")
    reference = float(dense.mean()) if len(dense) else math.nan
    zoom = len(dense) > 0 and bool(shown["low"].min() < 100 * (reference - _SQUEEZED))
    panels = Panels(1 + zoom, 1 + zoom, (7.4 if zoom else 5.4, 3.1), sharey=False)
    legend = _draw_dense(panels.plots, dense, report.margin)
    rewinds = spread_pick(list(one.rewinds), _LINES)
    label = labels(one.rewinds)
    size = 4.2 if len(one.cuts) <= 12 else 2.6
    for rewind, style in line_styles(rewinds, LineStyle("", size=size)).items():
        line = points[points["rewind_epoch"] == rewind]
        if not _drawable(line).empty:
            _draw(panels.plots, line, style)
            legend.append(style.entry(f"k = {label[rewind]} ({seed_range(line['n'])})"))
    legend += _draw_dead(panels.plots, shown[shown["dead"] & shown["rewind_epoch"].isin(rewinds)])
    for plot in panels.plots:
        weights_axis(plot, shown["left"])
    if zoom:
        highest = max(float(shown["high"].max()), 100 * float(dense.max()))
        _zoom(panels.plots[1], shown, reference, highest, least=3 * report.margin)
        panels.plots[0].set_title("all tickets")
        panels.plots[1].set_title("near the dense run")
    panels.label(**_LABELS)
    return panels.finish(
        legend, [f"{_BANDS}; n: seeds.", _gaps(points), _left_out(len(one.rewinds) - len(rewinds))]
    )


def accuracy_by_value(overlay: Overlay, report: ReportInput) -> Figure:
    """Draw a line per value of an axis and a row per rewind epoch, with the dense runs at 100 %."""
    found = []
    for value, one in overlay.by_value.items():
        pruned = grid_points(one, report)
        pruned = pruned[pruned["left"] < 1]  # the dense runs are added once, for all rewind epochs
        found.append(pd.concat([pruned, _dense_point(one, overlay.axis, value)]).assign(value=value))
    points = _drawable(pd.concat(found))
    if points.empty:
        return empty_figure("no ticket has finished yet")
    rewinds = spread_pick([k for k in overlay.first.rewinds if (points["rewind_epoch"] == k).any()], _PANELS)
    rows = rewinds or [""]
    highest = float(points["high"].max())
    zoom = bool(points["low"].min() < highest - 100 * _SQUEEZED)
    size = (7.4 if zoom else 5.4, 0.5 + 2.6 * len(rows))
    panels = Panels((1 + zoom) * len(rows), 1 + zoom, size, sharey=False)
    label = labels(overlay.first.rewinds)
    styles = line_styles(list(overlay.by_value), LineStyle("", width=1.1, size=3.8, band=0.1))
    for number, rewind in enumerate(rows):
        here = points[points["rewind_epoch"].isin([rewind, ""])].sort_values("left", ascending=False)
        plots = panels.plots[(1 + zoom) * number :][: 1 + zoom]
        for value, style in styles.items():
            _draw(plots, here[here["value"] == value], style)
        for plot in plots:
            weights_axis(plot, here["left"])
        if len(overlay.first.rewinds) > 1:
            plots[0].set_title(f"k = {label[rewind]}")
        if zoom:
            _zoom(plots[1], here, highest / 100, highest, least=1e-3)
            plots[1].set_title("near the top")
    panels.label(**_LABELS)
    legend = [style.entry(value) for value, style in styles.items() if (points["value"] == value).any()]
    return panels.finish(legend, [f"{_BANDS}.", f"{seed_range(points['n'])} per point."])


def control_accuracy(group: Sequence[Combination], report: ReportInput) -> Figure:
    """Draw a line per control, the ticket first, and a panel per rewind epoch."""
    first = group[0]
    points = {one.control: _drawable(grid_points(one, report)) for one in group}
    everything = pd.concat(list(points.values()))
    if everything.empty:
        return empty_figure("no ticket and no control has finished yet")
    rewinds = spread_pick(list(first.rewinds), _PANELS)
    panels = Panels(len(rewinds), len(rewinds), (2.7 + 2.7 * len(rewinds), 3.1))
    legend = _draw_dense(panels.plots, _dense_accuracies(first), report.margin)
    label = labels(first.rewinds)
    for control, style in line_styles(list(points), LineStyle("", width=1.2, size=4, band=0.16)).items():
        look = replace(style, width=1.9) if control == "ticket" else style
        for plot, rewind in zip(panels.plots, rewinds, strict=True):
            _draw([plot], points[control][points[control]["rewind_epoch"] == rewind], look)
        legend.append(look.entry(f"{control} ({seed_range(points[control]['n'])})"))
    for plot, rewind in zip(panels.plots, rewinds, strict=True):
        weights_axis(plot, everything["left"])
        plot.set_title(f"k = {label[rewind]}", fontsize=8)
    panels.label(**_LABELS)
    others = [f"{name} = {value}" for name, value in first.values.items() if name != CONTROL_AXIS and value]
    where = f"{', '.join(others)}." if others else ""
    return panels.finish(
        legend, [f"{_BANDS}; n: seeds.", where, _left_out(len(first.rewinds) - len(rewinds))]
    )


def grid_points(one: Combination, report: ReportInput) -> pd.DataFrame:
    """One row per grid point: rewind_epoch, left (fraction), mean, low, high (percent), n, dead, verdict.

    A run without a rewind epoch (fresh weights) belongs to the grid points of all rewind epochs.
    """
    cut = report.axes.cut
    by_seed: dict[tuple[str, str], list[float]] = {}
    if "test_accuracy" in one.runs:
        for c, k, value in zip(
            one.runs[cut], one.runs["rewind_epoch"], one.runs["test_accuracy"], strict=True
        ):
            if math.isfinite(number := as_float(value)):
                by_seed.setdefault((c, k), []).append(number)
    rows = []
    for left, row in zip(remaining(one.tickets), one.tickets.to_dict("records"), strict=True):
        mean, n = as_float(row.get("ticket_accuracy")), as_float(row.get("n"))
        seeds = by_seed.get((row[cut], row["rewind_epoch"])) or by_seed.get((row[cut], ""), [])
        if row.get("kind") == "dense":  # sparsity 0 is the dense run itself
            seeds = _dense_accuracies(one).tolist()
        if len(seeds) != n:
            # A table without its runs: with two seeds, the standard deviation still gives both exactly.
            reach = as_float(row.get("ticket_sd")) / math.sqrt(2) if n == 2 else 0.0 if n == 1 else math.nan
            seeds = [mean - reach, mean + reach]
        rows.append(
            {
                "rewind_epoch": row["rewind_epoch"],
                "left": left,
                "mean": 100 * mean,
                "low": 100 * np.fmin(min(seeds, default=mean), mean),
                "high": 100 * np.fmax(max(seeds, default=mean), mean),
                "n": n,
                "dead": bool(dead_layers(row.get("dead_layers"))),
                "verdict": verdict_of(row.get("verdict")),
            }
        )
    numbers = dict.fromkeys(("left", "mean", "low", "high", "n"), float)
    columns = ["rewind_epoch", *numbers, "dead", "verdict"]
    return pd.DataFrame(rows, columns=columns).astype(numbers).sort_values("left", kind="stable")


def _dense_point(one: Combination, axis: str, value: str) -> pd.DataFrame:
    """The grid point at 100 % of weights, if the axis changes the dense runs (ways of pruning share them)."""
    own = one.dense[one.dense[axis] == value] if axis in one.dense else one.dense.iloc[:0]
    seeds = 100 * pd.to_numeric(own.get("test_accuracy", pd.Series(dtype=float)), errors="coerce").dropna()
    if seeds.empty:
        return pd.DataFrame()
    over_seeds = {"mean": seeds.mean(), "low": seeds.min(), "high": seeds.max(), "n": float(len(seeds))}
    return pd.DataFrame([{"rewind_epoch": "", "left": 1.0, "dead": False, "verdict": "", **over_seeds}])


def _dense_accuracies(one: Combination) -> pd.Series:
    """Test accuracies of the dense runs (fractions); their means if a table has no runs."""
    dense: pd.Series = pd.to_numeric(
        one.dense.get("test_accuracy", pd.Series(dtype=float)), errors="coerce"
    ).dropna()
    return dense if len(dense) else pd.to_numeric(one.tickets["dense_accuracy"], errors="coerce").dropna()


def _drawable(points: pd.DataFrame) -> pd.DataFrame:
    shown: pd.DataFrame = points[np.isfinite(points["mean"]) & (points["left"] > 0)]
    return shown


def _draw(plots: Sequence[Plot], line: pd.DataFrame, style: LineStyle) -> None:
    for plot in plots:
        style.draw(plot, 100 * line["left"], line)


def _draw_dense(plots: Sequence[Plot], dense: pd.Series, margin: float) -> list[Line2D]:
    """Draw mean and band of the dense runs, and the margin below; returns their legend entries."""
    if dense.empty:
        return []
    low, mean, high = (100 * float(v) for v in (dense.min(), dense.mean(), dense.max()))
    for plot in plots:
        if high > low:
            plot.axhspan(low, high, color=MUTED, alpha=0.16, linewidth=0)
        _DENSE.draw_level(plot, mean)
        _MARGIN.draw_level(plot, mean - 100 * margin)
    return [_DENSE.entry(f"dense (n\xa0=\xa0{len(dense)})"), _MARGIN.entry("dense − margin")]


def _draw_dead(plots: Sequence[Plot], dead: pd.DataFrame) -> list[Line2D]:
    """Cross out the points with dead layers; returns the legend entry if there are any."""
    if dead.empty:
        return []
    size = 6.5 if len(dead) <= 12 else 4
    crosses = LineStyle(ALERT, marker="x", size=size, edge=1.3, width=0, layer=4)
    for plot in plots:
        crosses.draw_points(plot, 100 * dead["left"], dead["mean"])
    return [crosses.entry("a layer died")]


def _zoom(plot: Plot, shown: pd.DataFrame, reference: float, highest: float, *, least: float) -> None:
    """Limit y to the points near the reference.

    Args:
        plot: the panel.
        shown: the grid points, in percent.
        reference: accuracy (fraction) near which points stay visible.
        highest: the upper limit in percent.
        least: the smallest height below the reference (fraction).
    """
    near = shown["low"][shown["low"] >= 100 * (reference - _ZOOM)]
    bottom = min(float(near.min()) if len(near) else 100 * (reference - _ZOOM), 100 * (reference - least))
    margin = 0.06 * (highest - bottom)
    plot.set_ylim(bottom - margin, highest + margin)


def _gaps(points: pd.DataFrame) -> str:
    counts = {
        verdict: int((points["verdict"] == verdict).sum())
        for verdict in (Verdict.MISSING, Verdict.FAILED, Verdict.DAMAGED)
    }
    gaps = [plural(count, f"{verdict} grid point") for verdict, count in counts.items() if count]
    return f"Not drawn: {' and '.join(gaps)}." if gaps else ""


def _left_out(number: int) -> str:
    return f"{plural(number, 'rewind epoch')} left out for legibility." if number > 0 else ""
