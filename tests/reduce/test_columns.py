"""Columns have declared types, and one explanation for page and tooltips."""

from __future__ import annotations

import math
from operator import itemgetter
from types import SimpleNamespace

import pytest

from lthsweep.reduce.catalog import COLUMNS
from lthsweep.reduce.columns import Column, ColumnInfo, axis_columns, flag, integer, number, table_array, text


@pytest.mark.parametrize(
    ("kind", "values", "dtype"),
    [
        (number, [1, 2], "<f8"),
        (number, [], "<f8"),
        (integer, [], "<i8"),
        (flag, [True, False], "i1"),
        (text, [], "S1"),
    ],
)
def test_types_do_not_depend_on_values(kind, values, dtype):
    """Whole numbers or a table without rows would otherwise change the bytes of the table's types."""
    column = Column("x", "", kind, lambda row: row)

    assert table_array([column], values)["x"].dtype == dtype


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([0, 2], "<i8"),
        ([0, None], "<f8"),
        ([0, 0.5], "<f8"),
        ([0, "500it"], "S5"),
        ([True, False], "?"),
        ([True, None], "i1"),
        ([2**63], "<f8"),
    ],
)
def test_axes_have_the_narrowest_type(values, dtype):
    """The values of an axis come from the file, so their type does too."""
    (column,) = axis_columns(["a"], "axes")
    rows = [SimpleNamespace(axes={"a": value}) for value in values]

    assert table_array([column], rows)["a"].dtype == dtype


def test_unknown_values_have_a_mark_per_type():
    """NaN among numbers, -1 among truth values."""
    rows = [{"x": math.nan, "y": None}]
    columns = [Column("x", "", number, itemgetter("x")), Column("y", "", flag, itemgetter("y"))]

    found = table_array(columns, rows)

    assert math.isnan(found["x"][0])
    assert found["y"][0] == -1


def test_tooltips_have_no_markdown():
    """A tooltip is plain text; its links would be noise."""
    column = ColumnInfo("x", "`a` of a [budget run](budget.md)")

    assert column.tooltip == "a of a budget run"


@pytest.mark.parametrize("table", COLUMNS)
def test_columns_have_distinct_names_and_meanings(table):
    """A compound type has each name once; a column without a meaning is a gap of the page."""
    names = [column.name for column in COLUMNS[table]]

    assert len(names) == len(set(names))
    assert all(column.meaning for column in COLUMNS[table])
