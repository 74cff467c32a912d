"""The nouns of a plan: recipe, run, cell, plan.

`pydantic.TypeAdapter` writes and reads a run, alone or inside another dataclass, as JSON; no other code converts it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lthsweep.data.entry import describe_data
from lthsweep.plan.prune_step import LayerRules, PruneStep
from lthsweep.plan.rewind import RewindPoint
from lthsweep.plan.rounds import Budget
from lthsweep.spec.grid_table import AxisValue

if TYPE_CHECKING:
    from lthsweep.spec import Spec

__all__ = ["Cell", "Options", "Plan", "Recipe", "Run", "RunKind"]

RunKind = Literal["dense", "ticket"]

Options = Mapping[str, object]
"""A table of the file, checked and with every default written out.

The values are keyword arguments of the function that `name` selects, which gives them their types.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Recipe:
    """The model, data and train tables, shared by all runs of one variant."""

    model: Options
    data: Options
    train: Options

    @property
    def epochs(self) -> int:
        """T, the length of dense training and of the learning-rate schedule."""
        return _whole(self.train, "epochs")

    @property
    def batch_size(self) -> int:
        """Samples per optimizer step."""
        return _whole(self.train, "batch_size")

    @property
    def dataset(self) -> str:
        """Name of the data set, or of the user's reader."""
        return str(self.data["name"])

    @property
    def source(self) -> str:
        """Digest of the data's source; "" while its files were not read, so that the keys of its runs are not final."""
        return str(self.data["source"])

    @property
    def held_out(self) -> int:
        """Training samples held out for validation."""
        return _whole(self.data, "validation")

    @property
    def train_images(self) -> int:
        """Training samples to use; 0 for all that are not held out."""
        return _whole(self.data, "train_images")

    def to_dict(self) -> dict[str, Options]:
        """Plain tables, for a record."""
        return {"model": dict(self.model), "data": dict(self.data), "train": dict(self.train)}


def _whole(options: Options, name: str) -> int:
    value = options[name]
    assert isinstance(value, int), f"{name} = {value!r}"
    return value


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One training.

    Attributes:
        key: hash of the manifest, see `lthsweep.plan.keys`.
        manifest: all settings that determine the result.
        trunk: key of the dense run it descends from; its own key if it is the dense run.
        parent: key of the run whose final weights are ranked: the dense run, or the level before. None for a dense run.
        level: 0 for a dense run, else 1, 2, … along the chain.
        prune: the pruning step; None for a dense run.
        variant: values of dotted axes that distinguish it, e.g. `model.init=kaiming_normal`; for display only.
    """

    key: str
    manifest: Mapping[str, object]
    recipe: Recipe
    seed: int
    trunk: str
    parent: str | None = None
    level: int = 0
    prune: PruneStep | None = None
    variant: str = ""

    @property
    def kind(self) -> RunKind:
        """ "dense", or "ticket" for tickets and controls."""
        return "dense" if self.prune is None else "ticket"

    @property
    def budget(self) -> Budget | None:
        """The time limit of a budget run; None for other runs."""
        return None if self.prune is None else self.prune.budget

    def epochs(self, steps_per_epoch: int | None = None) -> float:
        """Epochs to train: T for a dense run, T − k for a ticket, 0 for a budget run, which is measured in seconds."""
        if self.prune is None:
            return self.recipe.epochs
        if self.prune.budget is not None:
            return 0.0
        return self.recipe.epochs - self.prune.point.epochs(steps_per_epoch)

    def describe(self) -> str:
        """One short line for progress displays and logs."""
        variant = f" {self.variant}" if self.variant else ""
        if self.prune is None:
            return f"dense seed {self.seed}{variant}"
        amount = (
            f"threshold {self.prune.threshold:g}"
            if self.prune.threshold is not None
            else f"sparsity {_below_one(self.prune.sparsity)}"
        )
        within = f" within {self.budget}" if self.budget else ""
        return f"{self.prune.role}{within} {amount} rewind {self.prune.point} seed {self.seed}{variant}"


def _below_one(sparsity: float | None) -> str:
    """Return a sparsity with six digits, or with more where six of them round to 1."""
    short = f"{sparsity:g}"
    return short if short != "1" else f"{sparsity:.12g}"


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One point of the grid, and the run that answers it.

    Attributes:
        values: (axis, value) in the order of the axes, including the seed; rewind epochs as written.
        run: key of the answering run; the dense run's for sparsity 0.
    """

    values: tuple[tuple[str, AxisValue], ...]
    run: str

    def __getitem__(self, axis: str) -> AxisValue:
        for name, value in self.values:
            if name == axis:
                return value
        raise KeyError(axis)


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """All cells of a sweep and the runs that answer them, parents before children."""

    spec: Spec
    cells: tuple[Cell, ...]
    runs: Mapping[str, Run]

    def __getitem__(self, key: str) -> Run:
        return self.runs[key]

    @property
    def dense(self) -> list[Run]:
        """The dense runs."""
        return [run for run in self.runs.values() if run.prune is None]

    @property
    def tickets(self) -> list[Run]:
        """Tickets and controls."""
        return [run for run in self.runs.values() if run.prune is not None]

    @property
    def pending_data(self) -> list[Options]:
        """The data tables whose source is not known yet: keys of their runs change when the files are read."""
        tables = {
            describe_data(run.recipe.data): run.recipe.data for run in self.dense if not run.recipe.source
        }
        return list(tables.values())

    def rewind_points(self) -> dict[str, tuple[RewindPoint, ...]]:
        """Dense run key → the points of the dense run whose weights tickets return to, each once."""
        points: dict[str, dict[RewindPoint, None]] = {run.key: {} for run in self.dense}
        for run in self.tickets:
            if run.prune and run.prune.returns_weights:
                points[run.trunk][run.prune.point] = None
        return {key: tuple(found) for key, found in points.items()}

    def layer_rules(self) -> dict[str, tuple[LayerRules, ...]]:
        """Dense run key → the different layer rules of the tickets that descend from it, where they have any."""
        found: dict[str, dict[LayerRules, None]] = {}
        for run in self.tickets:
            if run.prune and (run.prune.exclude or run.prune.rates):
                found.setdefault(run.trunk, {})[run.prune.layer_rules] = None
        return {key: tuple(rules) for key, rules in found.items()}
