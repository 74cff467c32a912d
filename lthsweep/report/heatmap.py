"""Heatmap of threshold or sparsity against rewind epoch; the color is the difference to the dense run."""

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

from lthsweep.reduce.decision import Verdict
from lthsweep.report.axes import labels
from lthsweep.report.content import Combination, ReportInput
from lthsweep.report.heatmap_cell import CellSize, readable_ink, write_accuracy, write_state
from lthsweep.report.numbers import as_float, points
from lthsweep.report.panels import empty_figure
from lthsweep.report.style import DARK, FAILED, INK, LIGHT, MUTED, PAPER, diverging, glyph, new_figure
from lthsweep.report.summary import dead_layers, verdict_of
from lthsweep.report.verdicts import MATCHING, TICKET_VERDICTS
from lthsweep.wording import plural

__all__ = ["heatmap"]

_CELL = (0.74, 0.46)  # inches of a cell while the figure stays within its limits
_LIMIT = (10.0, 9.0)
_MARKED = 600  # text makes a large figure slow and heavy, so larger grids show colors only
_UNKNOWN = (0.86, 0.87, 0.88, 1.0)
_PATCHES: Mapping[str, dict[str, Any]] = {
    Verdict.MISSING: {"facecolor": PAPER, "edgecolor": "#a9aeb6", "hatch": "////", "linewidth": 0},
    Verdict.FAILED: {"facecolor": FAILED, "edgecolor": "#8b9099", "hatch": "xxxx", "linewidth": 0},
    Verdict.DAMAGED: {"facecolor": FAILED, "edgecolor": "#8b9099", "hatch": "++++", "linewidth": 0},
    # The white frame behind the blue one makes it visible on any color.
    "halo": {"facecolor": "none", "edgecolor": PAPER, "linewidth": 3.2, "zorder": 2.7},
    "matches": {"facecolor": "none", "edgecolor": "#0b4a86", "linewidth": 1.3, "zorder": 2.8},
    "dead": {"facecolor": DARK, "edgecolor": LIGHT, "linewidth": 0.6, "zorder": 3},
}


def heatmap(one: Combination, report: ReportInput) -> Figure:
    """Draw one combination of further axes.

    The color scale is centered on −margin, the lower limit of a matching ticket, and ends at five percentage points (or
    ten margins) from it: without an end, a dead network would bleach the other cells.
    """
    cuts, rewinds = list(one.cuts), list(one.rewinds)
    if not cuts or not rewinds:
        return empty_figure("no grid point to show")
    cell = CellSize(
        width=min(_CELL[0], (_LIMIT[0] - 1.9) / len(rewinds)),
        height=min(_CELL[1], (_LIMIT[1] - 1.3) / len(cuts)),
    )
    figure = new_figure(max(cell.width * len(rewinds) + 1.9, 3.6), max(cell.height * len(cuts) + 1.3, 2.4))
    plot = figure.add_subplot()
    norm = _norm(one.tickets, report.margin)
    with_text = cell.fits_mark and len(one.tickets) <= _MARKED
    column, row_of = ({value: i for i, value in enumerate(axis)} for axis in (rewinds, cuts))
    shade = np.full((len(cuts), len(rewinds)), np.nan)
    patches: dict[str, list[Rectangle | Polygon]] = {name: [] for name in _PATCHES}
    found: set[str] = set()
    for row in one.tickets.to_dict("records"):
        x, y = column.get(row["rewind_epoch"]), row_of.get(row[report.axes.cut])
        if x is None or y is None:
            continue
        verdict = verdict_of(row.get("verdict"))
        found.add(verdict)
        if verdict in patches:
            patches[verdict].append(Rectangle((x - 0.5, y - 0.5), 1, 1))
            if cell.fits_text:
                write_state(plot, x, y, verdict)
        else:
            shade[y, x] = as_float(row.get("difference"))
            if with_text:
                color = _UNKNOWN if math.isnan(shade[y, x]) else diverging()(norm(shade[y, x]))
                write_accuracy(plot, x, y, row, cell, ink=readable_ink(color))
        if verdict in MATCHING:
            patches["halo"].append(_frame(x, y, cell))
            patches["matches"].append(_frame(x, y, cell))
        if dead_layers(row.get("dead_layers")):
            patches["dead"].append(_corner(x, y, cell))
            found.add("dead")
    edges = [np.arange(count + 1) - 0.5 for count in (len(rewinds), len(cuts))]
    plot.pcolormesh(*edges, shade, cmap=diverging().with_extremes(bad=_UNKNOWN), norm=norm, shading="flat")
    for name, shapes in patches.items():
        plot.add_collection(PatchCollection(shapes, **_PATCHES[name]))
    plot.hlines(edges[1][1:-1], -0.5, len(rewinds) - 0.5, colors=PAPER, linewidth=1.0, zorder=2.5)
    plot.vlines(edges[0][1:-1], -0.5, len(cuts) - 0.5, colors=PAPER, linewidth=1.0, zorder=2.5)
    _label_axes(plot, report.axes.cut, cuts, rewinds, cell)
    _add_colorbar(figure, plot, norm, report.margin)
    _add_legend(figure, found, one.tickets, with_text=with_text)
    return figure


