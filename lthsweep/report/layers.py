"""Per-layer sparsity: how many weights each layer keeps at each sparsity, and which layers died."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from lthsweep.report.axes import labels, spread_pick
from lthsweep.report.content import Part, ReportInput
from lthsweep.report.numbers import count, flag
from lthsweep.report.style import ALERT, MUTED, RULE, line_colors, new_figure, note, say

__all__ = ["layer_sparsity"]

_LINES = 8
_NAMES = 64  # beyond, only some layers are named on the axis


def layer_sparsity(part: Part, report: ReportInput) -> Figure:
    """Draw one combination of further axes: weights remaining per layer (log), layer sizes below.

    Layers stand in the order of the network. Lines, one per sparsity, are means over seeds and rewind epochs:
    one-shot masks do not depend on the rewind epoch, iterative ones hardly do.
    """
    found = _joined(part, report)
    if found.empty:
        figure = new_figure(6.2, 2)
        say(figure, "no finished ticket, so no mask to look at yet")
        return figure
    names = list(dict.fromkeys(found["layer"]))
    cuts = spread_pick([value for value in part.cuts if (found["cut"] == value).any()], _LINES)
    left = (
        found[found["cut"].isin(cuts)]
        .pivot_table(index="layer", columns="cut", values="left", aggfunc="mean")
        .reindex(names)
    )
    died = found[found["dead"] & found["cut"].isin(cuts)]
    # A dead layer has no logarithm: it sits on the floor, under everything that lives.
    positive = left.to_numpy(float)
    positive = positive[positive > 0]
    floor = float(positive.min()) / 2.5 if positive.size else 0.01
    figure = new_figure(min(max(0.135 * len(names) + 2.2, 5.4), 10.5), 4.0)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    x = np.arange(len(names))
    of_cut = labels(part.cuts)
    handles = []
    for value, color in zip(cuts, line_colors(len(cuts)), strict=True):
        y = 100 * left[value].to_numpy(float)
        upper.plot(x, np.where(y > 0, y, 100 * floor), color=color, marker="o", markersize=2.6, linewidth=1.1)
        handles.append(
            Line2D([], [], color=color, marker="o", markersize=3, label=f"{report.axes.cut} {of_cut[value]}")
        )
    if len(died):
        places = sorted({names.index(layer) for layer in died["layer"]})
        for place in places:
            upper.axvline(place, color=RULE, linewidth=2.5, zorder=0.5)
        upper.plot(
            places,
            [100 * floor] * len(places),
            linestyle="",
            marker="x",
            color=ALERT,
            markersize=6,
            zorder=4,
            markeredgewidth=1.4,
            clip_on=False,
        )
        handles.append(Line2D([], [], linestyle="", marker="x", color=ALERT, label="died in a ticket"))
    upper.set_yscale("log")
    upper.set_ylim(100 * floor * (0.77 if len(died) else 1.7), 130)
    if floor > 0.01:  # over one or two decades, powers of ten alone are too few marks
        upper.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    upper.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    upper.yaxis.set_minor_formatter(NullFormatter())
    upper.grid(axis="y")
    upper.set_ylabel("weights remaining (%)")
    upper.tick_params(labelbottom=False)
    sizes = found.groupby("layer")["size"].median().reindex(names)
    lower.bar(x, sizes, color=MUTED, width=0.75, linewidth=0)
    lower.set_yscale("log")
    lower.yaxis.set_major_formatter(FuncFormatter(lambda value, _: count(value).replace(".00", "")))
    lower.yaxis.set_minor_formatter(NullFormatter())
    lower.set_ylabel("weights")
    every = -(-len(names) // _NAMES)
    short = [layer.removesuffix(".weight") for layer in names]
    lower.set_xticks(x[::every], short[::every], rotation=90, fontsize=5.8)
    lower.set_xlim(-0.6, len(names) - 0.4)
    figure.legend(handles=handles, loc="outside right upper")
    note(figure, "Mean over seeds and rewind epochs; layers in the order of the network.")
    return figure


def _joined(part: Part, report: ReportInput) -> pd.DataFrame:
    """Layers of the part's ticket runs: cut, layer, size, left (fraction), dead."""
    layers, runs = report.layers, part.runs
    if layers.empty or "key" not in runs:
        return pd.DataFrame()
    here = layers.merge(runs[["key", report.axes.cut]].rename(columns={report.axes.cut: "cut"}), on="key")
    name = "layer" if "layer" in here else "name"
    frame = pd.DataFrame(
        {
            "cut": here["cut"],
            "layer": here[name].astype(str),
            "size": pd.to_numeric(here["size"], errors="coerce"),
            "left": 1.0 - pd.to_numeric(here["sparsity"], errors="coerce"),
            "dead": [flag(value) is True for value in here["dead"]],
        }
    )
    return frame[frame["cut"] != ""].dropna(subset=["left"])
