"""The schema of the file as data: tables, keys, allowed values, and the nearest name to a misspelled one.

Read from the tables' own fields, so errors, the template and the reference agree with the file's checks.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Literal, Union, cast, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo

from lthsweep.errors import nearest
from lthsweep.spec.all_tables import Tables
from lthsweep.spec.fields import Allowed, FileTable, NameOf, TableByName

__all__ = [
    "TABLES",
    "Key",
    "Path",
    "allowed",
    "axis_names",
    "axis_path",
    "choices",
    "full_path",
    "is_key",
    "keys_of",
    "marker",
    "suggestion",
    "table_by_name",
    "variant_groups",
    "variants",
    "walk",
]

Path = tuple[str | int, ...]
"""A place in the file: names of tables and keys, and positions in lists."""

TABLES: Mapping[str, type[FileTable]] = {
    name: cast(type[FileTable], field.annotation) for name, field in Tables.model_fields.items()
}
"""The tables of the file, in the order in which they are written."""

_NO_AXIS = {"sweep.name", "sweep.description", "data.path"}  # names and places, not settings
_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
_SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


@dataclass(frozen=True)
class Key:
    """A key of the file: where it is, and the field that reads it in one variant of its table."""

    path: tuple[str, ...]
    owner: type[FileTable]
    field: FieldInfo


def table_by_name(field: FieldInfo) -> TableByName | None:
    """How `name` chooses the table of this field; None where it does not."""
    return next((item for item in field.metadata if isinstance(item, TableByName)), None)


def variants(field: FieldInfo) -> Mapping[str, type[FileTable]]:
    """The tables that `name` selects among in this field; empty for other fields."""
    by_name = table_by_name(field)
    return by_name.variants if by_name else {}


def variant_groups(field: FieldInfo) -> list[tuple[list[str], type[FileTable]]]:
    """The tables of `variants`, each once, with all names that select it."""
    tables = variants(field)
    return [
        ([name for name in tables if tables[name] is table], table)
        for table in dict.fromkeys(tables.values())
    ]


def marker(field: FieldInfo) -> Allowed | None:
    """Properties of the field that its type does not show."""
    for item in field.metadata:
        if isinstance(item, NameOf):
            return Allowed(item.text)
        if isinstance(item, Allowed):
            return item
    return None


def choices(field: FieldInfo) -> tuple[str, ...]:
    """The texts that may be written, where they are a fixed few."""
    kind = _kind(field)
    return get_args(kind) if get_origin(kind) is Literal else tuple(variants(field))


def allowed(field: FieldInfo) -> str:
    """What may be written, to complete "must be …"."""
    if special := marker(field):
        return special.text
    if by_name := table_by_name(field):
        return f"a table whose `name` is {by_name.text}"
    if texts := choices(field):
        return ("one of " if len(texts) > 1 else "") + ", ".join(f'"{text}"' for text in texts)
    kind = _kind(field)
    if kind is str and any(isinstance(item, annotated_types.MinLen) for item in field.metadata):
        return "text, not empty"
    bounds = [
        f"{_SIGNS[name]} {getattr(item, name)}"
        for item in field.metadata
        for name in _SIGNS
        if hasattr(item, name)
    ]
    return f"{_KINDS[cast(type, kind)]} {' and '.join(bounds)}".rstrip()


def _kind(field: FieldInfo) -> object:
    """The type of a field that has a value: `int` of `Whole | None`."""
    kind: object = field.annotation
    if get_origin(kind) in (Union, UnionType):
        others = [item for item in get_args(kind) if item is not NoneType]
        kind = others[0] if len(others) == 1 else kind
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def keys_of(owner: type[FileTable]) -> list[str]:
    """The keys of a table in the order to write them: `name`, its own, those it shares, and tables last."""
    fields, own = owner.model_fields, owner.__annotations__
    return sorted(fields, key=lambda name: (bool(variants(fields[name])), name != "name", name not in own))


def walk() -> Iterator[Key]:
    """Every key of every table and variant, tables before their keys."""
    for name, table in TABLES.items():
        yield from _walk((name,), table)


def _walk(path: tuple[str, ...], owner: type[FileTable]) -> Iterator[Key]:
    for name in keys_of(owner):
        field = owner.model_fields[name]
        yield Key((*path, name), owner, field)
        special = marker(field)
        inner = [table for _, table in variant_groups(field)]
        for table in [*inner, *([special.inner] if special and special.inner else [])]:
            yield from _walk((*path, name), table)


@functools.cache
def _keys() -> Mapping[tuple[str, ...], tuple[Key, ...]]:
    keys: dict[tuple[str, ...], tuple[Key, ...]] = {}
    for key in walk():
        keys[key.path] = (*keys.get(key.path, ()), key)
    return keys


def full_path(dotted: Iterable[str]) -> tuple[str, ...]:
    """`sweep.model.width` for `model.width`, and likewise for data; other paths as they are."""
    path = tuple(dotted)
    return ("sweep", *path) if path[:1] in (("model",), ("data",)) else path


@functools.cache
def axis_names() -> Mapping[str, tuple[str, ...]]:
    """Name of each value that may be an axis of the grid → its full path."""
    names = {}
    for path, (key, *_) in _keys().items():
        dotted = ".".join(path[1:] if path[:2] in (("sweep", "model"), ("sweep", "data")) else path)
        kind = _kind(key.field)
        single = kind in _KINDS or get_origin(kind) is Literal
        if path[0] in ("sweep", "train", "prune") and single and dotted not in _NO_AXIS:
            names[dotted] = path
    return names


def axis_path(name: str) -> tuple[str, ...] | None:
    """Full path of the value that an axis varies, an option of the user's code included; None if there is none."""
    path = full_path(name.split("."))
    return axis_names().get(name) or (path if _is_own_option(path) else None)


