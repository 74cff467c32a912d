"""Figures of accuracy against epochs: dense runs and tickets, and the values of an axis.

Accuracy per epoch is validation accuracy, because the test set is not read during training; if no validation data was
held out, it is training accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes as Plot
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from lthsweep.report.axes import labels, spread_pick
from lthsweep.report.content import Combination, Overlay, ReportInput
from lthsweep.report.panels import LineStyle, Panels, empty_figure, line_styles, seed_range
from lthsweep.report.style import INK, MUTED
from lthsweep.report.summary import remaining
from lthsweep.wording import plural

__all__ = ["curves", "curves_by_value", "run_curves"]

_PANELS = 6
_ROWS = 3
_LINES = 5
_COLUMNS = 3
_LABELED_LEVELS = 10
_BANDS = "Line: mean over seeds; band: lowest to highest seed"
_DENSE = LineStyle(INK, width=1.0, dashes=(5, 2), band=0.1, layer=1.9)


def curves(one: Combination, report: ReportInput) -> Figure:
    """Draw one combination: a panel per sparsity (at most 6), a line per rewind epoch (at most 5).

    A ticket's curve starts at its rewind epoch, so the lines of a panel are aligned by the epochs of the schedule.
    """
    found = run_curves(one, pd.concat([one.dense, one.runs]), report)
    dense, trained = found[found["level"] == 0], found[found["level"] > 0]
    cuts = [value for value in one.cuts if (trained["cut"] == value).any()]
    if not cuts:
        return empty_figure("no ticket has a learning curve yet")
    shown = spread_pick(cuts, _PANELS)
    rewinds = spread_pick([k for k in one.rewinds if (trained["rewind_epoch"] == k).any()], _LINES)
    panels = _epoch_panels(len(shown), sharex=True)
    of_cut, of_rewind = labels(one.cuts), labels(one.rewinds)
    styles = line_styles(rewinds, LineStyle("", width=1.3))
    legend: dict[str, Line2D] = {}
    for plot, cut in zip(panels.plots, shown, strict=True):
        if _draw(plot, dense, "epoch", _DENSE):
            name = f"dense (n\xa0=\xa0{dense['key'].nunique()})"
            legend.setdefault(name, _DENSE.entry(name))
        for rewind, style in styles.items():
            here = trained[(trained["cut"] == cut) & (trained["rewind_epoch"] == rewind)]
            # A curve of one epoch would be invisible without its marker.
            look = style if here["epoch"].nunique() == 1 else style.without_marker()
            if _draw(plot, here, "epoch", look):
                legend.setdefault(rewind, style.without_marker().entry(f"k = {of_rewind[rewind]}"))
        plot.set_title(f"{report.axes.cut} {of_cut[cut]}", fontsize=8)
    panels.label(x="epoch", y=f"{curve_metric(report.curves).label} (%)")
    seeds = trained.groupby(["cut", "rewind_epoch"])["key"].nunique()
    untrained = len(one.cuts) - len(cuts)
    note = [
        f"{_BANDS}; tickets start at their rewind epoch.",
        f"{seed_range(seeds)} per ticket line.",
        f"{len(shown)} of {len(cuts)} values shown." if len(cuts) > len(shown) else "",
        f"No finished run at {plural(untrained, 'value')}." if untrained else "",
    ]
    return panels.finish(list(legend.values()), note)


def curves_by_value(overlay: Overlay, report: ReportInput) -> Figure:
    """Draw a line per value of an axis: along the chain if the sparsities are its levels, else by sparsity.

    Markers at the end of each training are test accuracy.
    """
    found = pd.concat(
        [
            run_curves(one, pd.concat([_own_dense(one, overlay.axis, value), one.runs]), report).assign(
                value=value
            )
            for value, one in overlay.by_value.items()
        ]
    )
    if found.empty:
        return empty_figure("no run has a learning curve yet")
    chain = _is_one_chain(found)
    shown = _chain_panels(found, overlay) if chain else _level_panels(found, overlay, report)
    panels = (
        Panels(len(shown), 1, (7.4, 0.75 + 2.6 * len(shown)))
        if chain
        else _epoch_panels(len(shown), sharex=False)
    )
    styles = line_styles(list(overlay.by_value), LineStyle("", width=1.0, size=3.8, band=0.1))
    for plot, (title, here) in zip(panels.plots, shown, strict=True):
        for value, style in styles.items():
            line = here[here["value"] == value]
            if _draw(plot, line, "x", style.without_marker()):
                ends = line.sort_values("x", kind="stable").groupby("key").tail(1)
                tests = ends.groupby("x")["test"].mean()
                style.draw_points(plot, tests.index, tests)
        if chain:
            _mark_levels(plot, here)
            plot.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        plot.set_title(title)
    panels.label(
        x="epochs trained, all levels" if chain else "epoch", y=f"{curve_metric(report.curves).label} (%)"
    )
    seeds = found.groupby(["value", "level", "cut", "rewind_epoch"])["key"].nunique()
    legend = [style.entry(value) for value, style in styles.items() if (found["value"] == value).any()]
    note = [
        f"{_BANDS}; markers: test accuracy.",
        f"{seed_range(seeds)} per line.",
        "Dotted: pruning and rewinding; above: weights remaining." if chain else "",
    ]
    return panels.finish(legend, note)


@dataclass(frozen=True)
class CurveMetric:
    """A column of the curves, and its label."""

    column: str
    label: str


def curve_metric(frame: pd.DataFrame) -> CurveMetric:
    """The metric to draw: training accuracy if nothing was held out for validation."""
    if "val_accuracy" in frame and pd.to_numeric(frame["val_accuracy"], errors="coerce").notna().any():
        return CurveMetric("val_accuracy", "validation accuracy")
    return CurveMetric("train_accuracy", "training accuracy")


def run_curves(one: Combination, runs: pd.DataFrame, report: ReportInput) -> pd.DataFrame:
    """One row per epoch of `runs`, in the order of training.

    Columns: key; level (0 for dense runs), cut and rewind_epoch ("" for dense runs); left (fraction of weights);
    epoch of the schedule; at (epochs of this run so far); y and test, the accuracies in percent of the epoch and at the
    end of the run.
    """
    metric = curve_metric(report.curves).column
    columns = ["key", "level", "cut", "rewind_epoch", "left", "at", "epoch", "y", "test"]
    if runs.empty or report.curves.empty or metric not in report.curves or "key" not in runs:
        return pd.DataFrame(columns=columns).astype({"level": int})
    cut = report.axes.cut
    left = dict(zip(one.tickets[cut], remaining(one.tickets), strict=True)) | {"": 1.0}
    is_dense = (runs["kind"] == "dense").to_numpy()
    about = pd.DataFrame(
        {
            "key": runs["key"].to_numpy(),
            "level": np.where(is_dense, 0, _numbers(runs, "level").fillna(1)).astype(int),
            "cut": np.where(is_dense, "", runs[cut]),
            "rewind_epoch": np.where(is_dense, "", runs["rewind_epoch"]),
            "test": 100 * _numbers(runs, "test_accuracy").to_numpy(),
        }
    )
    about["left"] = about["cut"].map(left)
    epochs = pd.DataFrame(
        {
            "key": report.curves["key"],
            "epoch": _numbers(report.curves, "epoch"),
            "y": 100 * _numbers(report.curves, metric),
        }
    )
    found = epochs.merge(about, on="key").sort_values(["key", "epoch"], kind="stable")
    found["at"] = found.groupby("key").cumcount() + 1
    return found.dropna(subset=["y", "epoch"])[columns]


def _epoch_panels(count: int, *, sharex: bool) -> Panels:
    columns = 2 if count == 4 else min(count, _COLUMNS)
    rows = -(-count // columns)
    panels = Panels(count, columns, (1.2 + 2.15 * columns, 0.75 + 1.75 * rows), sharex=sharex)
    for plot in panels.plots:
        plot.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    return panels


def _draw(plot: Plot, runs: pd.DataFrame, x: str, style: LineStyle) -> bool:
    """Draw the mean and range over the runs at each x; False if they have no curve."""
    if runs.empty:
        return False
    over_runs = runs.groupby(x)["y"].agg(["min", "mean", "max"]).rename(columns={"min": "low", "max": "high"})
    style.draw(plot, over_runs.index.to_numpy(float), over_runs)
    return True


def _own_dense(one: Combination, axis: str, value: str) -> pd.DataFrame:
    """Dense runs that belong to this value only; ways of pruning share theirs."""
    return one.dense[one.dense[axis] == value] if axis in one.dense else one.dense.iloc[:0]


def _is_one_chain(found: pd.DataFrame) -> bool:
    """True if the sparsities are levels of one chain; with `prune.rounds`, each sparsity has its own chain."""
    cuts = found.groupby(["value", "level"])["cut"].nunique()
    return int(found["level"].max()) > 1 and int(cuts.max()) == 1


def _chain_panels(found: pd.DataFrame, overlay: Overlay) -> list[tuple[str, pd.DataFrame]]:
    """Title and curves per rewind epoch; levels follow one another, `x` counts the epochs trained so far."""
    rewinds = overlay.first.rewinds
    label = labels(rewinds)
    panels = []
    for rewind in spread_pick([k for k in rewinds if (found["rewind_epoch"] == k).any()], _ROWS):
        here = found[found["rewind_epoch"].isin([rewind, ""])]
        lengths = here.groupby("level")["at"].max().sort_index()
        before = lengths.cumsum() - lengths
        title = f"k = {label[rewind]}" if len(rewinds) > 1 else ""
        panels.append((title, here.assign(x=here["at"] + here["level"].map(before))))
    return panels


def _level_panels(
    found: pd.DataFrame, overlay: Overlay, report: ReportInput
) -> list[tuple[str, pd.DataFrame]]:
    """Title and curves per sparsity at the first rewind epoch, the dense runs in a panel before."""
    first = overlay.first
    label = labels(first.cuts)
    rewind = next((k for k in first.rewinds if (found["rewind_epoch"] == k).any()), "")
    found = found.assign(x=found["epoch"])
    at_rewind, dense = found[found["rewind_epoch"] == rewind], found[found["level"] == 0]
    panels = [("dense", dense)] if len(dense) else []
    cuts = spread_pick([cut for cut in first.cuts if (at_rewind["cut"] == cut).any()], _PANELS - len(panels))
    where = f", k = {rewind}" if len(first.rewinds) > 1 else ""
    return panels + [
        (f"{report.axes.cut} {label[cut]}{where}", at_rewind[at_rewind["cut"] == cut]) for cut in cuts
    ]


def _mark_levels(plot: Plot, here: pd.DataFrame) -> None:
    """Mark where each level of a chain starts, and name its weights remaining."""
    levels = here.groupby("level").agg(start=("x", "min"), end=("x", "max"), left=("left", "mean"))
    for level, row in levels.iterrows():
        if level:
            plot.axvline(row["start"] - 0.5, color=MUTED, linewidth=0.6, linestyle=(0, (1, 2)))
        if len(levels) <= _LABELED_LEVELS:
            plot.annotate(
                f"{100 * row['left']:.3g} %",
                ((row["start"] + row["end"]) / 2, 1.01),
                xycoords=("data", "axes fraction"),
                ha="center",
                fontsize=6.5,
                color=MUTED,
            )


def _numbers(frame: pd.DataFrame, column: str) -> pd.Series:
    """A column as floats, NaN where it has no number or is missing."""
    empty = pd.Series(np.nan, index=frame.index)
    return pd.to_numeric(frame.get(column, empty), errors="coerce").astype(float)
