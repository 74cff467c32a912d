"""Grid → cells and runs.

Runs are shared as far as the protocol allows (see docs/protocol.md): all cells of one (model, data, recipe, init,
seed) descend from one dense run; chains of iterative pruning share their prefix; equal runs of two grids have one key
and are trained once. A cell of sparsity 0 is answered by its dense run. A control has the same parent as its ticket.
The chain is the sorted sparsity axis, or with `prune.rounds` a separate chain for every sparsity. A budget run shares
only its dense run.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING

from lthsweep.data.datasets import dataset
from lthsweep.errors import SpecError
from lthsweep.plan.data_tables import source_of
from lthsweep.plan.keys import key_of
from lthsweep.plan.prune_step import TICKET, PruneStep, controlled
from lthsweep.plan.rewind import RewindPoint
from lthsweep.plan.rounds import Budget
from lthsweep.plan.run import Cell, Plan, Recipe, Run
from lthsweep.plan.steps import check_lengths
from lthsweep.pruning.registry import criterion_of
from lthsweep.spec.grid_table import AxisValue, round_sparsities
from lthsweep.spec.prune_table import ControlName, PruneSpec
from lthsweep.spec.text_forms import in_seconds

if TYPE_CHECKING:
    from lthsweep.spec import Spec

__all__ = ["AMOUNT_AXES", "expand"]

SCHEMA = 1
MOST_CELLS = 1_000_000
"""A plan takes about 3 kB and 30 microseconds per cell; a larger grid is a mistake."""

_IN_DESCRIPTION = ("prune.control", "prune.time")
"""Axes whose values `Run.describe` includes."""

AMOUNT_AXES = ("sparsity", "threshold")
"""The two axes that set how much is pruned; a grid has exactly one of them."""


def expand(spec: Spec) -> Plan:
    """Expand the grid of a file.

    Returns:
        A plan whose cells are in the order of the grid's axes as written (the last varies fastest), and whose
        runs have every parent before its children.

    Raises:
        SpecError: if a rewind point leaves nothing to train, or validation leaves nothing to train on, as far
            as the size of the data set is known beforehand.
    """
    grid, dotted = spec.grid, spec.grid.dotted
    size = math.prod(len(values) for values in grid.axes.values())
    rounds = max(map(int, dotted.get("prune.rounds", (spec.prune.rounds,))))
    if size * max(1, rounds) > MOST_CELLS:
        each = f", each reached in up to {rounds:,} rounds" if rounds > 1 else ""
        raise SpecError(
            f"the grid has {size:,} cells ({' × '.join(f'{len(v):,} {k}' for k, v in grid.axes.items())}){each}; "
            f"{MOST_CELLS:,} are the most, split it into several files"
        )
    amount_axis, amounts = (
        ("sparsity", grid.sparsity) if grid.sparsity is not None else ("threshold", grid.threshold or ())
    )
    points = {written: RewindPoint.parse(written) for written in grid.rewind_epoch}
    runs: dict[str, Run] = {}
    answers: dict[tuple[AxisValue, ...], str] = {}
    for chosen in _product(dotted):
        variant = spec.variant(chosen) if chosen else spec
        chains = _Chains(variant, amount_axis, amounts, runs, chosen)
        check_lengths(chains.recipe, points.values(), dataset(variant.sweep.data.name).n_train)
        for seed, (written, point) in itertools.product(grid.seed, points.items()):
            for amount, key in chains.runs_of(seed, point):
                answers[(*chosen.values(), amount, written, seed)] = key
    axes = grid.axes
    names = tuple(axes)
    order = (*dotted, amount_axis, "rewind_epoch", "seed")
    positions = [names.index(axis) for axis in order]
    cells = tuple(
        Cell(tuple(zip(names, values, strict=True)), answers[tuple(values[i] for i in positions)])
        for values in itertools.product(*axes.values())
    )
    return Plan(spec, cells, runs)


def _product(axes: Mapping[str, Iterable[AxisValue]]) -> Iterator[dict[str, AxisValue]]:
    for values in itertools.product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


class _Chains:
    """Makes the runs of one variant: dense run, then tickets or controls of a (seed, rewind point), densest first."""

    def __init__(
        self,
        spec: Spec,
        axis: str,
        amounts: Iterable[float],
        runs: dict[str, Run],
        chosen: Mapping[str, AxisValue],
    ) -> None:
        texts = {name: f"{name}={value}" for name, value in chosen.items()}
        # `Run.describe` includes control and time; levels of a chain are tickets even where controls descend from them.
        self._label = " ".join(text for name, text in texts.items() if name not in _IN_DESCRIPTION)
        # Dense runs are shared by all ways of pruning, so their descriptions do not mention one.
        self._dense_run_label = " ".join(
            text for name, text in texts.items() if not name.startswith("prune.")
        )
        self._axis = axis
        self._amounts = sorted(amounts)
        self._prune = spec.prune
        # Scores of the initial weights are the same at every level, so there is nothing to iterate.
        self._chained = spec.prune.schedule == "iterative" and criterion_of(spec.prune.method).supports_chains
        self._rounds = spec.prune.rounds
        self._step = _step_of(spec.prune)
        data = spec.sweep.data.model_dump(mode="json")
        self.recipe = Recipe(
            model=spec.sweep.model.model_dump(mode="json"),
            data=data | {"source": source_of(spec, data)},
            train=spec.train.recipe(),
        )
        self._identity = _identity(self.recipe)
        self._runs = runs
        self._dense_runs: dict[int, Run] = {}

    def runs_of(self, seed: int, point: RewindPoint) -> Iterator[tuple[float, str]]:
        """(amount, key of the run that answers it), by rising amount."""
        dense_run = self._dense_runs.get(seed) or self._dense_run(seed)
        parent = dense_run
        for amount in self._amounts:
            if self._axis == "sparsity" and amount == 0:
                yield amount, dense_run.key
                continue
            if self._rounds:
                parent = self._level_before(dense_run, amount, point)
            run = self._ticket(dense_run, parent, amount, point, self._prune.control)
            yield amount, run.key
            if self._chained and not self._rounds and amount < self._amounts[-1]:
                ticket = self._prune.control == TICKET
                parent = run if ticket else self._ticket(dense_run, parent, amount, point, TICKET)

    def _level_before(self, dense_run: Run, amount: float, point: RewindPoint) -> Run:
        """The second to last level of the chain that reaches an amount in rounds; the dense run for one round."""
        parent = dense_run
        for sparsity in round_sparsities(amount, self._rounds)[:-1] if self._chained else ():
            parent = self._ticket(dense_run, parent, sparsity, point, TICKET)
        return parent

    def _dense_run(self, seed: int) -> Run:
        manifest = {"schema": SCHEMA, "kind": "dense", **self._identity, "seed": seed}
        key = key_of(manifest)
        run = Run(key, manifest, self.recipe, seed, trunk=key, variant=self._dense_run_label)
        self._dense_runs[seed] = self._runs.setdefault(key, run)
        return self._dense_runs[seed]

    def _ticket(
        self, dense_run: Run, parent: Run, amount: float, point: RewindPoint, control: ControlName
    ) -> Run:
        sparsity, threshold = (amount, None) if self._axis == "sparsity" else (None, amount)
        step = replace(self._step, point=point, sparsity=sparsity, threshold=threshold)
        step = controlled(step, control)
        # The schedule of pruning is not in the manifest: level 1 of an iterative chain *is* the one-shot
        # ticket.
        manifest = {
            "schema": SCHEMA,
            "kind": "ticket",
            "trunk": dense_run.key,
            "parent": parent.key,
            "prune": step.manifest(),
        }
        key = key_of(manifest)
        run = Run(
            key,
            manifest,
            self.recipe,
            dense_run.seed,
            trunk=dense_run.key,
            parent=parent.key,
            level=parent.level + 1,
            prune=step,
            variant=self._label,
        )
        return self._runs.setdefault(key, run)


def _step_of(prune: PruneSpec) -> PruneStep:
    """The settings of `[prune]` that a step has a field for; point, amount and control are set for each run."""
    shared = {field.name for field in fields(PruneStep)} & PruneSpec.model_fields.keys() - {"control"}
    settings = {name: getattr(prune, name) for name in shared} | {
        "exclude": tuple(sorted(set(prune.exclude))),
        "rates": tuple(sorted(prune.rates.items())),
    }
    seconds = in_seconds(prune.time) if prune.schedule == "budget" else None
    budget = None if seconds is None else Budget(seconds, prune.min_round_epochs, prune.max_rounds)
    return PruneStep(**settings, point=RewindPoint(0), budget=budget)


def _identity(recipe: Recipe) -> dict[str, object]:
    """The parts of a recipe that change the result.

    The path of a folder of images changes nothing. Its content does: `source` is its digest. Padding has no effect
    without crops.
    """
    data = {name: value for name, value in recipe.data.items() if name != "path"}
    if data.get("augment") == "none":
        data.pop("padding", None)
    return {"model": dict(recipe.model), "data": data, "train": dict(recipe.train)}