def _norm(tickets: pd.DataFrame, margin: float) -> Normalize:
    values = pd.to_numeric(tickets.get("difference", pd.Series(dtype=float)), errors="coerce").to_numpy(float)
    finite = values[np.isfinite(values)]
    furthest = float(np.abs(finite + margin).max()) if finite.size else 0.0
    reach = min(max(furthest, 5 * margin, 0.01), max(0.05, 10 * margin))
    return Normalize(-margin - reach, -margin + reach)


def _frame(x: int, y: int, cell: CellSize) -> Rectangle:
    """The frame of a matching ticket."""
    wide, high = 0.02 / cell.width, 0.02 / cell.height
    return Rectangle((x - 0.5 + wide, y - 0.5 + high), 1 - 2 * wide, 1 - 2 * high)


def _corner(x: int, y: int, cell: CellSize) -> Polygon:
    """The triangle in the upper right corner of a cell with a dead layer; fits where text does not."""
    side = min(0.1, 0.3 * cell.width, 0.3 * cell.height)
    wide, high = side / cell.width, side / cell.height
    right, top = x + 0.5 - 0.015 / cell.width, y + 0.5 - 0.015 / cell.height
    return Polygon([(right - wide, top), (right, top), (right, top - high)])


def _label_axes(plot: Plot, cut: str, cuts: list[str], rewinds: list[str], cell: CellSize) -> None:
    plot.set_xlim(-0.5, len(rewinds) - 0.5)
    plot.set_ylim(-0.5, len(cuts) - 0.5)
    plot.spines[:].set_visible(False)
    plot.tick_params(length=0, pad=3)
    every_x, every_y = math.ceil(0.3 / cell.width), math.ceil(0.14 / cell.height)
    of_cut, of_rewind = labels(cuts), labels(rewinds)
    plot.set_xticks(range(0, len(rewinds), every_x), [of_rewind[v] for v in rewinds[::every_x]])
    plot.set_yticks(range(0, len(cuts), every_y), [of_cut[v] for v in cuts[::every_y]])
    plot.set_xlabel("rewind epoch k")
    plot.set_ylabel("sparsity" if cut == "sparsity" else "threshold on |w|")


def _add_colorbar(figure: Figure, plot: Plot, norm: Normalize, margin: float) -> None:
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


def _add_legend(figure: Figure, found: set[str], tickets: pd.DataFrame, *, with_text: bool) -> None:
    """Explain the marks, frames and hatches that occur, and the seeds behind a cell's number."""

    def mark(character: str, label: str, size: float) -> Line2D:
        return Line2D(
            [],
            [],
            marker=glyph(character),
            markersize=size,
            markeredgewidth=0,
            linestyle="",
            color=INK,
            label=label,
        )

    entries: list[Patch | Line2D] = []
    if with_text:
        shown = [name for name in TICKET_VERDICTS if name in found and name not in _PATCHES]
        entries += [mark(TICKET_VERDICTS[name].mark, name, 6) for name in shown]
    elif found & set(MATCHING):
        entries.append(Patch(**{**_PATCHES["matches"], "zorder": 1}, label="winning or matching"))
    for name in (Verdict.MISSING, Verdict.FAILED, Verdict.DAMAGED):
        if name in found:
            entries.append(Patch(**{**_PATCHES[name], "linewidth": 0.4}, label=name))
    if "dead" in found:
        entries.append(mark("◥", "a layer died", 5))
    if not entries:
        return
    seeds = as_float(pd.to_numeric(tickets["n_planned"], errors="coerce").max())
    counted = "?" if math.isnan(seeds) else plural(int(seeds), "seed")
    legend = figure.legend(
        handles=entries,
        title=f"Test accuracy (%), mean over n = {counted} unless noted." if with_text else None,
        title_fontsize=7,
        alignment="left",
        loc="outside lower left",
        ncols=max(int(figure.get_figwidth() / 0.98), 2),
        handletextpad=0.3,
        columnspacing=1.2,
        fontsize=7,
    )
    legend.get_title().set_color(MUTED)
