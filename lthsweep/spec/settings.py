"""Single values set by their path: by `--set a.b=v` in tables as read, and by axes in validated tables.

Where `name` chooses among variants of a table, a new name is a new table: keys that the new variant does not
know go, and so do those that stood at the old variant's default, whether written out or not. `momentum` of
SGD means nothing to Adam, and SGD's default learning rate would be a disaster there. So a file and its
resolved form, which writes every default out, give the same variant.
"""

from __future__ import annotations

import datetime
import tomllib
from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from lthsweep.spec.all_tables import Tables
from lthsweep.spec.fields import FileTable
from lthsweep.spec.grid_table import GridSpec, axis_name
from lthsweep.spec.problems import Problem
from lthsweep.spec.pydantic_errors import problems_of
from lthsweep.spec.schema import TABLES, full_path, is_key, suggestion, table_by_name

__all__ = ["apply_overrides", "with_settings"]

_KeyPath = tuple[str, ...]
_RIVALS = {"sparsity": "threshold", "threshold": "sparsity"}


def apply_overrides(
    tables: dict[str, object], overrides: Sequence[str]
) -> tuple[dict[tuple[str | int, ...], str], list[Problem]]:
    """Set values in tables as read from a file, in place.

    A value is read as TOML, and as plain text where it is none: `grid.seed=[0,1]`,
    `train.optimizer.name=adam`. Of two overrides of one key the later holds, but an axis under two of its names is
    refused: a user who writes both takes them for two. Giving one of grid.sparsity and grid.threshold removes the
    other.

    Returns:
        Path → override, for messages; and the problems of invalid overrides.
    """
    settings: dict[_KeyPath, object] = {}
    given: dict[tuple[str | int, ...], str] = {}
    names: dict[_KeyPath, str] = {}
    problems = []
    for override in overrides:
        name, equals, text = (part.strip() for part in override.partition("="))
        path = _path(name) if equals else ()
        if not path:
            path = (name or override,)
            problems.append(Problem(path, "write a key, an equals sign and a value: --set train.epochs=4"))
        elif path in {(table,) for table in TABLES}:
            example = f"--set {name}.{next(iter(TABLES[name].model_fields))}=…"
            problems.append(Problem(path, f"is a table; set one of its keys, as in {example}"))
        elif not is_key(path):
            problems.append(Problem(path, suggestion(path), _value(text)))
        elif path[0] == "grid" and names.setdefault(path, name) != name:
            problems.append(
                Problem(path, f"is given as {names[path]} too; keep one of the two", _value(text))
            )
        else:
            settings[path] = _value(text)
        given[path] = override
    grid, axes = tables.get("grid"), {path[1] for path in settings if path[0] == "grid"}
    for axis, rival in _RIVALS.items():
        if axis in axes and rival not in axes and isinstance(grid, dict):
            grid.pop(rival, None)
    _set_all(tables, settings)
    return given, problems


def _path(dotted: str) -> _KeyPath:
    """The full path of a key as written; () if it is not a key of TOML."""
    try:
        here: object = tomllib.loads(f"{dotted} = 0") if "\n" not in dotted else {}
    except tomllib.TOMLDecodeError:
        return ()
    names = []
    while isinstance(here, dict) and len(here) == 1:
        [(name, here)] = here.items()
        names.append(name)
    path = full_path(names)
    if path[:1] == ("grid",) and len(path) > 1 and path[1] not in GridSpec.model_fields:
        return ("grid", axis_name(".".join(path[1:])))  # `grid.model.width` and `grid."sweep.model.width"`
    return path


def _value(text: str) -> object:
    try:
        tables = tomllib.loads(f"v = {text}")
    except tomllib.TOMLDecodeError:
        return text
    value = tables["v"]
    return text if len(tables) > 1 or isinstance(value, datetime.date | datetime.time) else value


def with_settings(
    tables: Tables, settings: Mapping[str, object]
) -> tuple[dict[str, FileTable], list[Problem]]:
    """Validated tables with some values set.

    Args:
        tables: a table that is to be changed must be among them.
        settings: dotted name → value; `model.…`, `data.…` are short for `sweep.model.…`, `sweep.data.…`.

    Returns:
        Name → table, of those that changed; and the problems (with a problem, a table can be missing).
    """
    problems, paths = [], {}
    for name, value in settings.items():
        path = full_path(name.split("."))
        if path[0] == "grid" and len(path) > 2:
            path = ("grid", ".".join(path[1:]))
        if is_key(path) and len(path) > 1:
            paths[path] = value
        else:
            problems.append(Problem(path, suggestion(path), value))
    raw: dict[str, object] = {path[0]: getattr(tables, path[0]).model_dump() for path in paths}
    _set_all(raw, paths)
    changed: dict[str, FileTable] = {}
    for name, table in raw.items():
        try:
            changed[name] = TABLES[name].model_validate(table)
        except ValidationError as error:
            problems += problems_of(error, name)
    return changed, problems


def _set_all(tables: dict[str, object], settings: Mapping[_KeyPath, object]) -> None:
    """Set values in raw tables, in place; `name` before the other keys of its table, so that no value is undone."""
    for path, value in sorted(settings.items(), key=lambda item: item[0][-1] != "name"):
        _set(tables, path, value)


def _set(tables: dict[str, object], path: _KeyPath, value: object) -> None:
    here: dict[str, object] = tables
    for part in path[:-1]:
        inner = here.setdefault(part, {})
        if isinstance(inner, list | tuple):  # levels and rate instead of a list of sparsities
            inner = here[part] = {}
        if not isinstance(inner, dict):  # reported when the table is read
            return
        here = inner
    if path[-1] == "name" and len(path) == 3:  # the depth at which tables have variants
        _keep_keys_of(here, path[:2], value)
    here[path[-1]] = value


def _keep_keys_of(table: dict[str, object], path: _KeyPath, name: object) -> None:
    """Remove the keys that a new name makes meaningless."""
    field = TABLES[path[0]].model_fields.get(path[1])
    by_name = table_by_name(field) if field else None
    if by_name is None:
        return
    old = by_name.variant(table.get("name", by_name.default or next(iter(by_name.tables))))
    new = by_name.variant(name)
    if old is None or new is None or old is new:
        return
    for key in table.keys() - {"name"}:
        was = old.model_fields.get(key)
        at_default = was is not None and not was.is_required() and table[key] == was.default
        if key not in new.model_fields or at_default:
            del table[key]
