"""Columns of plain values → one compound array, with types that are a function of the values alone.

The table must be byte-identical on every machine, so a column's type never depends on the order in which
values were found, and fixed-length strings are exactly as wide as the longest one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

__all__ = ["TRISTATE", "Column", "compound", "text_array", "tristate"]

Column = Sequence[Any] | NDArray[Any]

TRISTATE = h5py.enum_dtype({"FALSE": 0, "TRUE": 1, "UNKNOWN": -1}, basetype="i1")
"""A truth value that may be missing; HDF5's own boolean cannot."""

_INT64 = range(-(2**63), 2**63)


def compound(columns: Mapping[str, Column]) -> NDArray[np.void]:
    """Pack columns of equal length into one compound array.

    Args:
        columns: name → numeric array, or list of plain values of one kind. None stands for an unknown value:
            NaN among numbers, "" among texts, UNKNOWN among truth values. Numbers among texts are written
            out; lists and tables become JSON.

    Returns:
        Structured array; texts as fixed-length UTF-8.
    """
    arrays = {name: _array(values) for name, values in columns.items()}
    (rows,) = {len(array) for array in arrays.values()}
    dtype = np.dtype([(name, array.dtype) for name, array in arrays.items()])
    out = np.zeros(rows, dtype=dtype)
    for name, array in arrays.items():
        out[name] = array
    return out


def text_array(values: Sequence[str]) -> NDArray[np.bytes_]:
    """Fixed-length UTF-8, at least one byte wide; h5py's mark of the encoding is in the dtype."""
    encoded = [value.encode(errors="replace") for value in values]
    width = max(map(len, encoded), default=0)
    return np.array(encoded, dtype=h5py.string_dtype("utf-8", max(width, 1)))


def tristate(values: Sequence[bool | None]) -> NDArray[np.int8]:
    """Truth values, None if unknown; the type is the same if all are known."""
    return np.array([-1 if value is None else int(value) for value in values], dtype=TRISTATE)


def _array(values: Column) -> NDArray[Any]:
    if isinstance(values, np.ndarray):
        return values
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, bool) for value in known):
        if len(known) == len(values):
            return np.array(values, dtype="?")
        return tristate(values)
    if all(_is_number(value) for value in known):
        if known and len(known) == len(values) and all(_is_int64(value) for value in known):
            return np.array(values, dtype="<i8")
        return np.array([math.nan if value is None else float(value) for value in values], dtype="<f8")
    return text_array([_written(value) for value in values])


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_int64(value: object) -> bool:
    return isinstance(value, int) and value in _INT64


def _written(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
