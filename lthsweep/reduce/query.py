"""Questions to the tables, answered by DuckDB in memory, without access to files, network or Python.

`pandas.DataFrame.query` executes code in the condition; DuckDB with external access off and its
configuration locked only sees the frames that are passed to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pandas as pd

from lthsweep.errors import QueryError, nearest
from lthsweep.reduce.axis_order import axis_place
from lthsweep.spec.grid_table import axis_name, iterations_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["query", "sql"]

_SETTINGS = (
    "SET python_enable_replacements = false",  # Python variables are not tables
    "SET temp_directory = ''",  # no temporary files in the working directory
    "SET allow_community_extensions = false",
    "SET enable_external_access = false",
    "SET lock_configuration = true",  # last: the text of a query cannot undo the others
)
_ROW = "__row__"
_DESCENDING = re.compile(r"^-\s*(?P<minus>.+)$|^(?P<desc>.+?)\s+desc$|^(?P<asc>.+?)\s+asc$", re.IGNORECASE)


def query(
    frames: Mapping[str, pd.DataFrame],
    where: str | None = None,
    sort: str | Sequence[str] | None = None,
    columns: str | Sequence[str] | None = None,
    table: str = "tickets",
) -> pd.DataFrame:
    """Return the rows of one table that fulfill a condition, e.g. `query(frames, "sparsity >= 0.8 and verdict =
    'matching'")`.

    Args:
        frames: name of the table → frame.
        where: a condition in SQL over the columns; `==` is read as `=`; texts in single quotes; a name with a
            dot in double quotes (`"model.init" = 'default'`). None or blank takes all rows.
        sort: column names, a list or separated by commas; `-name` or `name desc` sorts downwards. Equal rows
            keep the order of the table; unknown values come last either way.
        columns: column names, a list or separated by commas; None takes all. Here and in `sort` an axis may have any
            name that the file takes (`time` for `prune.time`), unless it is that of another column.
        table: one of the names of `frames`.

    Raises:
        QueryError: with DuckDB's reason, the existing columns and the nearest name.
    """
    if table not in frames:
        raise QueryError(_unknown("table", table, frames))
    frame = frames[table]
    keys = [(_column(name, frame), rising) for name, rising in map(_direction, _names(sort))]
    wanted = [_column(name, frame) for name in _names(columns)]
    if len(set(wanted)) < len(wanted):
        raise QueryError(f"a column is listed twice in {', '.join(wanted)}; name each once")
    for name in [*(name for name, _ in keys), *wanted]:
        if name not in frame.columns:
            raise QueryError(_unknown("column", name, frame.columns, f" of {table}"))
    if where and where.strip():
        frame = frame.iloc[_matching_rows(frame, table, where)]
    for name, ascending in reversed(keys):  # stable, so the first key sorts last
        frame = frame.sort_values(
            name,
            ascending=ascending,
            kind="stable",
            na_position="last",
            key=_places if _is_axis(name) else None,
        )
    return (frame[list(wanted)] if wanted else frame).reset_index(drop=True)


def sql(frames: Mapping[str, pd.DataFrame], statement: str) -> pd.DataFrame:
    """Return the result of one SELECT (or WITH … SELECT) over the tables.

    Args:
        frames: name of the table → frame.
        statement: SQL in DuckDB's dialect.

    Raises:
        QueryError: if it is not a single SELECT, reads anything except the tables, or is invalid.
    """
    with duckdb.connect(":memory:") as connection:
        named = [table for table in frames if re.search(rf"\b{re.escape(table)}\b", statement, re.IGNORECASE)]
        for table in named:  # frames are built on demand, because curves can be large
            connection.register(table, frames[table])
        _lock(connection)
        known = {column for table in named for column in frames[table].columns}
        try:
            parsed = connection.extract_statements(statement)
            if len(parsed) != 1 or parsed[0].type != duckdb.StatementType.SELECT:
                raise QueryError(
                    f"one SELECT statement is answered, not {statement.strip()!r}; "
                    f"tables: {', '.join(frames)}"
                )
            return connection.execute(parsed[0]).df()
        except duckdb.Error as error:
            raise _explained(error, statement, known, tables=list(frames)) from None


def _is_axis(column: str) -> bool:
    """Return whether a column can hold numbers as text, because other values of its axis are texts."""
    return "." in column or column == "rewind_point"


def _places(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return the places of the texts of an axis, so that 10 follows 2; unknown values have none."""
    if column.dtype.kind in "bif":
        return column
    order = sorted({value for value in column if isinstance(value, str) and value}, key=axis_place)
    places = {value: float(place) for place, value in enumerate(order)}
    return column.map(places).astype(float)


