"""The heatmap: threshold or sparsity × rewind epoch, color = difference to the dense run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes as Plot
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PatchCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Polygon, Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from lthsweep.report.axes import labels
from lthsweep.report.content import Part, ReportInput
from lthsweep.report.heatmap_cell import Cell, annotate, corner, outline, readable, say_in_cell
from lthsweep.report.numbers import as_float, points
from lthsweep.report.style import DARK, FAILED, INK, LIGHT, MUTED, PAPER, diverging, glyph, new_figure, say
from lthsweep.report.summary import dead_layers, verdict_of
from lthsweep.report.verdicts import MATCHING, VERDICTS

__all__ = ["heatmap"]

_CELL = (0.74, 0.46)  # inches a cell gets while the figure stays within its limits
_LIMIT = (10.0, 9.0)
_MARKED = 600
_UNKNOWN = (0.86, 0.87, 0.88, 1.0)
_SPECIAL: Mapping[str, dict[str, Any]] = {
    "missing": {"facecolor": PAPER, "edgecolor": "#a9aeb6", "hatch": "////", "linewidth": 0},
    "failed": {"facecolor": FAILED, "edgecolor": "#8b9099", "hatch": "xxxx", "linewidth": 0},
    "halo": {
        "facecolor": "none",
        "edgecolor": PAPER,
        "linewidth": 3.2,
        "zorder": 2.7,
    },  # a frame shows on any color
    "matches": {"facecolor": "none", "edgecolor": "#0b4a86", "linewidth": 1.3, "zorder": 2.8},
    "dead": {"facecolor": DARK, "edgecolor": LIGHT, "linewidth": 0.6, "zorder": 3},
}


def heatmap(part: Part, report: ReportInput) -> Figure:
    """Draw one combination of further axes.

    The color scale is centred on −margin, the line that a matching ticket must not cross, and saturates at
    five percentage points (or ten margins) from it: a dead network would otherwise bleach all the rest.
    """
    axes, tickets, margin = report.axes, part.tickets, report.margin
    cuts, rewinds = list(part.cuts), list(part.rewinds)
    if not cuts or not rewinds:
        figure = new_figure(5, 2)
        say(figure, "no grid point to show")
        return figure
    cell = Cell(
        width=min(_CELL[0], (_LIMIT[0] - 1.9) / len(rewinds)),
        height=min(_CELL[1], (_LIMIT[1] - 1.3) / len(cuts)),
    )
    figure = new_figure(max(cell.width * len(rewinds) + 1.9, 3.6), max(cell.height * len(cuts) + 1.3, 2.4))
    plot = figure.add_subplot()
    norm = _norm(tickets, margin)
    marks = cell.mark and len(tickets) <= _MARKED  # text is what makes a large figure slow and heavy
    place_x, place_y = ({value: i for i, value in enumerate(axis)} for axis in (rewinds, cuts))
    shade = np.full((len(cuts), len(rewinds)), np.nan)
    special: dict[str, list[Rectangle | Polygon]] = {name: [] for name in _SPECIAL}
    found = set()
    for row in tickets.to_dict("records"):
        x, y = place_x.get(row["rewind_epoch"]), place_y.get(row[axes.cut])
        if x is None or y is None:
            continue
        verdict = verdict_of(row.get("verdict"))
        found.add(verdict)
        if verdict in special:
            special[verdict].append(Rectangle((x - 0.5, y - 0.5), 1, 1))
            if cell.full:
                say_in_cell(plot, x, y, verdict)
        else:
            shade[y, x] = as_float(row.get("difference"))
            if marks:
                color = _UNKNOWN if math.isnan(shade[y, x]) else diverging()(norm(shade[y, x]))
                annotate(plot, x, y, row, verdict, cell, ink=readable(color))
        if verdict in MATCHING:
            special["halo"].append(outline(x, y, cell))
            special["matches"].append(outline(x, y, cell))
        if dead_layers(row.get("dead_layers")):
            special["dead"].append(corner(x, y, cell))
            found.add("dead")
    plot.pcolormesh(
        np.arange(len(rewinds) + 1) - 0.5,
        np.arange(len(cuts) + 1) - 0.5,
        shade,
        cmap=diverging().with_extremes(bad=_UNKNOWN),
        norm=norm,
        shading="flat",
    )
    for name, patches in special.items():
        plot.add_collection(PatchCollection(patches, **_SPECIAL[name]))
    edge: dict[str, Any] = {"colors": PAPER, "linewidth": 1.0, "zorder": 2.5}
    plot.hlines(np.arange(1, len(cuts)) - 0.5, -0.5, len(rewinds) - 0.5, **edge)
    plot.vlines(np.arange(1, len(rewinds)) - 0.5, -0.5, len(cuts) - 0.5, **edge)
    _frame(plot, axes.cut, cuts, rewinds, cell)
    _colorbar(figure, plot, norm, margin)
    _legend(figure, found, _seeds(tickets) if marks else "", marks=marks)
    return figure


def _norm(tickets: pd.DataFrame, margin: float) -> Normalize:
    values = pd.to_numeric(tickets.get("difference", pd.Series(dtype=float)), errors="coerce").to_numpy(float)
    finite = values[np.isfinite(values)]
    furthest = float(np.abs(finite + margin).max()) if finite.size else 0.0
    reach = min(max(furthest, 5 * margin, 0.01), max(0.05, 10 * margin))
    return Normalize(-margin - reach, -margin + reach)


def _frame(plot: Plot, cut: str, cuts: list[str], rewinds: list[str], cell: Cell) -> None:
    plot.set_xlim(-0.5, len(rewinds) - 0.5)
    plot.set_ylim(-0.5, len(cuts) - 0.5)
    plot.spines[:].set_visible(False)
    plot.tick_params(length=0, pad=3)
    every_x = math.ceil(0.3 / cell.width)
    every_y = math.ceil(0.14 / cell.height)
    of_cut, of_rewind = labels(cuts), labels(rewinds)
    plot.set_xticks(range(0, len(rewinds), every_x), [of_rewind[v] for v in rewinds[::every_x]])
    plot.set_yticks(range(0, len(cuts), every_y), [of_cut[v] for v in cuts[::every_y]])
    plot.set_xlabel("rewind epoch k")
    plot.set_ylabel("sparsity" if cut == "sparsity" else "threshold on |w|")


def _colorbar(figure: Figure, plot: Plot, norm: Normalize, margin: float) -> None:
    bar = figure.colorbar(
        ScalarMappable(norm, diverging()),
        ax=plot,
        extend="both",
        extendfrac=0.04,
        aspect=figure.get_figheight() / 0.16,
        pad=0.02,
        shrink=0.95,
    )
    bar.locator = MaxNLocator(6, steps=[1, 2, 5, 10])
    bar.formatter = FuncFormatter(lambda value, _: points(value, 1).replace(".0", ""))
    bar.update_ticks()
    bar.ax.axhline(-margin, color=DARK, linewidth=0.8)
    bar.ax.tick_params(length=2, pad=2)
    bar.outline.set_visible(False)
    bar.set_label("ticket − dense (points)\nline: −margin", fontsize=7.5, labelpad=5)


def _legend(figure: Figure, found: set[str], title: str, *, marks: bool) -> None:
    handles: list[Patch | Line2D] = []
    for name, verdict in VERDICTS.items():
        if name in found and name not in _SPECIAL and marks:
            handles.append(
                Line2D(
                    [],
                    [],
                    linestyle="",
                    marker=glyph(verdict.mark),
                    color=INK,
                    markersize=6,
                    label=name,
                    markeredgewidth=0,
                )
            )
    if found & set(MATCHING) and not marks:
        frame = {**_SPECIAL["matches"], "zorder": 1}
        handles.append(Patch(**frame, label="winning or matching"))
    for name in ("missing", "failed"):
        if name in found:
            handles.append(Patch(**{**_SPECIAL[name], "linewidth": 0.4}, label=name))
    if "dead" in found:
        handles.append(
            Line2D(
                [],
                [],
                linestyle="",
                marker=glyph("◥"),
                color=INK,
                markersize=5,
                label="a layer died",
                markeredgewidth=0,
            )
        )
    if handles:
        legend = figure.legend(
            handles=handles,
            title=title or None,
            title_fontsize=7,
            alignment="left",
            loc="outside lower left",
            ncols=max(int(figure.get_figwidth() / 0.98), 2),
            handletextpad=0.3,
            columnspacing=1.2,
            fontsize=7,
        )
        legend.get_title().set_color(MUTED)


def _seeds(tickets: pd.DataFrame) -> str:
    planned = pd.to_numeric(tickets["n_planned"], errors="coerce").max()
    seeds = as_float(planned)
    return f"Test accuracy (%), mean over n = {seeds:.0f} {'seed' if seeds == 1 else 'seeds'} unless noted."
