"""The figures of a report: which kinds there are, and one `Drawing` for each figure.

Figures with the values of a further axis over each other come first: a sweep over such an axis asks which value is
best. Then follow every kind for every combination of the further axes, and tickets against controls.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from matplotlib.figure import Figure

from lthsweep.report.accuracy import accuracy, accuracy_by_value, control_accuracy
from lthsweep.report.content import Combination, Overlay, ReportInput
from lthsweep.report.curves import curves, curves_by_value
from lthsweep.report.heatmap import heatmap
from lthsweep.report.layer_sparsity import layer_sparsity
from lthsweep.report.style import Rendered, paper_style, render
from lthsweep.report.summary import totals
from lthsweep.wording import plural

__all__ = ["CONTROLS", "KINDS", "OVERLAYS", "Drawing", "FigureKind", "drawings", "rendered"]

Shown = TypeVar("Shown", Combination, Overlay, Sequence[Combination])


@dataclass(frozen=True)
class FigureKind(Generic[Shown]):
    """One kind of figure.

    Attributes:
        title: its heading.
        caption: how to read it, one or two sentences.
        draw: draws what one figure of this kind shows.
    """

    title: str
    caption: str
    draw: Callable[[Shown, ReportInput], Figure]


@dataclass(frozen=True)
class Drawing:
    """One figure of a report, not drawn yet.

    Attributes:
        name: file name without suffix, unique in the report.
        title, caption: its heading and legend on the page.
        alt: text alternative for readers who cannot see the figure.
        draw: draws it, in a fraction of a second; call it inside `paper_style`.
    """

    name: str
    title: str
    caption: str
    alt: str
    draw: Callable[[], Figure]


KINDS: Mapping[str, FigureKind[Combination]] = {
    "heatmap": FigureKind(
        "Which tickets match",
        "Difference of a ticket to its dense run at each grid point. Framed cells are winning or "
        "matching. Striped cells have no result yet (missing); cross-hatched cells failed.",
        heatmap,
    ),
    "accuracy": FigureKind(
        "Accuracy against weights remaining",
        "Test accuracy at the last epoch, a line per rewind epoch k; further right is a smaller network.",
        accuracy,
    ),
    "curves": FigureKind(
        "Learning curves",
        "Tickets against the dense run over the epochs of the schedule.",
        curves,
    ),
    "layers": FigureKind(
        "Where the weights were pruned",
        "Weights remaining in each layer. A cross marks a layer that lost every weight in some ticket.",
        layer_sparsity,
    ),
}
"""Figures of each combination of the further axes."""

OVERLAYS: Mapping[str, FigureKind[Overlay]] = {
    "by-value": FigureKind(
        "Accuracy against weights remaining",
        "Test accuracy at the last epoch, a line per value; further right is a smaller network. `lthsweep compare` "
        "tests which differences are more than noise.",
        accuracy_by_value,
    ),
    "by-value-epochs": FigureKind(
        "Accuracy against epochs",
        "Validation accuracy of each epoch, a line per value; markers are test accuracy at the end of a training.",
        curves_by_value,
    ),
}
"""Figures of a further axis with several values."""

CONTROLS: FigureKind[Sequence[Combination]] = FigureKind(
    "Ticket against controls",
    "Test accuracy of the tickets and of controls, a panel per rewind epoch k. reinit: the ticket's mask on fresh "
    "weights (reinit-masked: scaled to the remaining fan-in); random: its mask shuffled within layers "
    "(random-global: across them); fine-tune and lr-rewind: its mask on the trained weights, at the last learning rate "
    "or with the schedule rewound.",
    control_accuracy,
)
"""The figure of a combination with controls."""


def drawings(report: ReportInput, *, max_combinations: int = 12) -> list[Drawing]:
    """The figures of a report, in the order of the page.

    Args:
        report: what to draw.
        max_combinations: combinations of the further axes to draw, the first ones of the table.
    """
    found = []
    for name, overlay_kind in OVERLAYS.items():
        for number, overlay in enumerate(report.overlays()[:max_combinations], start=1):
            title = f"{overlay_kind.title}, {overlay.title}"
            found.append(
                Drawing(
                    name=f"{name}-{number}-{_slug({overlay.axis: 'all', **overlay.others})}",
                    title=title,
                    caption=overlay_kind.caption,
                    alt=f"{title}: a line each for {', '.join(overlay.by_value)}. The table holds the numbers.",
                    draw=partial(overlay_kind.draw, overlay, report),
                )
            )
    groups = report.groups()[:max_combinations]
    # Controls share one figure with their ticket, so only the first of a group gets the other kinds.
    firsts = [group[0] for group in groups]
    for name, kind in KINDS.items():
        shown = [(one, partial(kind.draw, one, report)) for one in firsts]
        found += _numbered(name, kind, report, shown)
    compared = [(group[0], partial(CONTROLS.draw, group, report)) for group in groups if len(group) > 1]
    return found + _numbered("controls", CONTROLS, report, compared)


def rendered(figures: Sequence[Drawing]) -> list[Rendered]:
    """Draw and render figures, in their order."""
    with paper_style():
        return [render(drawing.draw()) for drawing in figures]


def _numbered(
    name: str,
    kind: FigureKind[Shown],
    report: ReportInput,
    shown: Sequence[tuple[Combination, Callable[[], Figure]]],
) -> list[Drawing]:
    return [
        Drawing(
            name=name if len(shown) == 1 else f"{name}-{number}-{_slug(one.values)}",
            title=f"{kind.title}: {one.title}" if one.title else kind.title,
            caption=kind.caption,
            alt=_alt(kind.title, one, report),
            draw=draw,
        )
        for number, (one, draw) in enumerate(shown, start=1)
    ]


def _slug(values: Mapping[str, str]) -> str:
    """A combination as part of a file name; the number before it makes the name unique."""
    text = "-".join(f"{name.rpartition('.')[2]}={value}" for name, value in values.items())
    return re.sub(r"[^A-Za-z0-9.=_-]+", "_", text)[:60]


def _alt(title: str, one: Combination, report: ReportInput) -> str:
    counted = totals(one.tickets)
    found = ", ".join(f"{number} {verdict}" for verdict, number in counted.verdicts.items() if number)
    return (
        f"{title}. {plural(counted.points, 'grid point')}, {len(one.cuts)} values of {report.axes.cut} "
        f"by {plural(len(one.rewinds), 'rewind epoch')}: {found or 'none'}. The table holds the numbers."
    )
