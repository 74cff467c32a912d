"""The text in a cell of the heatmap, as far as it fits."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.axes import Axes as Plot

from lthsweep.reduce.decision import Verdict
from lthsweep.report.axes import FrameRow
from lthsweep.report.numbers import as_float, percent
from lthsweep.report.style import DARK, FAILED, INK, LIGHT, PAPER
from lthsweep.report.summary import dead_layers, verdict_of
from lthsweep.report.verdicts import TICKET_VERDICTS

__all__ = ["CellSize", "readable_ink", "write_accuracy", "write_state"]


@dataclass(frozen=True)
class CellSize:
    """Width and height of a cell on paper, in inches."""

    width: float
    height: float

    @property
    def fits_text(self) -> bool:
        """True if accuracy, mark, and remarks fit."""
        return self.width >= 0.5 and self.height >= 0.34

    @property
    def fits_mark(self) -> bool:
        """True if at least the mark of the verdict fits."""
        return self.width >= 0.15 and self.height >= 0.15


def write_state(plot: Plot, x: int, y: int, state: Verdict) -> None:
    """Write "missing", "failed" or "damaged" over the hatching."""
    ink, box = (INK, PAPER) if state is Verdict.MISSING else (LIGHT, FAILED)
    background = {"facecolor": box, "edgecolor": "none", "pad": 1.2}
    plot.text(x, y, state, ha="center", va="center", fontsize=6.6, color=ink, bbox=background)


def write_accuracy(plot: Plot, x: int, y: int, row: FrameRow, cell: CellSize, ink: str) -> None:
    """Write accuracy (percent), the mark of the verdict, and remarks, as far as they fit."""
    mark = TICKET_VERDICTS[verdict_of(row.get("verdict"))].mark
    if not cell.fits_text:
        plot.text(x, y, mark, ha="center", va="center", color=ink, fontsize=6)
        return
    remarks = _remarks(row)
    accuracy = f"{percent(row.get('ticket_accuracy'), 1)} {mark}"
    for text, size, offset in ((accuracy, 7.6, 3.6), (remarks, 5.4, -6.2)):
        plot.annotate(
            text,
            (x, y),
            (0.0, offset if remarks else 0.0),
            textcoords="offset points",
            ha="center",
            va="center",
            color=ink,
            fontsize=size,
        )


def _remarks(row: FrameRow) -> str:
    """Dead layers, diverged runs, and missing seeds in short form; a cell has space for two."""
    found = []
    if dead := dead_layers(row.get("dead_layers")):
        found.append(f"{len(dead)} dead")
    if as_float(row.get("n_diverged")) > 0:
        found.append(f"{as_float(row.get('n_diverged')):.0f} div.")
    seeds, planned = as_float(row.get("n")), as_float(row.get("n_planned"))
    if seeds < planned:
        found.append(f"n {seeds:.0f}/{planned:.0f}")
    return ", ".join(found[:2])


def readable_ink(color: tuple[float, float, float, float]) -> str:
    """Dark or light ink, whichever has the higher contrast by WCAG's relative luminance."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color[:3]]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return DARK if luminance > 0.18 else LIGHT
