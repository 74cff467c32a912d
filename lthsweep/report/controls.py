"""Ticket against controls: is it the mask, or the weights? A figure, and the rows of the table beside it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes as Plot
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lthsweep.report.accuracy import dense_accuracies, draw_dense, frame_plot, seed_points, seed_range
from lthsweep.report.axes import canonical, labels, spread_pick
from lthsweep.report.content import CONTROL_AXIS, Part, ReportInput
from lthsweep.report.numbers import DASH, interval, percent, plural, points
from lthsweep.report.style import MARKERS, line_colors, new_figure, note, say

__all__ = ["controls_figure", "controls_section", "other_axes"]

_PANELS = 3
_ROWS = 400


def controls_figure(group: Sequence[Part], report: ReportInput) -> Figure:
    """Draw one combination of the other axes: a panel per rewind epoch, a line per control, the ticket first.

    Bands span the least and the greatest seed, as in the figure of all tickets.
    """
    first = group[0]
    dense = dense_accuracies(first)
    found = {part.control: seed_points(part, report, dense) for part in group}
    shown = {name: p[np.isfinite(p["mean"]) & (p["left"] > 0)] for name, p in found.items()}
    everything = pd.concat(list(shown.values()))
    if everything.empty:
        figure = new_figure(6.2, 2)
        say(figure, "no ticket and no control has finished yet")
        return figure
    rewinds = spread_pick(list(first.rewinds), _PANELS)
    figure = new_figure(2.7 + 2.7 * len(rewinds), 3.1)
    plots: list[Plot] = list(figure.subplots(1, len(rewinds), sharey=True, squeeze=False).ravel())
    handles = draw_dense(plots, dense, report.margin) if len(dense) else []
    of_rewind = labels(first.rewinds)
    colors = line_colors(len(group))
    for i, ((name, all_points), color) in enumerate(zip(shown.items(), colors, strict=True)):
        marker = MARKERS[i % len(MARKERS)]
        width = 1.9 if name == "ticket" else 1.2
        look: dict[str, Any] = {"color": color, "marker": marker, "markeredgewidth": 0, "linewidth": width}
        for plot, rewind in zip(plots, rewinds, strict=True):
            line = all_points[all_points["rewind_epoch"] == rewind]
            x = 100 * line["left"].to_numpy(float)
            mean, low, high = (100 * line[column].to_numpy(float) for column in ("mean", "low", "high"))
            plot.fill_between(x, low, high, color=color, alpha=0.16, linewidth=0)
            plot.plot(x, mean, color=color, marker=marker, markersize=4, markeredgewidth=0, linewidth=width)
        label = f"{name} (n = {seed_range(all_points['n'])})"
        handles.append(Line2D([], [], label=label, **look))
    for plot, rewind in zip(plots, rewinds, strict=True):
        frame_plot(plot, everything["left"])
        plot.set_title(f"k = {of_rewind[rewind]}", fontsize=8)
    plots[0].set_ylabel("test accuracy (%)")
    figure.legend(handles=handles, loc="outside right upper")
    note(figure, _small_print(first, rewinds))
    return figure


def controls_section(report: ReportInput) -> str:
    """The page's table of differences ticket − control; "" for a sweep without controls."""
    frame = report.controls
    if frame.empty:
        return ""
    axes = other_axes(frame)
    heads = [*("k" if axis == "rewind_epoch" else axis for axis in axes), "control", "n"]
    heads += ["ticket %", "control %", "ticket − control", "verdict"]
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    short = {axis: labels(canonical(v) for v in frame[axis]) for axis in axes}
    rows = []
    for row in frame.head(_ROWS).to_dict("records"):
        values = "".join(f"<td>{escape(short[axis][canonical(row[axis])]) or DASH}</td>" for axis in axes)
        bounds = interval(row["ci_low"], row["ci_high"])
        rows.append(
            f"<tr>{values}<td>{escape(str(row['control']))}</td><td>{row['n']}/{row['n_planned']}</td>"
            f"<td>{percent(row['ticket_accuracy'])}</td><td>{percent(row['control_accuracy'])}</td>"
            f'<td>{points(row["difference"])} <span class="interval">{bounds}</span></td>'
            f"<td>{escape(str(row['verdict']))}</td></tr>"
        )
    more = len(frame) - len(rows)
    rest = f"<p>{plural(more, 'more row')} in the sweep's table.</p>" if more > 0 else ""
    return (
        '<section aria-labeledby="controls"><h2 id="controls">Ticket against controls</h2>'
        "<p>Test accuracy at the last epoch, paired by seed; percentage points.</p>"
        f'<div class="scroll tall" tabindex="0" role="region" aria-label="ticket against controls">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>{rest}</section>"
    )


def other_axes(frame: pd.DataFrame) -> list[str]:
    """The axes of a frame of controls: the columns before `control`."""
    columns = [str(name) for name in frame.columns]
    return columns[: columns.index("control")]


def _small_print(part: Part, rewinds: Sequence[str]) -> str:
    said = ["Line: mean over seeds; band: least to greatest seed; n: seeds."]
    others = [f"{name} = {value}" for name, value in part.values.items() if name != CONTROL_AXIS and value]
    if others:
        said.append(f"{', '.join(others)}.")
    left_out = len(part.rewinds) - len(rewinds)
    if left_out > 0:
        said.append(f"{plural(left_out, 'rewind epoch')} left out for legibility.")
    return " ".join(said)
