"""Figure of weights remaining per layer at each sparsity, with the layers that died."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes as Plot
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from lthsweep.report.axes import labels, spread_pick
from lthsweep.report.content import Combination, ReportInput
from lthsweep.report.numbers import count, flag
from lthsweep.report.panels import LineStyle, add_legend, add_note, empty_figure, line_styles
from lthsweep.report.style import ALERT, MUTED, RULE, new_figure

__all__ = ["layer_sparsity"]

_LINES = 8
_NAMES = 64  # with more layers, only some are named on the axis
_DEAD = LineStyle(ALERT, marker="x", width=0, size=6, edge=1.4, layer=4)


def layer_sparsity(one: Combination, report: ReportInput) -> Figure:
    """Draw one combination: weights remaining per layer (log) above, layer sizes below.

    Layers are in the order of the network. Lines, one per sparsity, are means over seeds and rewind epochs: one-shot
    masks do not depend on the rewind epoch, iterative ones hardly do.
    """
    found = _layers_of_tickets(one, report)
    if found.empty:
        return empty_figure("no ticket has finished, so there is no mask yet")
    layers = list(dict.fromkeys(found["layer"]))
    cuts = spread_pick([value for value in one.cuts if (found["cut"] == value).any()], _LINES)
    found = found[found["cut"].isin(cuts)]
    left = found.pivot_table(index="layer", columns="cut", values="left", aggfunc="mean").reindex(layers)
    alive = left.to_numpy(float)[left.to_numpy(float) > 0]
    # A dead layer has no logarithm; it is drawn below all layers that live.
    lowest = 100 * float(alive.min()) / 2.5 if alive.size else 1.0
    dead = [place for place, layer in enumerate(layers) if found["dead"][found["layer"] == layer].any()]
    figure = new_figure(min(max(0.135 * len(layers) + 2.2, 5.4), 10.5), 4.0)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    places = np.arange(len(layers))
    label = labels(one.cuts)
    legend = []
    for cut, style in line_styles(cuts, LineStyle("", width=1.1, size=2.6)).items():
        percent = 100 * left[cut].to_numpy(float)
        style.draw_line(upper, places, np.where(percent > 0, percent, lowest))
        legend.append(style.entry(f"{report.axes.cut} {label[cut]}"))
    if dead:
        for place in dead:
            upper.axvline(place, color=RULE, linewidth=2.5, zorder=0.5)
        _DEAD.draw_points(upper, dead, [lowest] * len(dead))
        legend.append(_DEAD.entry("died in a ticket"))
    _log_axis(upper, "weights remaining (%)", lambda value: f"{value:.3g}")
    upper.set_ylim(lowest * (0.77 if dead else 1.7), 130)
    if lowest > 1:  # over one or two decades, powers of ten alone are too few ticks
        upper.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    upper.grid(axis="y")
    upper.tick_params(labelbottom=False)
    lower.bar(places, found.groupby("layer")["size"].median().reindex(layers), color=MUTED, width=0.75)
    _log_axis(lower, "weights", lambda value: count(value).replace(".00", ""))
    every = -(-len(layers) // _NAMES)
    names = [layer.removesuffix(".weight") for layer in layers]
    lower.set_xticks(places[::every], names[::every], rotation=90, fontsize=5.8)
    lower.set_xlim(-0.6, len(layers) - 0.4)
    add_legend(figure, legend)
    add_note(figure, ["Mean over seeds and rewind epochs; layers in the order of the network."])
    return figure


def _log_axis(plot: Plot, label: str, text: Callable[[float], str]) -> None:
    plot.set_yscale("log")
    plot.set_ylabel(label)
    plot.yaxis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))
    plot.yaxis.set_minor_formatter(NullFormatter())


def _layers_of_tickets(one: Combination, report: ReportInput) -> pd.DataFrame:
    """Layers of the combination's tickets: cut, layer, size, left (fraction), dead."""
    if report.layers.empty or "key" not in one.runs:
        return pd.DataFrame()
    runs = one.runs[["key", report.axes.cut]].rename(columns={report.axes.cut: "cut"})
    here = report.layers.merge(runs, on="key")
    frame = pd.DataFrame(
        {
            "cut": here["cut"],
            "layer": here["layer"].astype(str),
            "size": pd.to_numeric(here["size"], errors="coerce"),
            "left": 1.0 - pd.to_numeric(here["sparsity"], errors="coerce"),
            "dead": [flag(value) is True for value in here["dead"]],
        }
    )
    return frame[frame["cut"] != ""].dropna(subset=["left"])
