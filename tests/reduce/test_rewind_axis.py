"""A rewind axis of epochs and iterations: one column of numbers, one with the text of the file."""

from __future__ import annotations

import pytest
from reduce_cases import all_results, make_plan

from lthsweep.errors import QueryError
from lthsweep.reduce.axis_order import axis_place
from lthsweep.reduce.merge import reduce_records
from lthsweep.reduce.query import query, sql
from lthsweep.reduce.rewind_axis import in_epochs, written_point

MIXED = make_plan(sparsity=[0.5], rewind_epoch=[0, 2, 3.5, "15it"], control=["ticket", "reinit"], seed=[0, 1])
FRAMES = reduce_records(MIXED, all_results(MIXED, steps_per_epoch=10.0)).frames
BUDGET = {"schedule": "budget"}


def points(frame):
    return list(dict.fromkeys(frame["rewind_point"]))


@pytest.mark.parametrize("table", ["tickets", "runs", "controls"])
def test_iterations_sort_among_epochs(table):
    """Fifteen iterations of ten are one and a half epochs: between 0 and 2."""
    rows = query(FRAMES, "rewind_point <> ''", sort="rewind_epoch", table=table)

    assert points(rows) == ["0", "15it", "2", "3.5"]
    assert set(rows[rows["rewind_point"] == "15it"]["rewind_epoch"]) == {1.5}


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("rewind_epoch = 0", ["0"]),
        ("rewind_epoch <= 2", ["0", "2", "15it"]),
        ("rewind_epoch > 1 and rewind_epoch < 2", ["15it"]),
        ("rewind_point = '15it'", ["15it"]),
        ("rewind_epoch = '2'", ["2"]),
    ],
)
def test_documented_conditions_work(where, expected):
    """They are the same for a grid that has no iterations."""
    assert points(query(FRAMES, where)) == expected


def test_pandas_and_sql_compare_numbers():
    """A reader of the table need not know how the file writes a point."""
    tickets = FRAMES["tickets"]

    assert points(tickets[tickets.rewind_epoch == 0]) == ["0"]
    found = sql(FRAMES, "SELECT DISTINCT rewind_epoch FROM tickets ORDER BY rewind_epoch")
    assert found["rewind_epoch"].tolist() == [0, 1.5, 2, 3.5]


def test_iterations_as_a_number_name_the_column():
    """The error has the remedy, not only DuckDB's reason."""
    with pytest.raises(QueryError, match="rewind_point = '15it'"):
        query(FRAMES, "rewind_epoch = '15it'")


def test_whole_epochs_stay_integers():
    """Most grids have epochs only, and their column keeps its type."""
    plan = make_plan(rewind_epoch=[0, 2.0])

    tickets = reduce_records(plan, ()).frames["tickets"]

    assert tickets["rewind_epoch"].dtype.kind == "i"
    assert points(tickets) == ["0", "2"]


def test_a_dense_run_has_no_rewind_point():
    """It starts at initialization and returns to nothing."""
    dense = query(FRAMES, "kind = 'dense'", table="runs")

    assert set(dense["rewind_point"]) == {""}
    assert dense["rewind_epoch"].isna().all()


@pytest.mark.parametrize(
    ("written", "length", "epochs", "text"),
    [
        (2, None, 2, "2"),
        (2.0, None, 2, "2"),
        (0.5, None, 0.5, "0.5"),
        (0.1234567, None, 0.1234567, "0.1234567"),
        ("15it", 10, 1.5, "15it"),
        ("15it", None, None, "15it"),
        ("0it", None, 0, "0"),
        (None, 10, None, ""),
    ],
)
def test_points_have_a_number_and_a_text(written, length, epochs, text):
    """Iterations of an epoch of unknown length have no number yet."""
    axes = {"rewind_epoch": written, "sparsity": 0.5}

    assert in_epochs(axes, length) == {"rewind_epoch": epochs, "sparsity": 0.5}
    assert written_point(axes) == text


def test_texts_of_an_axis_sort_by_size():
    """Numbers among texts, times and iterations are texts in a table, and sort as a reader expects."""
    plan = make_plan(
        rewind_epoch=[0],
        sparsity=[0.5],
        seed=[0],
        **{"prune.time": ["2m", "90s", "1h", "100s"]},
        prune=BUDGET,
    )
    frames = reduce_records(plan, ()).frames

    rising = query(frames, sort='"prune.time"')["prune.time"].tolist()

    assert rising == ["90s", "100s", "2m", "1h"]
    assert query(frames, sort='-"prune.time"')["prune.time"].tolist() == rising[::-1]
    assert sorted(["auto", "10", "2", "true", "500it"], key=axis_place) == [
        "2",
        "10",
        "500it",
        "auto",
        "true",
    ]
    assert sorted(["2", "15it"], key=lambda text: axis_place(text, 10)) == ["15it", "2"]
