"""All figures of a report, drawn and rendered.

Four kinds show one combination of the further axes each, and a fifth the tickets against their controls, where there
are any. Two more lay the values of a further axis over each other; they come first, for whoever has such an axis asks
which value is best.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from lthsweep.report.accuracy import accuracy
from lthsweep.report.by_value import accuracy_by_value, epochs_by_value
from lthsweep.report.content import Part, ReportInput
from lthsweep.report.controls import controls_figure
from lthsweep.report.curves import curves
from lthsweep.report.heatmap import heatmap
from lthsweep.report.layers import layer_sparsity
from lthsweep.report.numbers import plural
from lthsweep.report.overlay import Overlay, overlays
from lthsweep.report.style import paper_style, render
from lthsweep.report.summary import totals

__all__ = ["KINDS", "OVERLAYS", "Drawing", "Kind", "OverlayKind", "draw_figures"]


@dataclass(frozen=True)
class Kind:
    """One kind of figure.

    Attributes:
        title: its heading.
        caption: how to read it, a sentence or two.
        draw: from one combination of further axes to a figure.
    """

    title: str
    caption: str
    draw: Callable[[Part, ReportInput], Figure]


@dataclass(frozen=True)
class OverlayKind:
    """One kind of figure that compares the values of a further axis; as `Kind`."""

    title: str
    caption: str
    draw: Callable[[Overlay, ReportInput], Figure]


@dataclass(frozen=True)
class Drawing:
    """One finished figure.

    Attributes:
        name: its file name without ending, unique in the report.
        alt: what a reader who cannot see it should know.
        svg, png: the bytes.
    """

    name: str
    title: str
    caption: str
    alt: str
    svg: bytes
    png: bytes


KINDS: Mapping[str, Kind] = {
    "heatmap": Kind(
        "Which tickets match",
        "Difference of a ticket to its dense run at each grid point. Framed cells match: their whole "
        "interval lies above −margin. Striped cells have no result yet (missing); cross-hatched ones failed.",
        heatmap,
    ),
    "accuracy": Kind(
        "Accuracy against weights remaining",
        "Test accuracy at the last epoch, a line per rewind epoch k; further right is a smaller network.",
        accuracy,
    ),
    "curves": Kind(
        "Learning curves",
        "Tickets against the dense run over the epochs of the schedule.",
        curves,
    ),
    "layers": Kind(
        "Where the weights were taken",
        "Weights remaining in each layer. A cross marks a layer that lost every weight in some ticket.",
        layer_sparsity,
    ),
}


OVERLAYS: Mapping[str, OverlayKind] = {
    "by-value": OverlayKind(
        "Accuracy against weights remaining",
        "Test accuracy at the last epoch, a line per value; further right is a smaller network. What is more than "
        "noise, `lthsweep compare` says.",
        accuracy_by_value,
    ),
    "by-value-epochs": OverlayKind(
        "Accuracy against epochs",
        "Validation accuracy of each epoch, a line per value; markers are test accuracy at the end of a training.",
        epochs_by_value,
    ),
}
"""Figures of a sweep whose further axes have several values."""

_CONTROLS = Kind(
    "Ticket against controls",
    "Test accuracy of the tickets and of controls, a panel per rewind epoch k. reinit: the ticket's mask on fresh "
    "weights (reinit-masked: scaled to the fan-in that it leaves); random: its mask shuffled within layers "
    "(random-global: across them); fine-tune and lr-rewind: its mask on the trained weights, at the last learning rate "
    "or with the schedule rewound.",
    lambda part, report: controls_figure([part], report),
)


def draw_figures(report: ReportInput, *, max_parts: int = 12) -> list[Drawing]:
    """Draw every kind for every combination of further axes, and the values of each of them over each other.

    Args:
        report: what to draw.
        max_parts: combinations to draw, the first ones of the table; a figure takes about half a second.
    """
    groups = report.groups()[:max_parts]
    # Controls stand beside their ticket in one figure; each in figures of its own would bury the tickets.
    tickets = [group[0] for group in groups]
    compared = [(group[0], group) for group in groups if len(group) > 1]
    with paper_style():
        drawings = _overlay_drawings(report, overlays(report)[:max_parts])
        for name, kind in KINDS.items():
            drawings += _drawn(name, kind, report, [(part, kind.draw(part, report)) for part in tickets])
        drawings += _drawn(
            "controls",
            _CONTROLS,
            report,
            [(part, controls_figure(group, report)) for part, group in compared],
        )
    return drawings


def _overlay_drawings(report: ReportInput, found: Sequence[Overlay]) -> list[Drawing]:
    drawings = []
    for name, kind in OVERLAYS.items():
        for number, overlay in enumerate(found, start=1):
            rendered = render(kind.draw(overlay, report))
            drawings.append(
                Drawing(
                    name=f"{name}-{number}-{_slug({overlay.axis: 'all', **overlay.others})}",
                    title=f"{kind.title}, {overlay.title}",
                    caption=kind.caption,
                    alt=f"{kind.title}, {overlay.title}: a line each for {', '.join(overlay.parts)}. "
                    "The table holds the numbers.",
                    svg=rendered.svg,
                    png=rendered.png,
                )
            )
    return drawings


def _drawn(
    name: str, kind: Kind, report: ReportInput, figures: Sequence[tuple[Part, Figure]]
) -> Iterator[Drawing]:
    for number, (part, figure) in enumerate(figures, start=1):
        rendered = render(figure)
        yield Drawing(
            name=name if len(figures) == 1 else f"{name}-{number}-{_slug(part.values)}",
            title=f"{kind.title}: {part.title}" if part.title else kind.title,
            caption=kind.caption,
            alt=_alt(kind, part, report),
            svg=rendered.svg,
            png=rendered.png,
        )


def _slug(values: Mapping[str, str]) -> str:
    """File-name form of a combination; the number before it is what makes a name unique."""
    text = "-".join(f"{name.rpartition('.')[2]}={value}" for name, value in values.items())
    return re.sub(r"[^A-Za-z0-9.=_-]+", "_", text)[:60]


def _alt(kind: Kind, part: Part, report: ReportInput) -> str:
    counted = totals(part.tickets)
    found = ", ".join(f"{number} {verdict}" for verdict, number in counted.verdicts.items() if number)
    return (
        f"{kind.title}. {plural(counted.points, 'grid point')}, {len(part.cuts)} values of {report.axes.cut} "
        f"by {plural(len(part.rewinds), 'rewind epoch')}: {found or 'none'}. The table holds the numbers."
    )
