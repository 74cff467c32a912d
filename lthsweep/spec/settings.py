"""Set single values by their path, in tables as they were read or as they were validated.

Where `name` chooses among variants of a table, a new name is a new table: keys that the new variant does not
know go, and so do those that stood at the old variant's default, whether written out or not. `momentum` of
SGD means nothing to Adam, and SGD's default learning rate would be a disaster there. So a file and its
resolved form, which writes every default out, give the same variant.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from lthsweep.spec.base import Table
from lthsweep.spec.problems import Problem
from lthsweep.spec.registry_fields import TableByName
from lthsweep.spec.schema import TABLES, full_path, is_key, suggestion, table_by_name
from lthsweep.spec.translate import problems_of

__all__ = ["names_first", "put", "with_settings"]


def names_first(settings: Mapping[tuple[str, ...], Any]) -> list[tuple[tuple[str, ...], Any]]:
    """The settings in an order in which none is undone: `name` before the other keys of its table."""
    return sorted(settings.items(), key=lambda item: item[0][-1] != "name")


def put(tables: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Set a value in the raw tables, in place; skipped if a parent is not a table, which is reported elsewhere."""
    here: Any = tables
    for part in path[:-1]:
        if isinstance(here.get(part), list | tuple):  # levels and rate instead of a list of sparsities
            here[part] = {}
        here = here.setdefault(part, {})
        if not isinstance(here, dict):
            return
    field = _field(path[:-1])
    if path[-1] == "name" and field is not None:
        _rename(here, table_by_name(field), value)
    here[path[-1]] = value


def _field(path: tuple[str, ...]) -> FieldInfo | None:
    """The field at a path of two names, the depth at which tables have variants."""
    return TABLES[path[0]].model_fields.get(path[1]) if len(path) == 2 and path[0] in TABLES else None


def _rename(table: dict[str, Any], by_name: TableByName | None, name: Any) -> None:
    if by_name is None:
        return
    old = by_name.variant(table.get("name", by_name.default or next(iter(by_name.tables))))
    new = by_name.variant(name)
    if old is None or new is None or old is new:
        return
    for key in [key for key in table if key != "name"]:
        field = old.model_fields.get(key)
        at_default = field is not None and not field.is_required() and table[key] == field.default
        if key not in new.model_fields or at_default:
            del table[key]


def with_settings(
    tables: Mapping[str, Table], settings: Mapping[str, Any]
) -> tuple[dict[str, Table], list[Problem]]:
    """Validated tables with some values set.

    Args:
        tables: name → table.
        settings: dotted name → value; `model.…`, `data.…` are short for `sweep.model.…`, `sweep.data.…`.

    Returns:
        The tables that changed, and the problems (with a problem, a table can be missing).
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
    raw = {path[0]: tables[path[0]].model_dump() for path in paths if path[0] in tables}
    for path, value in names_first(paths):
        put(raw, path, value)
    changed: dict[str, Table] = {}
    for name, table in raw.items():
        try:
            changed[name] = TABLES[name].model_validate(table)
        except ValidationError as error:
            problems += problems_of(error, name)
    return changed, problems
