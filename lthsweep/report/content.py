"""What a report is made from: the frames of a merged sweep and the few words around them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from lthsweep.report.axes import Axes, ordered
from lthsweep.report.numbers import flag

__all__ = ["CONTROL_AXIS", "Part", "ReportInput"]

CONTROL_AXIS = "prune.control"
"""The one further axis that compares within a grid point: its values share a figure."""


@dataclass(frozen=True, eq=False)
class Part:
    """One combination of the further axes; what one figure shows. Axes are columns of canonical texts.

    Attributes:
        values: further axis → value; empty if the sweep has no further axis.
        tickets: the combination's grid points.
        dense: its dense runs. A dense run knows nothing of pruning, so it may serve several combinations.
        runs: its ticket runs.
        cuts, rewinds: the values of the two axes, in order.
    """

    values: Mapping[str, str]
    tickets: pd.DataFrame
    dense: pd.DataFrame
    runs: pd.DataFrame
    cuts: tuple[str, ...]
    rewinds: tuple[str, ...]

    @property
    def title(self) -> str:
        """The combination in words, "" without further axes; a ticket need not say that it is one."""
        told = {
            name: value for name, value in self.values.items() if (name, value) != (CONTROL_AXIS, "ticket")
        }
        return ", ".join(f"{name} = {value or 'none'}" for name, value in told.items())

    @property
    def control(self) -> str:
        """Which control the part shows; "ticket" without an axis of controls."""
        return self.values.get(CONTROL_AXIS, "ticket")


@dataclass(frozen=True, eq=False)
class ReportInput:
    """Everything the report shows; nothing else is looked up, so the same input gives the same bytes.

    Attributes:
        name: of the sweep; may be any text, it is escaped where it is shown.
        margin, confidence: of the verdict, both fractions.
        tickets: one row per grid point over its seeds; missing and failed ones are rows too.
        runs: one row per run, with its `key`.
        curves: one row per run and epoch.
        layers: one row per run and prunable layer.
        controls: one row per control of a grid point; empty for a sweep without controls.
        description: of the sweep, "" if it has none.
        folder: of the sweep, as the reader should type it in a command.
        digest: hash over all records that the tables were made from, what to cite; "" leaves it out.
        spec_text: the resolved TOML file; shown in the page, "" leaves it out.
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

    @property
    def axes(self) -> Axes:
        """The axes of the tickets."""
        return Axes.of(self.tickets)

    @property
    def where(self) -> str:
        """The folder to name in commands."""
        return self.folder or f"results/{self.name}"

    @property
    def steps_per_epoch(self) -> float:
        """Optimizer steps in an epoch, NaN if no run says so; it places "500it" among the rewind epochs."""
        if "steps_per_epoch" not in self.runs:
            return math.nan
        return float(pd.to_numeric(self.runs["steps_per_epoch"], errors="coerce").median())

    def parts(self) -> list[Part]:
        """The table cut into its combinations of further axes, in the order of its rows."""
        axes = self.axes
        tickets, runs = axes.normalize(self.tickets), self._runs(axes)
        kind = runs["kind"] if "kind" in runs else pd.Series("", index=runs.index)
        parts = []
        for combination in axes.combinations(self.tickets):
            values = dict(zip(axes.further, combination, strict=True))
            here, of_runs = _among(tickets, values), _among(runs, values, or_empty=True)
            parts.append(
                Part(
                    values=values,
                    tickets=here,
                    dense=of_runs[kind.loc[of_runs.index] == "dense"],
                    runs=of_runs[kind.loc[of_runs.index] == "ticket"],
                    cuts=tuple(ordered(here[axes.cut])),
                    rewinds=tuple(ordered(here["rewind_epoch"], self.steps_per_epoch)),
                )
            )
        return parts

    def groups(self) -> list[list[Part]]:
        """The parts, those that differ in their control alone together, the ticket first."""
        found: dict[tuple[str, ...], list[Part]] = {}
        for part in self.parts():
            others = tuple(value for name, value in part.values.items() if name != CONTROL_AXIS)
            found.setdefault(others, []).append(part)
        return [sorted(group, key=lambda part: part.control != "ticket") for group in found.values()]

    def _runs(self, axes: Axes) -> pd.DataFrame:
        """The runs of this grid; records that another grid left in the directory are in no figure."""
        runs = self.runs
        if "in_plan" in runs:
            runs = runs[[flag(value) is not False for value in runs["in_plan"]]]
        return axes.normalize(runs)


def _among(frame: pd.DataFrame, values: Mapping[str, str], *, or_empty: bool = False) -> pd.DataFrame:
    for name, value in values.items():
        frame = frame[frame[name].isin([value, ""] if or_empty else [value])]
    return frame
