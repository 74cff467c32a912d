"""The parts that figures share: a grid of panels, lines with bands, the axis of weights remaining.

`Panels` places the labels on the outer edges, one legend to the right, and one note below.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes as Plot
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator
from numpy.typing import ArrayLike

from lthsweep.report.style import MARKERS, MUTED, line_colors, new_figure

__all__ = ["LineStyle", "Panels", "empty_figure", "line_styles", "seed_range", "ticks_of", "weights_axis"]


class Panels:
    """A figure of `count` equal panels, row by row.

    Args:
        count: number of panels.
        columns: panels in a row.
        size: width and height of the whole figure in inches.
        sharex: one x axis per column, labeled below its last panel only.
        sharey: one scale for all y axes.
    """

    def __init__(
        self,
        count: int,
        columns: int,
        size: tuple[float, float],
        *,
        sharex: bool = False,
        sharey: bool = True,
    ) -> None:
        self.figure = new_figure(*size)
        self._columns, self._sharex = columns, sharex
        rows = math.ceil(count / columns)
        grid = self.figure.subplots(rows, columns, sharex=sharex, sharey=sharey, squeeze=False).ravel()
        self.plots: list[Plot] = list(grid[:count])
        for unused in grid[count:]:
            unused.set_axis_off()

    def label(self, *, x: str, y: str) -> None:
        """Label the axes: y at the left edge, x below every panel or, if shared, below the last of a column."""
        for number, plot in enumerate(self.plots):
            plot.grid(axis="y")
            if number % self._columns == 0:
                plot.set_ylabel(y)
            if not self._sharex or number + self._columns >= len(self.plots):
                plot.set_xlabel(x)
                plot.tick_params(labelbottom=True)

    def finish(self, legend: Sequence[Artist], note: Iterable[str]) -> Figure:
        """Add the legend and the sentences below the panels; empty sentences are dropped."""
        add_legend(self.figure, legend)
        add_note(self.figure, note)
        return self.figure


def add_legend(figure: Figure, entries: Sequence[Artist]) -> None:
    """Put a legend to the right of the panels."""
    figure.legend(handles=entries, loc="outside right upper")


def add_note(figure: Figure, sentences: Iterable[str]) -> None:
    """Write sentences below the panels, wrapped to the width of the figure."""
    characters = int(figure.get_figwidth() * 17.5)  # of 7-point DejaVu Sans
    wrapped = textwrap.fill(" ".join(filter(None, sentences)), characters)
    figure.supxlabel(wrapped, fontsize=7, color=MUTED, x=0.01, ha="left", linespacing=1.3)


def empty_figure(reason: str) -> Figure:
    """A figure that states why it has nothing to draw."""
    figure = new_figure(6.2, 2)
    plot = figure.add_subplot()
    plot.set_axis_off()
    plot.text(0.5, 0.5, reason, ha="center", va="center", color=MUTED, fontsize=9, transform=plot.transAxes)
    return figure


@dataclass(frozen=True)
class LineStyle:
    """The look of a line over seeds and of the band from the lowest to the highest seed.

    Attributes:
        color: of the line; the band uses it too.
        marker: at every point, "" for none.
        width: of the line in points.
        size: of the marker in points.
        edge: line width of the marker in points, for markers without a face.
        dashes: `(on, off)` in multiples of the width, None for a solid line.
        band: opacity of the band.
        layer: drawing order; 2 is matplotlib's default for lines.
    """

    color: str
    marker: str = ""
    width: float = 1.4
    size: float = 4.2
    edge: float = 0.0
    dashes: tuple[float, float] | None = None
    band: float = 0.2
    layer: float = 2.0

    def draw(self, plot: Plot, x: ArrayLike, values: pd.DataFrame) -> None:
        """Draw the columns low, mean, and high of `values` at `x`."""
        plot.fill_between(x, values["low"], values["high"], color=self.color, alpha=self.band, linewidth=0)
        if self.marker:  # a band of one point has no width, but its range still shows as a bar
            plot.vlines(
                x, values["low"], values["high"], color=self.color, alpha=2 * self.band, linewidth=0.8
            )
        self.draw_line(plot, x, values["mean"])

    def draw_line(self, plot: Plot, x: ArrayLike, y: ArrayLike) -> None:
        """Draw the line and its markers."""
        plot.plot(x, y, **self._look(), zorder=self.layer)

    def draw_points(self, plot: Plot, x: ArrayLike, y: ArrayLike) -> None:
        """Draw the markers alone."""
        plot.plot(x, y, **self._look() | {"linestyle": ""}, zorder=self.layer)

    def draw_level(self, plot: Plot, y: float) -> None:
        """Draw a horizontal line over the whole panel."""
        plot.axhline(y, color=self.color, linewidth=self.width, linestyle=self._look()["linestyle"])

    def without_marker(self) -> LineStyle:
        """The same line with no markers."""
        return replace(self, marker="")

    def entry(self, label: str) -> Line2D:
        """The legend's entry for this line."""
        return Line2D([], [], label=label, **self._look())

    def _look(self) -> dict[str, Any]:
        return {
            "color": self.color,
            "marker": self.marker,
            "markersize": self.size,
            "markeredgewidth": self.edge,
            "linewidth": self.width,
            "linestyle": "-" if self.dashes is None else (0, self.dashes),
        }


def line_styles(names: Sequence[str], look: LineStyle | None = None) -> dict[str, LineStyle]:
    """Name → a style with a distinct color and marker; the rest as in `look`."""
    base = look or LineStyle(color="")
    return {
        name: replace(base, color=color, marker=MARKERS[i % len(MARKERS)])
        for i, (name, color) in enumerate(zip(names, line_colors(len(names)), strict=True))
    }


def weights_axis(plot: Plot, left: pd.Series) -> None:
    """Make x the weights remaining in percent, logarithmic and falling, with ticks at the values in `left`.

    Args:
        plot: the panel.
        left: fractions of weights remaining.
    """
    plot.set_xscale("log")
    low, high = 100 * float(left.min()), 100 * float(left.max())
    margin = max((high / low) ** 0.05, 1.05)
    # Reversed, as in Frankle & Carbin (2019): further to the right is a smaller network.
    plot.set_xlim(high * margin, low / margin)
    plot.set_xticks(ticks_of(100 * left))
    plot.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    plot.xaxis.set_minor_locator(NullLocator())
    plot.xaxis.set_minor_formatter(NullFormatter())


def ticks_of(values: pd.Series, most: int = 8) -> list[float]:
    """Three-digit values far enough apart for a log axis; the lowest and the highest always stay."""
    known = sorted({float(f"{value:.3g}") for value in values.dropna()})
    apart = math.log(known[-1] / known[0]) / most
    kept = known[:1]
    for value in known[1:-1]:
        if min(math.log(value / kept[-1]), math.log(known[-1] / value)) >= apart:
            kept.append(value)
    return [*kept, *known[1:][-1:]]


def seed_range(counts: pd.Series) -> str:
    """Numbers of seeds as "n = 3" or "n = 2–3", zeros left out, with spaces that do not break."""
    present = counts[counts > 0]
    low, high = (int(present.min()), int(present.max())) if len(present) else (0, 0)
    return f"n\xa0=\xa0{low if low == high else f'{low}–{high}'}"
