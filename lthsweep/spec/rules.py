"""Rules between keys: what no key can know alone, of one combination of values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import cast

from lthsweep.data.datasets import dataset
from lthsweep.models.networks import NETWORKS, network
from lthsweep.pruning.registry import criterion_of, methods_that
from lthsweep.spec.base import Table
from lthsweep.spec.grid import GridSpec, iterations_of, round_sparsities
from lthsweep.spec.problems import Problem, written
from lthsweep.spec.pruning import PruneSpec
from lthsweep.spec.schema import Path
from lthsweep.spec.slurm import SlurmSpec
from lthsweep.spec.slurm_rules import slurm_problems
from lthsweep.spec.sweep import SweepSpec
from lthsweep.spec.training import SGDSpec, StepSpec, TrainSpec
from lthsweep.usercode import is_code

__all__ = ["Tables", "check_tables"]

Tables = Mapping[str, Table]
"""Name → table of the file."""

_EPOCHS: Path = ("train", "epochs")
_SCHEDULE: Path = ("prune", "schedule")


def check_tables(tables: Tables, changed: Iterable[str]) -> list[Problem]:
    """Problems between keys of one combination, by the rules that belong to the tables in `changed`."""
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


def _threshold_needs_magnitudes(tables: Tables) -> Iterator[Problem]:
    grid = tables.get("grid")
    method = cast(PruneSpec, tables["prune"]).method
    if not criterion_of(method).supports_threshold and isinstance(grid, GridSpec) and grid.threshold:
        possible = _either(methods_that(lambda entry: entry.supports_threshold))
        text = f"excludes grid.threshold, which cuts magnitudes; use {possible}, or the axis grid.sparsity"
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
    if not criterion_of(prune.method).supports_budget:
        possible = _either(methods_that(lambda entry: entry.supports_budget))
        text = f'prune.schedule = "budget" works with {possible} only'
        yield Problem(("prune", "method"), text, prune.method, (_SCHEDULE,))
    for key, value, choices in (
        ("rewind", prune.rewind, ("weights", "weights+optimizer")),
        ("control", prune.control, ("ticket",)),
    ):
        if value not in choices:
            text = f'prune.schedule = "budget" works with {_either(choices)} only'
            yield Problem(("prune", key), text, value, (_SCHEDULE,))
    if prune.rounds:
        text = 'excludes prune.schedule = "budget", which makes as many rounds as fit; prune.max_rounds limits them'
        yield Problem(("prune", "rounds"), text, prune.rounds, (_SCHEDULE,))
    if isinstance(grid, GridSpec) and grid.threshold:
        text = "excludes grid.threshold: a budget is spent on the way to a given sparsity"
        yield Problem(_SCHEDULE, text, prune.schedule, (("grid", "threshold"),))


def _shuffling_needs_single_weights(tables: Tables) -> Iterator[Problem]:
    prune = cast(PruneSpec, tables["prune"])
    if prune.control in ("random", "random-global") and not criterion_of(prune.method).supports_shuffling:
        text = (
            f"excludes prune.method = {written(prune.method)}: shuffled positions are not whole filters; "
            f"reinit, fine-tune and lr-rewind are controls of filters"
        )
        yield Problem(("prune", "control"), text, prune.control, (("prune", "method"),))


def _rounds_are_levels_of_sparsities(tables: Tables) -> Iterator[Problem]:
    grid, prune = tables.get("grid"), cast(PruneSpec, tables["prune"])
    path: Path = ("prune", "rounds")
    if prune.schedule == "budget":  # another rule reports that it has no rounds
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
        text = 'needs prune.scope = "layer": global ranking has no rates per layer'
        yield Problem(("prune", "rates"), text, dict(prune.rates), (("prune", "scope"),))
    if not criterion_of(prune.method).supports_rates:
        text = f"needs prune.method = {_either(methods_that(lambda entry: entry.supports_rates))}"
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


def _criterion_is_defined_for_the_network(tables: Tables) -> Iterator[Problem]:
    sweep, method = tables.get("sweep"), cast(PruneSpec, tables["prune"]).method
    if isinstance(sweep, SweepSpec) and (reason := criterion_of(method).reason_against(sweep.model.name)):
        defined = methods_that(lambda entry: entry.reason_against(sweep.model.name) is None)
        text = f"is not defined for {sweep.model.name}: {reason}; use {_either(defined)}"
        yield Problem(("prune", "method"), text, method, (("sweep", "model", "name"),))


def _user_criteria_at_initialization_prune_once(tables: Tables) -> Iterator[Problem]:
    """The plan must be the same if the module is not on this machine, so its attributes must not change the chains."""
    prune = cast(PruneSpec, tables["prune"])
    if (
        is_code(prune.method)
        and not criterion_of(prune.method).supports_chains
        and prune.schedule != "one-shot"
    ):
        text = 'needs prune.schedule = "one-shot": at initialization every level has the same scores'
        yield Problem(("prune", "method"), text, prune.method, (_SCHEDULE,))


def _either(names: Iterable[str]) -> str:
    return " or ".join(map(written, names))


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
        _criterion_is_defined_for_the_network,
        _user_criteria_at_initialization_prune_once,
        _threshold_needs_magnitudes,
        _shuffling_needs_single_weights,
        _rounds_are_levels_of_sparsities,
        _rates_are_of_layers,
        _budget_has_a_time,
        _budget_makes_tickets,
    ),
    "slurm": (_slurm,),
}