def is_key(path: tuple[str, ...]) -> bool:
    """True if the file has this key or table in any variant, or the grid this axis."""
    if path[:1] == ("grid",) and len(path) == 2 and axis_path(path[1]):
        return True
    return path in _keys() or (len(path) == 1 and path[0] in TABLES) or _is_free(path)


def _is_free(path: tuple[str, ...]) -> bool:
    """True if a path is a key in a table whose keys are not fixed."""
    special = [marker(key.field) for key in _keys().get(path[:-1], ())]
    return any(item.free_names for item in special if item) or _is_own_option(path)


def _is_own_option(path: tuple[str, ...]) -> bool:
    """True if a path can be an option of the user's network or reader: which options these have, the code decides."""
    return path not in _keys() and _is_table_of_own_code(path[:-1])


def _is_table_of_own_code(path: tuple[str, ...]) -> bool:
    by_name = [table_by_name(key.field) for key in _keys().get(path, ())]
    return any(item is not None and item.own_code for item in by_name)


def suggestion(path: tuple[str, ...], owner: type[FileTable] | None = None) -> str:
    """What may have been meant by a key that does not exist, and which keys there are.

    Args:
        path: the full path of the unknown key.
        owner: the table it was found in; None looks it up, taking all variants together.
    """
    name, parent = path[-1], path[:-1]
    if not parent:
        known = list(TABLES)
    elif owner:
        known = keys_of(owner)
    else:
        known = list(dict.fromkeys(key[-1] for key in _keys() if key[:-1] == parent))
    there = ", ".join(known)
    if parent == ("grid",):
        if tuple(name.split(".")) in _keys():
            return f"{name} is the same for a whole sweep, and can be no axis of its grid"
        known = [*known, *axis_names()]
        there += ', or a value of another table, such as "model.init"'
    others = [choice for key in _keys().get(path, ()) for choice in choices(key.owner.model_fields["name"])]
    hint = nearest(name, known)
    if hint:
        start = f"did you mean `{hint}`?"
    elif others:
        # The user's code can have it, too.
        among = " among the built-in names" if _is_table_of_own_code(parent) else ""
        start = f"only {', '.join(others)} has it{among};"
    else:
        places = [".".join(key) for key in _keys() if key[-1] == name and len(key) > 1]
        start = f"did you mean {' or '.join(f'`{place}`' for place in places[:3])}?" if places else ""
    listed = f"there are: {there}" if there else f"tables: {', '.join(TABLES)}"
    return " ".join(part for part in ("no such key;", start, listed) if part)
