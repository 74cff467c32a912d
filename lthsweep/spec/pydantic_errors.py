"""pydantic's errors → problems, in the words of the file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from lthsweep.errors import nearest
from lthsweep.spec.fields import FileTable, suggested
from lthsweep.spec.problems import NOTHING, Problem
from lthsweep.spec.schema import TABLES, Path, allowed, choices, marker, suggestion, table_by_name, variants
from lthsweep.spec.text_forms import inline

__all__ = ["problems_of"]

_OWN = {"same_axis", "duplicate", "too_many_levels", "name"}  # our own errors, whose message is complete
_SHAPES = {"model_type", "model_attributes_type", "dict_type"}


@dataclass(frozen=True)
class _Place:
    """Where an error is: its path without pydantic's inner labels, its table, and its field if it has one.

    An `element` is in the field: in a list, or in a table whose names are free.
    """

    path: Path
    owner: type[FileTable]
    field: FieldInfo | None
    element: bool


def problems_of(error: ValidationError, table: str, owner: type[FileTable] | None = None) -> list[Problem]:
    """The problems of one table of the file; where alternatives failed, only those that came furthest.

    Args:
        error: pydantic's error.
        table: the table's name in the file.
        owner: the source, if it is a site profile and not the file.
    """
    owner = owner or TABLES[table]
    problems = [_problem(details, _place(table, owner, details["loc"])) for details in error.errors()]
    paths = {problem.path for problem in problems}
    unique = {problem.path: problem for problem in problems}  # one per place: alternatives repeat themselves
    return [problem for problem in unique.values() if not _has_deeper(problem, paths)]


def _has_deeper(problem: Problem, paths: Iterable[Path]) -> bool:
    return any(path[:-1] == problem.path and isinstance(path[-1], int) for path in paths)


def _place(table: str, owner: type[FileTable], loc: Iterable[str | int]) -> _Place:
    path: Path = (table,)
    field: FieldInfo | None = None
    element = False
    for part in loc:
        if isinstance(part, int):
            path, element = (*path, part), True
            continue
        if field is not None:
            special = marker(field)
            if part in variants(field):  # pydantic names the variant that it took
                owner, field = variants(field)[part], None
                continue
            if special and special.free_names and not element:
                path, element = (*path, part), True
                continue
            if not (special and special.inner):
                continue  # the label of an alternative
            owner = special.inner
        path, element = (*path, part), False
        field = owner.model_fields.get(part)
    return _Place(path, owner, field, element)


def _problem(details: ErrorDetails, place: _Place) -> Problem:
    kind, found, field = details["type"], details["input"], place.field
    if kind == "extra_forbidden":
        keys = tuple(str(part) for part in place.path)
        return Problem(place.path, suggestion(keys, place.owner), found)
    if kind == "missing" and field:
        return Problem(place.path, f"is missing; it must be {allowed(field)}")
    if kind == "union_tag_not_found" and field:
        by_name = table_by_name(field)
        return Problem((*place.path, "name"), f"is missing; it must be {by_name.text if by_name else ''}")
    if kind == "union_tag_invalid" and field:
        name = found.get("name") if isinstance(found, Mapping) else NOTHING
        return Problem((*place.path, "name"), _unknown(name, choices(field)), name)
    if kind == "same_axis":
        return Problem((*place.path, *details["ctx"]["path"]), details["msg"])
    if kind in _OWN:
        return Problem(place.path, details["msg"], found)
    return Problem(place.path, _wrong(kind, found, place), found)


def _wrong(kind: str, found: object, place: _Place) -> str:
    field = place.field
    if kind == "finite_number" and field:
        return f"must be finite: {_one(place)}"
    if kind in ("too_short", "string_too_short") and found in ((), [], ""):
        return (
            "is empty; an axis needs at least one value" if place.path[0] == "grid" else "must not be empty"
        )
    if field is None:
        if kind in _SHAPES:
            return "must be a table"
        return _axis_text(kind)
    if place.owner is TABLES["grid"] and kind == "tuple_type":
        return f"every key of [grid] is an axis: it must be {allowed(field)}"
    if choices(field) and not variants(field):
        return _unknown(found, choices(field))
    meant = nearest(found, choices(field)) if variants(field) and isinstance(found, str) else None
    return (f'did you mean {{ name = "{meant}" }}? it ' if meant else "") + f"must be {_one(place)}"


def _one(place: _Place) -> str:
    """What may stand at a place: in a list or a table of free names, if it is an element of one."""
    assert place.field is not None
    special = marker(place.field)
    return special.item if special and special.item and place.element else allowed(place.field)


def _axis_text(kind: str) -> str:
    if kind == "tuple_type":
        return "every key of [grid] is an axis: it must be a list"
    return "must be a number, a text, true or false"


def _unknown(name: object, known: Iterable[str]) -> str:
    return f"{suggested(name, known)}must be one of {', '.join(map(inline, known))}"
