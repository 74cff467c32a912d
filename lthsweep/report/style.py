"""Colors and style of all figures, and their rendering to SVG and PNG.

Figures use matplotlib's object-oriented `Figure`; pyplot's global list of figures is never touched. The font is DejaVu
Sans because matplotlib includes it: with any other font, figures would depend on the machine.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path as Outline
from matplotlib.textpath import TextPath

__all__ = [
    "ALERT",
    "DARK",
    "FAILED",
    "INK",
    "LIGHT",
    "MARKERS",
    "MUTED",
    "PAPER",
    "RULE",
    "Rendered",
    "diverging",
    "glyph",
    "line_colors",
    "new_figure",
    "paper_style",
    "render",
]

# The page replaces these four by the colors of the light or dark theme, so no other color may have these values.
INK = "#1a1c1f"
MUTED = "#666c75"
RULE = "#d3d7dc"
PAPER = "#ffffff"

DARK, LIGHT = "#0e1012", "#fcfcfd"  # text on a colored cell, in both themes
FAILED = "#50555d"
ALERT = "#cc3d00"
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")

# Okabe & Ito (2008), without yellow and sky blue, which are hard to see on white paper.
_CATEGORIES = ("#0072b2", "#e08e00", "#009e73", "#cc79a7", "#d55e00")
_ORDINAL = LinearSegmentedColormap.from_list(
    "ordinal", ["#2b6cc4", "#1a9aa8", "#3fae5a", "#d9a514", "#e0701a", "#c2398a"]
)
# Orange and blue differ in all common kinds of color blindness.
_DIVERGING = [
    "#7f2704",
    "#c8540f",
    "#f09a55",
    "#fbd9b8",
    "#f7f7f7",
    "#c5dcee",
    "#7ab0d8",
    "#2f79b8",
    "#08407e",
]

_STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.grid": False,
    "axes.labelcolor": INK,
    "axes.labelsize": 8.5,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "axes.unicode_minus": True,
    "figure.facecolor": PAPER,
    "axes.facecolor": "none",
    "font.family": ["DejaVu Sans"],
    "font.size": 8,
    "grid.color": RULE,
    "grid.linewidth": 0.5,
    "hatch.linewidth": 0.7,
    "legend.edgecolor": RULE,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.2,
    "savefig.facecolor": PAPER,
    "svg.fonttype": "path",
    "svg.hashsalt": "lthsweep",
    "text.color": INK,
    "text.parse_math": False,  # a "$" in a name does not start mathematics
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 7.5,
    "xtick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 7.5,
    "ytick.major.width": 0.6,
    "ytick.minor.width": 0.4,
}


@dataclass(frozen=True)
class Rendered:
    """One figure as SVG and PNG bytes."""

    svg: bytes
    png: bytes


@contextmanager
def paper_style() -> Iterator[None]:
    """Set the style of the report over matplotlib's defaults; restores the user's settings at the end.

    Draw and render inside: ticks and the SVG salt are read late.
    """
    with matplotlib.rc_context():
        # Setting the backend would import pyplot.
        defaults = matplotlib.rcParamsDefault.items()
        kept: dict[Any, Any] = {k: v for k, v in defaults if not k.startswith("backend")}
        matplotlib.rcParams.update(kept | _STYLE)
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure with constrained layout; width and height in inches, at most 14."""
    figure = Figure(figsize=(min(width, 14.0), min(height, 14.0)), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def render(figure: Figure, dpi: int = 200) -> Rendered:
    """Render SVG and PNG without dates and versions, so equal figures have equal bytes."""
    svg, png = io.BytesIO(), io.BytesIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(svg, format="svg", metadata=nothing)
    figure.savefig(png, format="png", dpi=dpi, metadata={"Software": None})
    return Rendered(svg=svg.getvalue(), png=png.getvalue())


def diverging() -> LinearSegmentedColormap:
    """The color map from orange (low) over near-white to blue (high)."""
    return LinearSegmentedColormap.from_list("below-above", _DIVERGING)


def line_colors(number: int) -> list[str]:
    """Colors for `number` lines: up to five distinct colors, for more lines an ordered scale."""
    if number <= len(_CATEGORIES):
        return list(_CATEGORIES[:number])
    return [to_hex(_ORDINAL(i / (number - 1))) for i in range(number)]


def glyph(character: str) -> Outline:
    """A character as a marker centered on its point, for use in a legend."""
    outline = TextPath((0.0, 0.0), character, size=10, prop=FontProperties(family="DejaVu Sans"))
    box = outline.get_extents()
    middle = ((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2)
    return Outline(outline.vertices - middle, outline.codes)