def _matching_rows(frame: pd.DataFrame, table: str, where: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the positions of the rows that fulfill the condition; the frame keeps its types."""
    with duckdb.connect(":memory:") as connection:
        connection.register(table, frame.assign(**{_ROW: np.arange(len(frame))}))
        _lock(connection)
        try:
            # A relation parses one expression: no second statement and no UNION can follow it.
            found = connection.table(table).filter(where).project(f'"{_ROW}"').fetchnumpy()
        except duckdb.Error as error:
            raise _explained(error, where, set(frame.columns), tables=[table]) from None
    return np.sort(np.asarray(found[_ROW], dtype=np.int64))


def _lock(connection: DuckDBPyConnection) -> None:
    for setting in _SETTINGS:
        connection.execute(setting)


def _explained(error: duckdb.Error, text: str, columns: set[str], tables: Sequence[str]) -> QueryError:
    """Return an error with DuckDB's reason in one line, then the remedy."""
    reason = str(error).strip().split("\n", 1)[0]
    parts = [f"cannot answer {text.strip()!r}: {reason}"]
    unknown = re.search(r'Referenced (?:column|table) "([^"]+)" not found', reason)
    if unknown:
        parts.append(_hint(unknown[1], text, columns))
    elif mixed := re.search(r"Could not convert string '(.*)' to ", reason):
        parts.append(_conversion_hint(mixed[1], columns))
    if columns:
        parts.append(
            "columns: " + ", ".join(f'"{name}"' if "." in name else name for name in sorted(columns))
        )
    else:
        parts.append("tables: " + ", ".join(tables))
    return QueryError("; ".join(part for part in parts if part))


def _hint(name: str, text: str, columns: set[str]) -> str:
    if (axis := axis_name(name)) != name and axis in columns:
        return f'write "{axis}", in double quotes'
    dotted = [
        column for column in sorted(columns) if column.startswith(f"{name}.") and f'"{column}"' not in text
    ]
    if dotted:
        return f'write a name with a dot in double quotes: "{dotted[0]}"'
    near = nearest(name, columns)
    if near:
        return f"did you mean {near}?"
    whole = re.search(rf"\b{re.escape(name)}(\.\w+)*", text)
    if whole and "." in whole[0]:
        return f"no column {whole[0]}: an option of the file is one if it is an axis of the sweep"
    return f"write texts in single quotes: '{name}'" if f'"{name}"' in text else ""


def _conversion_hint(value: str, columns: set[str]) -> str:
    """Return the remedy for a number compared with a text; `value` is the text."""
    if iterations_of(value) is not None and "rewind_point" in columns:
        return f"rewind_epoch is in epochs; write rewind_point = '{value}'"
    return f"a column that is compared with a number holds texts such as {value!r}; write the number in single quotes"


def _unknown(what: str, name: str, known: Iterable[str], where: str = "") -> str:
    near = nearest(name, known)
    return (
        f"no {what} {name!r}{where};{f' did you mean {near}?' if near else ''} there are: {', '.join(known)}"
    )


def _names(written: str | Sequence[str] | None) -> list[str]:
    if written is None:
        return []
    parts = written.split(",") if isinstance(written, str) else written
    return [part.strip().strip('"') for part in parts if part.strip()]


def _column(name: str, frame: pd.DataFrame) -> str:
    axis = axis_name(name)
    return axis if name not in frame.columns and axis in frame.columns else name


def _direction(written: str) -> tuple[str, bool]:
    """Return the column, and True for ascending order."""
    found = _DESCENDING.match(written)
    if not found:
        return written.strip('"'), True
    name = found["minus"] or found["desc"] or found["asc"]
    return name.strip().strip('"'), found["asc"] is not None
