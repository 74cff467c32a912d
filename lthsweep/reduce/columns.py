"""Declared columns of the tables, and compound arrays of rows by these declarations.

A column is declared once: name, type, meaning, and the function that computes it from a row. The array, the page
docs/the-table.md and the tooltips of the report follow from the declaration. Types are declared because the table must
have the same bytes on every machine: they depend neither on the values nor on their order. Axes are the exception:
their values come from the file, so their type does too.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Generic, TypeAlias, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Column",
    "ColumnInfo",
    "ColumnType",
    "axis_columns",
    "flag",
    "integer",
    "known_flag",
    "number",
    "table_array",
    "text",
]

RowT = TypeVar("RowT")
Values: TypeAlias = NDArray[np.generic]
ColumnType: TypeAlias = Callable[[Sequence[object]], Values]
"""Turns the values of a column into an array; one of the functions of this module."""

_TRISTATE = h5py.enum_dtype({"FALSE": 0, "TRUE": 1, "UNKNOWN": -1}, basetype="i1")
"""A truth value that may be missing; HDF5's own boolean cannot."""

_INT64 = range(-(2**63), 2**63)
_LINK = re.compile(r"\[([^\]]+)\]\([^)]*\)")


@dataclass(frozen=True)
class ColumnInfo:
    """A column as the page explains it.

    Attributes:
        name: in the table.
        meaning: one line of Markdown, with the unit.
    """

    name: str
    meaning: str

    @property
    def tooltip(self) -> str:
        """The meaning without Markdown."""
        return _LINK.sub(r"\1", self.meaning).replace("`", "")


@dataclass(frozen=True)
class Column(ColumnInfo, Generic[RowT]):
    """A column that is computed row by row.

    Attributes:
        type: of the array.
        value: returns the value of a row.
    """

    type: ColumnType
    value: Callable[[RowT], object]


def table_array(columns: Sequence[Column[RowT]], rows: Sequence[RowT]) -> NDArray[np.void]:
    """Return the rows as one compound array; texts are fixed-length UTF-8."""
    arrays = {column.name: column.type([column.value(row) for row in rows]) for column in columns}
    out = np.zeros(len(rows), dtype=[(name, array.dtype) for name, array in arrays.items()])
    for name, array in arrays.items():
        out[name] = array
    return out


def axis_columns(axes: Sequence[str], values: str) -> list[Column[RowT]]:
    """Return the columns of the axes, which the page explains as a group.

    Args:
        axes: their names.
        values: attribute of a row with its values, a mapping from axis to value.
    """
    read: Callable[[RowT], Mapping[str, object]] = attrgetter(values)

    def value_of(axis: str) -> Callable[[RowT], object]:
        return lambda row: read(row).get(axis)

    return [Column(axis, "", _axis, value_of(axis)) for axis in axes]


def text(values: Sequence[object]) -> Values:
    """Return fixed-length UTF-8 as wide as the longest text; h5py's mark of the encoding is in the dtype."""
    encoded = [str(value).encode(errors="replace") for value in values]
    width = max(map(len, encoded), default=0)
    return np.array(encoded, dtype=h5py.string_dtype("utf-8", max(width, 1)))


def integer(values: Sequence[object]) -> Values:
    """Return 64-bit integers."""
    return np.array(values, dtype="<i8")


def number(values: Sequence[object]) -> Values:
    """Return 64-bit floats; NaN is unknown."""
    return np.array(values, dtype="<f8")


def known_flag(values: Sequence[object]) -> Values:
    """Return truth values that are all known."""
    return np.array(values, dtype="?")


def flag(values: Sequence[object]) -> Values:
    """Return truth values; None is unknown. The type is the same if all are known."""
    return np.array([-1 if value is None else int(bool(value)) for value in values], dtype=_TRISTATE)


def _axis(values: Sequence[object]) -> Values:
    """Return the values of an axis in the narrowest type that holds all of them; None is unknown.

    Lists, tables, and numbers among texts are written as JSON.
    """
    known = [value for value in values if value is not None]
    complete = len(known) == len(values)
    if known and all(isinstance(value, bool) for value in known):
        return known_flag(values) if complete else flag(values)
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        if known and complete and all(isinstance(value, int) and value in _INT64 for value in known):
            return integer(values)
        return number([math.nan if value is None else value for value in values])
    return text(["" if value is None else _written(value) for value in values])


def _written(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
