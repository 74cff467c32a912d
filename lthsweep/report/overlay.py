"""The values of one further axis, to be laid over each other in a figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lthsweep.report.content import CONTROL_AXIS, Part, ReportInput
from lthsweep.report.style import MARKERS, line_colors

__all__ = ["Overlay", "overlays"]


@dataclass(frozen=True, eq=False)
class Overlay:
    """The values of one further axis at one combination of the others.

    Attributes:
        axis: the axis with a line per value.
        others: the other further axes and their values.
        parts: value → its part of the table.
    """

    axis: str
    others: Mapping[str, str]
    parts: Mapping[str, Part]

    @property
    def title(self) -> str:
        """The combination in words."""
        where = ", ".join(f"{name} = {value or 'none'}" for name, value in self.others.items())
        return f"by {self.axis}" + (f", {where}" if where else "")

    @property
    def colors(self) -> dict[str, str]:
        """Value → color of its line."""
        return dict(zip(self.parts, line_colors(len(self.parts)), strict=True))

    @property
    def markers(self) -> dict[str, str]:
        """Value → marker of its line."""
        return {value: MARKERS[i % len(MARKERS)] for i, value in enumerate(self.parts)}

    @property
    def rewinds(self) -> tuple[str, ...]:
        """The rewind epochs, in order."""
        return next(iter(self.parts.values())).rewinds


def overlays(report: ReportInput) -> list[Overlay]:
    """For every further axis of two values or more, one overlay per combination of the others.

    Controls have a figure of their own.
    """
    found = []
    parts = report.parts()
    for axis in report.axes.further:
        if axis == CONTROL_AXIS:
            continue
        grouped: dict[tuple[tuple[str, str], ...], dict[str, Part]] = {}
        for part in parts:
            others = tuple((name, value) for name, value in part.values.items() if name != axis)
            grouped.setdefault(others, {})[part.values[axis]] = part
        found += [Overlay(axis, dict(others), by) for others, by in grouped.items() if len(by) > 1]
    return found
