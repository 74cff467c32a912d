"""Rules between keys: what no key can know alone, of one combination of values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import cast

from lthsweep.data.datasets import dataset
from lthsweep.models.networks import NETWORKS, network
from lthsweep.spec.base import Table
from lthsweep.spec.grid import GridSpec, iterations_of, round_sparsities
from lthsweep.spec.problems import Problem, written
from lthsweep.spec.pruning import PruneSpec
from lthsweep.spec.schema import Path
from lthsweep.spec.slurm import SlurmSpec
from lthsweep.spec.slurm_rules import slurm_problems
from lthsweep.spec.sweep import SweepSpec
from lthsweep.spec.training import SGDSpec, StepSpec, TrainSpec

__all__ = ["Tables", "check_tables"]

Tables = Mapping[str, Table]
"""Name → table of the file."""

_EPOCHS: Path = ("train", "epochs")
_SCHEDULE: Path = ("prune", "schedule")


def check_tables(tables: Tables, changed: Iterable[str]) -> list[Problem]:
    """What is wrong between keys of one combination, by the rules that belong to the tables in `changed`."""
    return [
        problem
        for table in sorted(changed)
        if table in tables
        for rule in _RULES.get(table, ())
        for problem in rule(tables)
    ]


def _rewind_before_end(tables: Tables) -> Iterator[Problem]:
    epochs = cast(TrainSpec, tables["train"]).epochs
    grid = tables.get("grid")
    for index, point in enumerate(grid.rewind_epoch if isinstance(grid, GridSpec) else ()):
        if iterations_of(point) is None and cast(float, point) >= epochs:
            text = f"must be below train.epochs = {epochs}, or the ticket has nothing left to train"
            yield Problem(("grid", "rewind_epoch", index), text, point, (_EPOCHS,))


def _milestones_rise_before_end(tables: Tables) -> Iterator[Problem]:
    train = cast(TrainSpec, tables["train"])
    schedule = train.schedule
    if not isinstance(schedule, StepSpec):
        return
    path: Path = ("train", "schedule", "milestones")
    for index, milestone in enumerate(schedule.milestones):
        if milestone >= train.epochs:
            text = f"must be below train.epochs = {train.epochs}"
            yield Problem((*path, index), text, milestone, (_EPOCHS,))
        if index and milestone <= schedule.milestones[index - 1]:
            text = f"must be above the milestone before it, {schedule.milestones[index - 1]}"
            yield Problem((*path, index), text, milestone)


def _warmup_before_end(tables: Tables) -> Iterator[Problem]:
    train = cast(TrainSpec, tables["train"])
    if train.schedule.warmup >= train.epochs:
        text = f"must be below train.epochs = {train.epochs}"
        yield Problem(("train", "schedule", "warmup"), text, train.schedule.warmup, (_EPOCHS,))


def _nesterov_has_momentum(tables: Tables) -> Iterator[Problem]:
    optimizer = cast(TrainSpec, tables["train"]).optimizer
    if isinstance(optimizer, SGDSpec) and optimizer.nesterov and optimizer.momentum == 0:
        text = "needs train.optimizer.momentum > 0"
        yield Problem(("train", "optimizer", "nesterov"), text, True, (("train", "optimizer", "momentum"),))


def _only_magnitudes_have_a_threshold(tables: Tables) -> Iterator[Problem]:
    grid = tables.get("grid")
    method = cast(PruneSpec, tables["prune"]).method
    if method != "magnitude" and isinstance(grid, GridSpec) and grid.threshold:
        text = (
            'excludes grid.threshold, which looks at magnitudes; use "magnitude", or the axis grid.sparsity'
        )
        yield Problem(("prune", "method"), text, method, (("grid", "threshold"),))


def _budget_has_a_time(tables: Tables) -> Iterator[Problem]:
    prune, grid = cast(PruneSpec, tables["prune"]), tables.get("grid")
    schedules = grid.dotted.get("prune.schedule", ()) if isinstance(grid, GridSpec) else ()
    if prune.schedule == "budget" and not prune.time:
        text = 'needs the key prune.time, or the axis time, such as ["5m", "20m"]'
        yield Problem(_SCHEDULE, text, prune.schedule, (("prune", "time"),))
    if "budget" in (prune.schedule, *schedules):
        return
    for key in ("time", "min_round_epochs", "max_rounds"):
        value = getattr(prune, key)
        if value != PruneSpec.model_fields[key].default:  # which a resolved file writes out
            text = 'needs prune.schedule = "budget": other schedules do not look at it'
            yield Problem(("prune", key), text, value, (_SCHEDULE,))


def _budget_makes_tickets(tables: Tables) -> Iterator[Problem]:
    """Its rounds are trained, pruned and reset in one run; there is no parent whose mask a control could take."""
    prune, grid = cast(PruneSpec, tables["prune"]), tables.get("grid")
    if prune.schedule != "budget":
        return
    for key, value, possible in (
        ("method", prune.method, ("magnitude", "random")),
        ("rewind", prune.rewind, ("weights", "weights+optimizer")),
        ("control", prune.control, ("ticket",)),
    ):
        if value not in possible:
            choices = " or ".join(written(choice) for choice in possible)
            text = f'prune.schedule = "budget" works with {choices} only'
            yield Problem(("prune", key), text, value, (_SCHEDULE,))
    if prune.rounds:
        text = 'excludes prune.schedule = "budget", which makes as many rounds as fit; prune.max_rounds limits them'
        yield Problem(("prune", "rounds"), text, prune.rounds, (_SCHEDULE,))
    if isinstance(grid, GridSpec) and grid.threshold:
        text = "excludes grid.threshold: a budget is spent on the way to a given sparsity"
        yield Problem(_SCHEDULE, text, prune.schedule, (("grid", "threshold"),))


def _filters_are_not_shuffled(tables: Tables) -> Iterator[Problem]:
    prune = cast(PruneSpec, tables["prune"])
    if prune.method == "filter" and prune.control in ("random", "random-global"):
        text = (
            'excludes prune.method = "filter": shuffled places are no whole filters; '
            "reinit, fine-tune and lr-rewind are controls of filters"
        )
        yield Problem(("prune", "control"), text, prune.control, (("prune", "method"),))


def _rounds_are_levels_of_sparsities(tables: Tables) -> Iterator[Problem]:
    grid, prune = tables.get("grid"), cast(PruneSpec, tables["prune"])
    path: Path = ("prune", "rounds")
    if prune.schedule == "budget":  # a rule of its own says that it has none
        return
    if prune.rounds > 1 and prune.schedule != "iterative":
        text = 'needs prune.schedule = "iterative"; one-shot is one round'
        yield Problem(path, text, prune.rounds, (_SCHEDULE,))
    if not prune.rounds or not isinstance(grid, GridSpec):
        return
    if grid.threshold:
        text = "excludes grid.threshold: there are no thresholds in between; use the axis grid.sparsity, or 0"
        yield Problem(path, text, prune.rounds, (("grid", "threshold"),))
    for index, sparsity in enumerate(grid.sparsity or ()):
        try:
            round_sparsities(sparsity, prune.rounds) if sparsity else ()
        except ValueError as error:
            yield Problem(path, f"{error}; lower it", prune.rounds, (("grid", "sparsity", index),))


def _rates_are_of_layers(tables: Tables) -> Iterator[Problem]:
    prune, grid = cast(PruneSpec, tables["prune"]), tables.get("grid")
    if not prune.rates:
        return
    if prune.scope != "layer":
        text = 'needs prune.scope = "layer": ranked all together, layers have no rates of their own'
        yield Problem(("prune", "rates"), text, dict(prune.rates), (("prune", "scope"),))
    if prune.method not in ("magnitude", "random"):
        text = 'needs prune.method = "magnitude" or "random"'
        yield Problem(("prune", "rates"), text, dict(prune.rates), (("prune", "method"),))
    if isinstance(grid, GridSpec) and grid.threshold:
        text = "excludes grid.threshold, which is one cut for all layers; use the axis grid.sparsity"
        yield Problem(("prune", "rates"), text, dict(prune.rates), (("grid", "threshold"),))


def _model_reads_the_data(tables: Tables) -> Iterator[Problem]:
    sweep = cast(SweepSpec, tables["sweep"])
    reads, gives = network(sweep.model.name).reads, dataset(sweep.data.name).gives
    if reads and gives and reads != gives:
        possible = ", ".join(name for name, entry in NETWORKS.items() if entry.reads == gives)
        text = f"reads {reads}, but {sweep.data.name} gives {gives}; choose a network for {gives}: {possible}"
        yield Problem(("sweep", "model", "name"), text, sweep.model.name, (("sweep", "data", "name"),))


def _options_divide_others(tables: Tables) -> Iterator[Problem]:
    model = cast(SweepSpec, tables["sweep"]).model
    for name, option in network(model.name).options.items():
        if option.divides:
            value, multiple = getattr(model, name), getattr(model, option.divides)
            if multiple % value:
                text = f"must divide sweep.model.{option.divides} = {multiple}"
                yield Problem(("sweep", "model", name), text, value, (("sweep", "model", option.divides),))


def _synflow_excludes_layer_norm(tables: Tables) -> Iterator[Problem]:
    sweep, method = tables.get("sweep"), cast(PruneSpec, tables["prune"]).method
    if method == "synflow" and isinstance(sweep, SweepSpec) and network(sweep.model.name).layer_norm:
        text = f'is not defined for {sweep.model.name}, which has LayerNorm; use "snip" or "magnitude"'
        yield Problem(("prune", "method"), text, method, (("sweep", "model", "name"),))


def _filters_need_images(tables: Tables) -> Iterator[Problem]:
    text = _without_filters(tables)
    if text and cast(PruneSpec, tables["prune"]).method == "filter":
        yield Problem(("prune", "method"), text, "filter", (("sweep", "model", "name"),))


def _lasso_needs_images(tables: Tables) -> Iterator[Problem]:
    train, text = cast(TrainSpec, tables["train"]), _without_filters(tables)
    if text and train.group_lasso:
        yield Problem(("train", "group_lasso"), text, train.group_lasso, (("sweep", "model", "name"),))


def _without_filters(tables: Tables) -> str:
    """Why the network has no filters to remove; "" if it has, or if the file does not tell."""
    sweep = tables.get("sweep")
    if isinstance(sweep, SweepSpec) and network(sweep.model.name).reads == "texts":
        return f"is not defined for {sweep.model.name}: only networks for images and sounds have filters"
    return ""


def _slurm(tables: Tables) -> Iterator[Problem]:
    yield from slurm_problems(cast(SlurmSpec, tables["slurm"]))


_RULES: Mapping[str, tuple[Callable[[Tables], Iterator[Problem]], ...]] = {
    "train": (
        _milestones_rise_before_end,
        _warmup_before_end,
        _nesterov_has_momentum,
        _rewind_before_end,
        _lasso_needs_images,
    ),
    "sweep": (_model_reads_the_data, _options_divide_others),
    "prune": (
        _only_magnitudes_have_a_threshold,
        _filters_are_not_shuffled,
        _filters_need_images,
        _rounds_are_levels_of_sparsities,
        _rates_are_of_layers,
        _synflow_excludes_layer_norm,
        _budget_has_a_time,
        _budget_makes_tickets,
    ),
    "slurm": (_slurm,),
}
