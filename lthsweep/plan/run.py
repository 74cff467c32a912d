"""The nouns of a plan: a recipe, a pruning step, a run, a cell, the plan itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lthsweep.plan.budget import Budget
from lthsweep.plan.rewind import RewindPoint

if TYPE_CHECKING:
    from lthsweep.spec import Spec

__all__ = ["FRESH", "Cell", "LayerRules", "Plan", "PruneStep", "Recipe", "Run", "role_by_rewind"]

Kind = Literal["dense", "ticket"]

LayerRules = tuple[tuple[str, ...], tuple[tuple[str, float], ...]]
"""What names layers by pattern: `prune.exclude`, and `prune.rates` as pairs."""

FRESH = ("reinit", "reinit-masked")
"""Controls whose weights are drawn anew, and so return to nothing."""

_ROLES = {"none": "fine-tune", "lr": "lr-rewind"}


def role_by_rewind(rewind: str) -> str:
    """Whether a way to rewind is that of a ticket, or a control: survivors keep their trained weights."""
    return _ROLES.get(rewind, "ticket")


@dataclass(frozen=True, slots=True, eq=False)
class Recipe:
    """What all runs of one variant share: the model, data and train tables with every default written out."""

    model: Mapping[str, Any]
    data: Mapping[str, Any]
    train: Mapping[str, Any]

    @property
    def epochs(self) -> int:
        """T, the length of dense training and of the learning-rate schedule."""
        return int(self.train["epochs"])

    def to_dict(self) -> dict[str, Any]:
        """Plain tables, for a task or a record."""
        return {"model": dict(self.model), "data": dict(self.data), "train": dict(self.train)}


@dataclass(frozen=True, slots=True)
class PruneStep:
    """One pruning: how, how much, and to where the survivors return.

    Exactly one of `sparsity` (fraction of all prunable weights that are gone afterward) and `threshold`
    (absolute magnitude at or below which weights go) is set. `control` is "ticket", or what else is done with its
    mask, see `lthsweep.plan.controls`. `rates` are (pattern, rate) pairs of layers that lose less than the others.
    With a `budget` no parent's weights are ranked: the run trains, prunes and resets in as many rounds as the time
    allows.
    """

    method: str
    scope: str
    exclude: tuple[str, ...]
    rewind: str
    point: RewindPoint
    sparsity: float | None = None
    threshold: float | None = None
    control: str = "ticket"
    rates: tuple[tuple[str, float], ...] = ()
    budget: Budget | None = None

    @property
    def returns_weights(self) -> bool:
        """Whether survivors return to the trunk's snapshot; else they keep other weights."""
        return self.rewind in ("weights", "weights+optimizer") and self.control not in FRESH

    @property
    def role(self) -> str:
        """What this is beside a ticket, however it was asked for: "ticket" itself, or the name of a control."""
        return self.control if self.control != "ticket" else role_by_rewind(self.rewind)

    def manifest(self) -> dict[str, Any]:
        """What of this step changes the result.

        A threshold is one number for all layers: it has no scope. At initialization no optimizer has a state, so
        returning weights and returning both is one and the same.
        """
        nothing_more = self.rewind == "weights+optimizer" and self.point.at_initialization
        rewind = "weights" if nothing_more else self.rewind
        out: dict[str, Any] = {"method": self.method, "exclude": sorted(self.exclude), "rewind": rewind}
        if self.threshold is None:
            out |= {"scope": self.scope, "sparsity": self.sparsity}
        else:
            out["threshold"] = self.threshold
        out |= {"point": self.point.manifest(), "control": self.control, "rates": dict(self.rates)}
        return out | {"budget": None if self.budget is None else self.budget.manifest()}


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One training.

    Attributes:
        key: the name of what it computes, see `lthsweep.plan.keys`.
        manifest: what the key hashes.
        trunk: key of the dense run it descends from; its own key if it is the dense run.
        parent: key of the run whose final weights are ranked: the trunk, or the level before. None for a
            dense run.
        level: 0 for a dense run, else 1, 2, … along the chain.
        prune: how it was pruned; None for a dense run.
        variant: what tells it from runs of other dotted axes, e.g. `model.init=kaiming_normal`; for people only.
    """

    key: str
    kind: Kind
    manifest: Mapping[str, Any]
    recipe: Recipe
    seed: int
    trunk: str
    parent: str | None = None
    level: int = 0
    prune: PruneStep | None = None
    variant: str = ""

    @property
    def budget(self) -> Budget | None:
        """The time that it may take, of a run that has a budget."""
        return None if self.prune is None else self.prune.budget

    def epochs(self, steps_per_epoch: int | None = None) -> float:
        """Epochs to train: T for a dense run, T − k for a ticket; 0 for a budget run, which is measured in seconds."""
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
            else f"sparsity {self.prune.sparsity:g}"
        )
        within = f" within {self.budget}" if self.budget else ""
        return f"{self.prune.role}{within} {amount} rewind {self.prune.point} seed {self.seed}{variant}"


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One point of the grid as the user thinks of it, and the run that answers it.

    Attributes:
        values: (axis, value) in the order of the axes, the seed among them; rewind epochs as written.
        run: key of the answering run; the trunk's for sparsity 0.
    """

    values: tuple[tuple[str, Any], ...]
    run: str

    def __getitem__(self, axis: str) -> Any:
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
        """The trunks."""
        return [run for run in self.runs.values() if run.kind == "dense"]

    @property
    def tickets(self) -> list[Run]:
        """The ticket runs."""
        return [run for run in self.runs.values() if run.kind == "ticket"]

    def rewind_points(self) -> dict[str, tuple[RewindPoint, ...]]:
        """Trunk key → the points of its trajectory whose weights tickets return to, each once."""
        points: dict[str, dict[RewindPoint, None]] = {run.key: {} for run in self.dense}
        for run in self.tickets:
            if run.prune and run.prune.returns_weights:
                points[run.trunk][run.prune.point] = None
        return {key: tuple(found) for key, found in points.items()}

    def layer_rules(self) -> dict[str, tuple[LayerRules, ...]]:
        """Trunk key → the different rules over layers of the tickets that descend from it, where they have any."""
        found: dict[str, dict[LayerRules, None]] = {}
        for run in self.tickets:
            if run.prune and (run.prune.exclude or run.prune.rates):
                found.setdefault(run.trunk, {})[run.prune.exclude, run.prune.rates] = None
        return {key: tuple(rules) for key, rules in found.items()}
