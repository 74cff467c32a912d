"""The input of a report: the frames of a merged sweep, and how its figures divide them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from lthsweep.reduce.run_result import ResultState
from lthsweep.report.axes import Axes, ordered
from lthsweep.report.numbers import flag

__all__ = ["CONTROL_AXIS", "Combination", "Overlay", "ReportInput"]

CONTROL_AXIS = "prune.control"
"""The further axis whose values are compared within a grid point, so they share a figure."""


@dataclass(frozen=True, eq=False)
class Combination:
    """One combination of values of the further axes: what one figure shows.

    The columns of the axes hold canonical texts.

    Attributes:
        values: further axis → value; empty if the sweep has no further axis.
        tickets: rows of the combination's grid points.
        dense: its dense runs; a dense run does not depend on pruning, so several combinations can share it.
        runs: its ticket runs.
        cuts, rewinds: values of the two main axes, in order.
    """

    values: Mapping[str, str]
    tickets: pd.DataFrame
    dense: pd.DataFrame
    runs: pd.DataFrame
    cuts: tuple[str, ...]
    rewinds: tuple[str, ...]

    @property
    def title(self) -> str:
        """The values in words, without `control = ticket`; "" without further axes."""
        shown = {
            name: value for name, value in self.values.items() if (name, value) != (CONTROL_AXIS, "ticket")
        }
        return ", ".join(f"{name} = {value or 'none'}" for name, value in shown.items())

    @property
    def control(self) -> str:
        """The control that the combination shows; "ticket" without an axis of controls."""
        return self.values.get(CONTROL_AXIS, "ticket")


@dataclass(frozen=True, eq=False)
class Overlay:
    """All values of one further axis at one combination of the others, drawn over each other.

    Attributes:
        axis: the axis with one line per value.
        others: the other further axes and their values.
        by_value: value of the axis → its combination.
    """

    axis: str
    others: Mapping[str, str]
    by_value: Mapping[str, Combination]

    @property
    def title(self) -> str:
        """The axis and the values of the others, in words."""
        where = ", ".join(f"{name} = {value or 'none'}" for name, value in self.others.items())
        return f"by {self.axis}" + (f", {where}" if where else "")

    @property
    def first(self) -> Combination:
        """The combination of the first value; its rewind epochs and cuts are those of the others."""
        return next(iter(self.by_value.values()))


@dataclass(frozen=True, eq=False)
class ReportInput:
    """Everything the report shows. Nothing else is read, so equal inputs give equal bytes.

    Attributes:
        name: of the sweep; any text, escaped where it is shown.
        margin, confidence: of the verdict, fractions.
        tickets: one row per grid point over its seeds, missing and failed ones included.
        runs: one row per run, with its `key`.
        curves: one row per run and epoch.
        layers: one row per run and prunable layer.
        controls: one row per control of a grid point; empty for a sweep without controls.
        description: of the sweep, "" if it has none.
        folder: the sweep directory as a reader would type it; "" stands for results/NAME.
        digest: hash over all records behind the tables, for citation; "" leaves it out.
        spec_text: the resolved TOML file; "" leaves it out.
        notes: sentences about records that the numbers leave out.
    """

    name: str
    margin: float
    confidence: float
    tickets: pd.DataFrame
    runs: pd.DataFrame = field(default_factory=pd.DataFrame)
    curves: pd.DataFrame = field(default_factory=pd.DataFrame)
    layers: pd.DataFrame = field(default_factory=pd.DataFrame)
    controls: pd.DataFrame = field(default_factory=pd.DataFrame)
    description: str = ""
    folder: str = ""
    digest: str = ""
    spec_text: str = ""
    notes: tuple[str, ...] = ()

    @property
    def axes(self) -> Axes:
        """The axes of the tickets."""
        return Axes.of(self.tickets)

    @property
    def steps_per_epoch(self) -> float:
        """Optimizer steps in an epoch, NaN if unknown; places "500it" among the rewind epochs."""
        runs = self._runs_in_use()
        if "steps_per_epoch" not in runs:
            return math.nan
        return float(pd.to_numeric(runs["steps_per_epoch"], errors="coerce").median())

    def combinations(self) -> list[Combination]:
        """The table divided by its further axes, in the order of its rows."""
        axes = self.axes
        tickets, runs = axes.normalize(self.tickets), axes.normalize(self._runs_in_use())
        kind = runs["kind"] if "kind" in runs else pd.Series("", index=runs.index)
        found = []
        for combination in axes.combinations(self.tickets):
            values = dict(zip(axes.further, combination, strict=True))
            here, of_runs = _select(tickets, values), _select(runs, values, or_empty=True)
            found.append(
                Combination(
                    values=values,
                    tickets=here,
                    dense=of_runs[kind.loc[of_runs.index] == "dense"],
                    runs=of_runs[kind.loc[of_runs.index] == "ticket"],
                    cuts=tuple(ordered(here[axes.cut])),
                    rewinds=tuple(ordered(here["rewind_epoch"], self.steps_per_epoch)),
                )
            )
        return found

    def groups(self) -> list[list[Combination]]:
        """The combinations; those that differ only in their control together, the ticket first."""
        found: dict[tuple[str, ...], list[Combination]] = {}
        for one in self.combinations():
            others = tuple(value for name, value in one.values.items() if name != CONTROL_AXIS)
            found.setdefault(others, []).append(one)
        return [sorted(group, key=lambda one: one.control != "ticket") for group in found.values()]

    def overlays(self) -> list[Overlay]:
        """For every further axis with several values, one overlay per combination of the other axes.

        The axis of controls has a figure of another kind.
        """
        found = []
        for axis in self.axes.further:
            if axis == CONTROL_AXIS:
                continue
            grouped: dict[tuple[tuple[str, str], ...], dict[str, Combination]] = {}
            for one in self.combinations():
                others = tuple((name, value) for name, value in one.values.items() if name != axis)
                grouped.setdefault(others, {})[one.values[axis]] = one
            found += [Overlay(axis, dict(others), by) for others, by in grouped.items() if len(by) > 1]
        return found

    def _runs_in_use(self) -> pd.DataFrame:
        """The runs of this grid that are pooled: not set aside, and not left in the directory by another grid."""
        runs = self.runs
        if "in_plan" in runs:
            runs = runs[[flag(value) is not False for value in runs["in_plan"]]]
        return runs[runs["state"] != ResultState.SET_ASIDE] if "state" in runs else runs


def _select(frame: pd.DataFrame, values: Mapping[str, str], *, or_empty: bool = False) -> pd.DataFrame:
    for name, value in values.items():
        frame = frame[frame[name].isin([value, ""] if or_empty else [value])]
    return frame
