"""Compound arrays of the table as pandas frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["Frames", "frame_of"]


class Frames(Mapping[str, pd.DataFrame]):
    """The frames by name, each made at its first use.

    Args:
        names: of the tables.
        source: returns the rows of a table.
    """

    def __init__(self, names: Sequence[str], source: Callable[[str], NDArray[np.void]]) -> None:
        self._names = names
        self._source = source
        self._made: dict[str, pd.DataFrame] = {}

    def __getitem__(self, table: str) -> pd.DataFrame:
        if table not in self._names:
            raise KeyError(table)
        if table not in self._made:
            self._made[table] = frame_of(self._source(table))
        return self._made[table]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def frame_of(rows: NDArray[np.void]) -> pd.DataFrame:
    """Return one compound array as a frame.

    Fixed-length texts become `str`; truth values that can be unknown become pandas' nullable `boolean`.
    """
    names = rows.dtype.names or ()
    return pd.DataFrame({name: _series(rows[name]) for name in names})


def _series(column: NDArray[Any]) -> pd.Series[Any]:
    if column.dtype.kind == "S":
        return pd.Series(_texts(column), dtype="str")
    if column.dtype == np.int8:  # see lthsweep.reduce.columns.TRISTATE
        return pd.Series(pd.arrays.BooleanArray(column > 0, column < 0))
    return pd.Series(np.ascontiguousarray(column))


def _texts(column: NDArray[np.bytes_]) -> NDArray[np.object_]:
    """Decode equal neighbors once: in /curves a key repeats for every epoch of its run."""
    if len(column) == 0:
        return np.empty(0, dtype=object)
    starts = np.flatnonzero(np.concatenate([[True], column[1:] != column[:-1]]))
    texts = np.array([text.decode("utf-8", "replace") for text in column[starts].tolist()], dtype=object)
    return np.repeat(texts, np.diff(np.append(starts, len(column))))
