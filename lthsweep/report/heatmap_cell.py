"""One cell of the heatmap: what is written in it, its frame, the corner that tells of dead layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes as Plot
from matplotlib.patches import Polygon, Rectangle

from lthsweep.report.numbers import as_float, percent
from lthsweep.report.style import DARK, FAILED, INK, LIGHT, PAPER
from lthsweep.report.summary import dead_layers
from lthsweep.report.verdicts import VERDICTS

__all__ = ["Cell", "annotate", "corner", "outline", "readable", "say_in_cell"]


@dataclass(frozen=True)
class Cell:
    """Where a cell's text fits: its size in inches on paper."""

    width: float
    height: float

    @property
    def full(self) -> bool:
        """Whether accuracy, mark and remarks fit."""
        return self.width >= 0.5 and self.height >= 0.34

    @property
    def mark(self) -> bool:
        """Whether at least the verdict's mark fits."""
        return self.width >= 0.15 and self.height >= 0.15


def say_in_cell(plot: Plot, x: int, y: int, verdict: str) -> None:
    """Write "missing" or "failed" over the hatching."""
    ink, box = (LIGHT, FAILED) if verdict == "failed" else (INK, PAPER)
    plot.text(
        x,
        y,
        verdict,
        ha="center",
        va="center",
        fontsize=6.6,
        color=ink,
        bbox={"facecolor": box, "edgecolor": "none", "pad": 1.2},
    )


def outline(x: int, y: int, cell: Cell) -> Rectangle:
    """The frame of a matching ticket: the eye finds the answer before it reads a number."""
    wide, high = 0.02 / cell.width, 0.02 / cell.height
    return Rectangle((x - 0.5 + wide, y - 0.5 + high), 1 - 2 * wide, 1 - 2 * high)


def corner(x: int, y: int, cell: Cell) -> Polygon:
    """The triangle in the upper right that says a layer died; it fits in any cell, unlike text."""
    side = min(0.1, 0.3 * cell.width, 0.3 * cell.height)
    wide, high = side / cell.width, side / cell.height
    right, top = x + 0.5 - 0.015 / cell.width, y + 0.5 - 0.015 / cell.height
    return Polygon([(right - wide, top), (right, top), (right, top - high)])


def annotate(plot: Plot, x: int, y: int, row: dict[Any, Any], verdict: str, cell: Cell, ink: str) -> None:
    """Write accuracy (percent), the verdict's mark and what is odd, as far as it fits."""
    mark = VERDICTS[verdict].mark
    if not cell.full:
        if cell.mark:
            plot.text(x, y, mark, ha="center", va="center", color=ink, fontsize=6)
        return
    remarks = _remarks(row)
    accuracy = percent(row.get("ticket_accuracy"), 1)
    for text, size, drop in ((f"{accuracy} {mark}", 7.6, 3.6), (remarks, 5.4, -6.2)):
        offset = (0.0, drop if remarks else 0.0)
        plot.annotate(
            text,
            (x, y),
            offset,
            textcoords="offset points",
            ha="center",
            va="center",
            color=ink,
            fontsize=size,
        )


def _remarks(row: dict[Any, Any]) -> str:
    """What is odd about a cell, shortest form; two remarks at most, for that is what fits."""
    said = []
    if dead := dead_layers(row.get("dead_layers")):
        said.append(f"{len(dead)} dead")
    if as_float(row.get("n_diverged")) > 0:
        said.append(f"{as_float(row.get('n_diverged')):.0f} div.")
    seeds, planned = as_float(row.get("n")), as_float(row.get("n_planned"))
    if seeds < planned:
        said.append(f"n {seeds:.0f}/{planned:.0f}")
    return ", ".join(said[:2])


def readable(color: tuple[float, float, float, float]) -> str:
    """Dark or light ink, whichever has the higher contrast by the WCAG's relative luminance."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color[:3]]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return DARK if luminance > 0.18 else LIGHT
