"""Rules between keys: requirements that no key can check alone, for one combination of values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set

from lthsweep.code_options import code_options
from lthsweep.data.datasets import dataset
from lthsweep.models.networks import NETWORKS, network
from lthsweep.pruning.registry import criterion_of, methods_that
from lthsweep.spec.all_tables import Tables
from lthsweep.spec.grid_table import iterations_of, round_sparsities
from lthsweep.spec.problems import NOTHING, Problem, written
from lthsweep.spec.prune_table import PruneSpec
from lthsweep.spec.schema import Path
from lthsweep.spec.slurm_rules import slurm_problems
from lthsweep.spec.train_table import SGDSpec, StepSpec
from lthsweep.usercode import is_code

__all__ = ["broken_rules"]

_BUDGET_REWINDS = ("weights", "weights+optimizer")


def broken_rules(tables: Tables, changed: Set[str], ignored: Set[str] = frozenset()) -> list[Problem]:
    """Problems between the keys of one combination of values.

    Args:
        tables: rules that need a missing table are not checked.
        changed: names of tables; rules that need none of them are not checked.
        ignored: names of tables; rules that need one of them are not checked.
    """
    known = tables.model_fields_set - ignored
    return [
        problem
        for needed, rules in _RULES.items()
        if known.issuperset(needed) and not changed.isdisjoint(needed)
        for rule in rules
        for problem in rule(tables)
    ]


def _wrong(tables: Tables, key: str, text: str, *involved: str, index: int | None = None) -> Problem:
    """A problem of a key, or of one element of its list; keys are dotted names."""
    found: object = tables
    for part in key.split("."):
        found = getattr(found, part, NOTHING)
    path: Path = tuple(key.split("."))
    if index is not None and isinstance(found, tuple):
        path, found = (*path, index), found[index]
    return Problem(path, text, found, tuple(tuple(other.split(".")) for other in involved))


def _either(names: Iterable[str]) -> str:
    return " or ".join(map(written, names))


def _rewind_before_end(tables: Tables) -> Iterator[Problem]:
    epochs = tables.train.epochs
    for index, point in enumerate(tables.grid.rewind_epoch):
        if iterations_of(point) is None and float(point) >= epochs:
            text = f"must be below train.epochs = {epochs}, or the ticket has nothing left to train"
            yield _wrong(tables, "grid.rewind_epoch", text, "train.epochs", index=index)


def _milestones_rise_before_end(tables: Tables) -> Iterator[Problem]:
    epochs, schedule = tables.train.epochs, tables.train.schedule
    if not isinstance(schedule, StepSpec):
        return
    key = "train.schedule.milestones"
    for index, milestone in enumerate(schedule.milestones):
        if milestone >= epochs:
            text = f"must be below train.epochs = {epochs}"
            yield _wrong(tables, key, text, "train.epochs", index=index)
        if index and milestone <= schedule.milestones[index - 1]:
            text = f"must be above the milestone before it, {schedule.milestones[index - 1]}"
            yield _wrong(tables, key, text, index=index)


def _warmup_before_end(tables: Tables) -> Iterator[Problem]:
    epochs = tables.train.epochs
    if tables.train.schedule.warmup >= epochs:
        yield _wrong(
            tables, "train.schedule.warmup", f"must be below train.epochs = {epochs}", "train.epochs"
        )


def _nesterov_has_momentum(tables: Tables) -> Iterator[Problem]:
    optimizer = tables.train.optimizer
    if isinstance(optimizer, SGDSpec) and optimizer.nesterov and optimizer.momentum == 0:
        text = "needs train.optimizer.momentum > 0"
        yield _wrong(tables, "train.optimizer.nesterov", text, "train.optimizer.momentum")


def _lasso_needs_images(tables: Tables) -> Iterator[Problem]:
    name = tables.sweep.model.name
    if tables.train.group_lasso and network(name).reads == "texts":
        text = f"is not defined for {name}: only networks for images and sounds have filters"
        yield _wrong(tables, "train.group_lasso", text, "sweep.model.name")


def _model_reads_the_data(tables: Tables) -> Iterator[Problem]:
    data = tables.sweep.data.name
    reads, gives = network(tables.sweep.model.name).reads, dataset(data).gives
    if reads and gives and reads != gives:
        possible = ", ".join(name for name, entry in NETWORKS.items() if entry.reads == gives)
        text = f"reads {reads}, but {data} gives {gives}; choose a network for {gives}: {possible}"
        yield _wrong(tables, "sweep.model.name", text, "sweep.data.name")


def _options_divide_others(tables: Tables) -> Iterator[Problem]:
    model = tables.sweep.model
    for name, option in network(model.name).options.items():
        if option.divides and getattr(model, option.divides) % getattr(model, name):
            multiple = f"sweep.model.{option.divides}"
            text = f"must divide {multiple} = {getattr(model, option.divides)}"
            yield _wrong(tables, f"sweep.model.{name}", text, multiple)


def _options_suit_the_users_code(tables: Tables) -> Iterator[Problem]:
    """Read from the source, because reading a file runs no code."""
    model, data = tables.sweep.model, tables.sweep.data
    # A network is called as build(input_shape, classes, **options), a reader as load(files, **options).
    for table, key, positional in ((model, "sweep.model", 2), (data, "sweep.data", 1)):
        accepted = code_options(table.name, positional) if is_code(table.name) else None
        if accepted is None:
            continue
        given = table.model_extra or {}
        for name, value in given.items():
            if text := accepted.problem(name, value):
                yield _wrong(tables, f"{key}.{name}", text, f"{key}.name")
        for name in sorted(accepted.required - type(table).model_fields.keys() - given.keys()):
            yield _wrong(tables, f"{key}.{name}", f"is missing; {accepted.code} requires it", f"{key}.name")


def _criterion_is_defined_for_the_network(tables: Tables) -> Iterator[Problem]:
    name = tables.sweep.model.name
    if reason := criterion_of(tables.prune.method).reason_against(name):
        defined = methods_that(lambda entry: entry.reason_against(name) is None)
        text = f"is not defined for {name}: {reason}; use {_either(defined)}"
        yield _wrong(tables, "prune.method", text, "sweep.model.name")


def _user_criteria_at_initialization_prune_once(tables: Tables) -> Iterator[Problem]:
    """The plan must be the same if the module is not on this machine, so its attributes must not change the chains."""
    method = tables.prune.method
    chained = tables.prune.schedule != "one-shot"
    if chained and is_code(method) and not criterion_of(method).supports_chains:
        text = 'needs prune.schedule = "one-shot": at initialization every level has the same scores'
        yield _wrong(tables, "prune.method", text, "prune.schedule")


def _shuffling_needs_single_weights(tables: Tables) -> Iterator[Problem]:
    prune = tables.prune
    if prune.control in ("random", "random-global") and not criterion_of(prune.method).supports_shuffling:
        text = (
            f"excludes prune.method = {written(prune.method)}: shuffled positions are not whole filters; "
            f"reinit, fine-tune and lr-rewind are controls of filters"
        )
        yield _wrong(tables, "prune.control", text, "prune.method")


def _threshold_needs_magnitudes(tables: Tables) -> Iterator[Problem]:
    if tables.grid.threshold and not criterion_of(tables.prune.method).supports_threshold:
        possible = _either(methods_that(lambda entry: entry.supports_threshold))
        text = f"excludes grid.threshold, which cuts magnitudes; use {possible}, or the axis grid.sparsity"
        yield _wrong(tables, "prune.method", text, "grid.threshold")


def _rounds_are_levels_of_sparsities(tables: Tables) -> Iterator[Problem]:
    rounds, schedule = tables.prune.rounds, tables.prune.schedule
    if not rounds or schedule == "budget":  # another rule reports that a budget has no rounds
        return
    if rounds > 1 and schedule != "iterative":
        text = 'needs prune.schedule = "iterative"; one-shot is one round'
        yield _wrong(tables, "prune.rounds", text, "prune.schedule")
    if tables.grid.threshold:
        text = "excludes grid.threshold: there are no thresholds in between; use the axis grid.sparsity, or 0"
        yield _wrong(tables, "prune.rounds", text, "grid.threshold")
    for sparsity in filter(None, tables.grid.sparsity or ()):
        try:
            round_sparsities(sparsity, rounds)
        except ValueError as error:
            yield _wrong(tables, "prune.rounds", f"{error}; lower it", "grid.sparsity")


def _rates_are_of_layers(tables: Tables) -> Iterator[Problem]:
    if not tables.prune.rates:
        return
    if tables.prune.scope != "layer":
        text = 'needs prune.scope = "layer": global ranking has no rates per layer'
        yield _wrong(tables, "prune.rates", text, "prune.scope")
    if not criterion_of(tables.prune.method).supports_rates:
        text = f"needs prune.method = {_either(methods_that(lambda entry: entry.supports_rates))}"
        yield _wrong(tables, "prune.rates", text, "prune.method")
    if tables.grid.threshold:
        text = "excludes grid.threshold, which is one cut for all layers; use the axis grid.sparsity"
        yield _wrong(tables, "prune.rates", text, "grid.threshold")


def _budget_has_a_time(tables: Tables) -> Iterator[Problem]:
    prune = tables.prune
    if prune.schedule == "budget" and not prune.time:
        text = 'needs the key prune.time, or the axis time, such as ["5m", "20m"]'
        yield _wrong(tables, "prune.schedule", text, "prune.time")
    if "budget" in (prune.schedule, *tables.grid.dotted.get("prune.schedule", ())):
        return
    for key in ("time", "min_round_epochs", "max_rounds"):
        if getattr(prune, key) != PruneSpec.model_fields[key].default:  # which a resolved file writes out
            text = 'needs prune.schedule = "budget": other schedules do not use it'
            yield _wrong(tables, f"prune.{key}", text, "prune.schedule")


def _budget_makes_tickets(tables: Tables) -> Iterator[Problem]:
    """Its rounds are trained, pruned and rewound in one run; there is no parent whose mask a control could take."""
    prune = tables.prune
    if prune.schedule != "budget":
        return
    methods = methods_that(lambda entry: entry.supports_budget)
    for key, suits, possible in (
        ("method", criterion_of(prune.method).supports_budget, methods),
        ("rewind", prune.rewind in _BUDGET_REWINDS, _BUDGET_REWINDS),
        ("control", prune.control == "ticket", ("ticket",)),
    ):
        if not suits:
            text = f'prune.schedule = "budget" works with {_either(possible)} only'
            yield _wrong(tables, f"prune.{key}", text, "prune.schedule")
    if prune.rounds:
        text = 'excludes prune.schedule = "budget", which makes as many rounds as fit; prune.max_rounds limits them'
        yield _wrong(tables, "prune.rounds", text, "prune.schedule")
    if tables.grid.threshold:
        text = "excludes grid.threshold: a budget is spent on the way to a given sparsity"
        yield _wrong(tables, "prune.schedule", text, "grid.threshold")


def _slurm_keys_agree(tables: Tables) -> Iterator[Problem]:
    yield from slurm_problems(tables.slurm)


_RULES: Mapping[tuple[str, ...], tuple[Callable[[Tables], Iterator[Problem]], ...]] = {
    ("train",): (_milestones_rise_before_end, _warmup_before_end, _nesterov_has_momentum),
    ("train", "grid"): (_rewind_before_end,),
    ("train", "sweep"): (_lasso_needs_images,),
    ("sweep",): (_model_reads_the_data, _options_divide_others, _options_suit_the_users_code),
    ("prune",): (_user_criteria_at_initialization_prune_once, _shuffling_needs_single_weights),
    ("prune", "sweep"): (_criterion_is_defined_for_the_network,),
    ("prune", "grid"): (
        _threshold_needs_magnitudes,
        _rounds_are_levels_of_sparsities,
        _rates_are_of_layers,
        _budget_has_a_time,
        _budget_makes_tickets,
    ),
    ("slurm",): (_slurm_keys_agree,),
}
"""The tables that rules need → the rules."""
