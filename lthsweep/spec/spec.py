"""A checked sweep as one immutable object: made from tables, varied by axes, and written as TOML."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Mapping, Sequence
from typing import Self

import tomli_w
from pydantic import ValidationError, model_validator
from pydantic_core import PydanticCustomError

from lthsweep.spec.all_tables import Tables
from lthsweep.spec.combinations import problems_between
from lthsweep.spec.fields import FileTable
from lthsweep.spec.grid_table import flatten_axes
from lthsweep.spec.problems import Origin, Problem, error_of
from lthsweep.spec.pydantic_errors import problems_of
from lthsweep.spec.rules import broken_rules
from lthsweep.spec.schema import TABLES, Path, suggestion
from lthsweep.spec.settings import apply_overrides, with_settings

__all__ = ["Spec", "dump_spec", "spec_of"]


class Spec(Tables):
    """A sweep's file, checked, with every default filled in; attributes are named as the file's keys."""

    @model_validator(mode="after")
    def _rules(self) -> Self:
        if problems := problems_between(Tables.of(dict(self))):
            raise error_of(problems, Origin())
        return self

    def variant(self, settings: Mapping[str, object]) -> Spec:
        """This spec with some values set, as by one combination of the grid's dotted axes.

        Args:
            settings: dotted name → value; `model.…`, `data.…` are short for `sweep.model.…`, `sweep.data.…`.
                A new `name` (of model, data, optimizer, schedule) resets the other keys of its table that
                stand at their defaults or that the new variant does not know.

        Raises:
            SpecError: if a name is unknown or a value is not allowed; all of them at once.
        """
        changed, problems = with_settings(self, settings)
        variant = self.model_copy(update=changed)
        problems = problems or broken_rules(variant, changed.keys())
        if problems:
            raise error_of(problems, Origin())
        return variant


def spec_of(
    tables: Mapping[str, object],
    overrides: Sequence[str] = (),
    *,
    origin: Origin | None = None,
    default_name: str = "sweep",
) -> Spec:
    """The spec of tables as `tomllib` gives them.

    Args:
        tables: the content of a file.
        overrides: settings such as `train.epochs=4` that stand above it.
        origin: where the tables come from, for messages.
        default_name: the sweep's name if the tables do not give one.

    Raises:
        SpecError: if there is an error. All errors are reported at once, each with file, line, key, the value found,
            the allowed values, and the nearest valid name.
    """
    raw = copy.deepcopy(dict(tables))
    grid, sweep = raw.get("grid"), raw.setdefault("sweep", {})
    if isinstance(grid, dict) and overrides:
        with contextlib.suppress(PydanticCustomError):  # reported when the table is read
            raw["grid"] = flatten_axes(grid)
    given, problems = apply_overrides(raw, overrides)
    problems += [
        Problem((name,), _unknown_table(name), value) for name, value in raw.items() if name not in TABLES
    ]
    if isinstance(sweep, dict):
        sweep.setdefault("name", default_name)
    read: dict[str, FileTable] = {}
    suspect: set[Path] = set()
    for name in TABLES:
        table, wrong = _read_table(name, raw.get(name, {}))
        problems += wrong
        suspect |= {problem.path[:2] for problem in wrong}
        if table is not None:
            read[name] = table
    for problem in problems_between(Tables.of(read)):
        if suspect.isdisjoint(path[:2] for path in (problem.path, *problem.involved)):
            problems.append(problem)
    if problems:
        origin = origin or Origin()
        raise error_of(problems, Origin(origin.name, origin.text, given))
    return Spec.of(read)


def _read_table(name: str, raw: object) -> tuple[FileTable | None, list[Problem]]:
    """A table without its invalid keys, so that the rest is checked as well, and the problems."""
    try:
        return TABLES[name].model_validate(raw), []
    except ValidationError as error:
        problems = problems_of(error, name)
    if not isinstance(raw, dict):
        return None, problems
    wrong = {problem.path[1] for problem in problems if len(problem.path) > 1}
    try:
        return TABLES[name].model_validate({key: raw[key] for key in raw if key not in wrong}), problems
    except ValidationError:
        return None, problems


def _unknown_table(name: str) -> str:
    if name in ("model", "data"):
        return f"belongs into the table sweep: write [sweep.{name}]"
    return suggestion((name,)).replace("no such key", "no such table")


def dump_spec(spec: Spec) -> str:
    """The resolved file of a spec, with every default written out; reading it gives an equal spec.

    Keys without a value (those of [slurm] that the site profile decides) are left out: TOML has no null.
    """
    return tomli_w.dumps({name: _without_empty(table) for name, table in spec.model_dump().items()})


def _without_empty(value: object) -> object:
    """Tables without empty values, `name` first because it defines the meaning of the other keys."""
    if isinstance(value, dict):
        names = sorted(value, key=lambda key: key != "name")
        return {key: _without_empty(value[key]) for key in names if value[key] is not None}
    return [_without_empty(item) for item in value] if isinstance(value, tuple) else value
