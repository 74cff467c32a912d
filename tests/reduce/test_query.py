from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lthsweep.errors import QueryError
from lthsweep.reduce.query import query, sql


@pytest.fixture
def frames():
    tickets = pd.DataFrame(
        {
            "sparsity": [0.5, 0.8, 0.9, 0.95],
            "model.init": ["default", "kaiming", "default", "kaiming"],
            "verdict": ["winning", "matching", "matching", "missing"],
            "difference": [0.01, 0.0, -0.001, np.nan],
            "audit_ok": pd.array([True, True, False, None], dtype="boolean"),
            "n": [3, 3, 2, 0],
        }
    )
    runs = pd.DataFrame({"key": ["a", "b"], "seed": [0, 1]})
    return {"tickets": tickets, "runs": runs}


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("sparsity >= 0.8 and verdict = 'matching'", [0.8, 0.9]),
        ("sparsity == 0.9", [0.9]),
        ("verdict in ('winning', 'matching') and not (n < 3)", [0.5, 0.8]),
        ("\"model.init\" == 'default'", [0.5, 0.9]),
        ("difference > -1", [0.5, 0.8, 0.9]),  # unknown is not larger than anything
        ("difference is null", [0.95]),
        ("audit_ok", [0.5, 0.8]),
        ("SPARSITY > 0.9", [0.95]),
        ("n > 100", []),
        ("", [0.5, 0.8, 0.9, 0.95]),
        (None, [0.5, 0.8, 0.9, 0.95]),
    ],
)
def test_where_selects_rows(frames, where, rows):
    """Conditions are SQL; `==` is read as people write it."""
    assert query(frames, where)["sparsity"].tolist() == rows


def test_types_of_the_table_survive_a_query(frames):
    """A query selects; it does not turn truth values into objects or whole numbers into fractions."""
    assert query(frames, "n > 2").dtypes.equals(frames["tickets"].dtypes)


def test_axes_have_their_names_of_the_file(frames):
    """`time` on the grid is `prune.time` in the table; a column of that very name comes first."""
    timed = frames["tickets"].assign(
        **{"prune.time": ["5m", "1m", "5m", "1m"], "prune.rounds": 3, "rounds": 7.0}
    )
    frames = {"tickets": timed}

    assert query(frames, columns="sparsity, time", sort="time").columns.tolist() == ["sparsity", "prune.time"]
    assert query(frames, sort="-time")["sparsity"].tolist() == [0.5, 0.9, 0.8, 0.95]
    assert query(frames, columns="rounds,sweep.model.init").columns.tolist() == ["rounds", "model.init"]
    with pytest.raises(QueryError, match=r'write "prune\.time", in double quotes'):
        query(frames, "time = '5m'")


def test_sort_and_columns(frames):
    """Downwards by a minus or `desc`; unknown values come last either way; equal rows keep their order."""
    assert query(frames, sort="-difference")["sparsity"].tolist() == [0.5, 0.8, 0.9, 0.95]
    assert query(frames, sort="difference asc")["sparsity"].tolist() == [0.9, 0.8, 0.5, 0.95]
    assert query(frames, sort="model.init, sparsity desc")["sparsity"].tolist() == [0.9, 0.5, 0.95, 0.8]
    assert query(frames, columns="n, model.init").columns.tolist() == ["n", "model.init"]
    assert query(frames, sort=["-n", "-sparsity"], columns=["sparsity"]).to_dict("list") == {
        "sparsity": [0.8, 0.5, 0.9, 0.95]
    }


def test_every_table_answers_queries(frames):
    """Runs are queried like tickets."""
    assert query(frames, "seed = 1", table="runs")["key"].tolist() == ["b"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"where": "spasity > 0.5"}, ["did you mean sparsity", "columns: ", '"model.init"', "spasity"]),
        ({"where": "sparsity >"}, ["syntax error", "columns: "]),
        ({"where": 'verdict = "matching"'}, ["texts in single quotes: 'matching'"]),
        ({"where": "train.lr > 1"}, ["no column train.lr: an option of the file is one if it is an axis"]),
        ({"where": '"train.lr" > 1'}, ["no column train.lr: an option of the file is one if it is an axis"]),
        ({"where": "model.init = 'default'"}, ['in double quotes: "model.init"']),
        ({"where": "verdict > 1"}, ["columns: "]),
        ({"columns": "sparsty"}, ["did you mean sparsity", "tickets"]),
        ({"sort": "-verdit"}, ["did you mean verdict"]),
        ({"table": "ticket"}, ["did you mean tickets", "runs"]),
    ],
)
def test_an_invalid_query_names_columns_and_tables(frames, arguments, words):
    """DuckDB's reason, the columns, and the nearest name."""
    with pytest.raises(QueryError) as caught:
        query(frames, **arguments)

    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


HOSTILE = [
    "read_csv('{file}')",
    "read_text('{file}')",
    "read_blob('{file}')",
    "read_json('{file}')",
    "read_parquet('{file}')",
    "glob('{folder}/*')",
    "'{file}'",
    "sniff_csv('{file}')",
]


@pytest.fixture
def secret(tmp_path):
    file = tmp_path / "secret.csv"
    file.write_text("password\nhunter2\n")
    return {"file": file, "folder": tmp_path}


@pytest.mark.parametrize("source", HOSTILE)
def test_no_file_is_read(frames, secret, source):
    """The text of a query can come from a web page; it reads only the tables."""
    source = source.format(**secret)

    for statement in (f"SELECT * FROM {source}", f"SELECT * FROM tickets, (SELECT * FROM {source}) x"):
        with pytest.raises(QueryError) as caught:
            sql(frames, statement)
        assert "hunter2" not in str(caught.value)
    for where in (f"exists (SELECT * FROM {source})", f"n > (SELECT count(*) FROM {source})"):
        with pytest.raises(QueryError):
            query(frames, where)


@pytest.mark.parametrize(
    "statement",
    [
        "COPY tickets TO '{folder}/stolen.csv'",
        "COPY (SELECT 1) TO '{folder}/stolen.parquet'",
        "ATTACH '{folder}/new.db'",
        "EXPORT DATABASE '{folder}/all'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "PRAGMA database_list",
        "CREATE TABLE t AS SELECT 1",
        "INSERT INTO runs VALUES ('c', 2)",
        "DROP VIEW tickets",
        "SELECT 1; COPY tickets TO '{folder}/stolen.csv'",
        "",
        "-- nothing",
    ],
)
def test_only_one_select_is_answered(frames, secret, statement):
    """Anything but a question is refused, and nothing is left on disk."""
    with pytest.raises(QueryError):
        sql(frames, statement.format(**secret))

    assert [path.name for path in secret["folder"].iterdir()] == ["secret.csv"]


def test_a_condition_cannot_end_early(frames):
    """Neither a second statement nor a UNION fits behind a condition."""
    for where in (
        "true) UNION SELECT * FROM tickets --",
        "true; DROP VIEW tickets",
        "true ORDER BY n",
        "true LIMIT 1",
    ):
        with pytest.raises(QueryError):
            query(frames, where)


def test_python_variables_are_not_tables(frames):
    """DuckDB would look up the names of Python variables; here it does not."""
    hidden = pd.DataFrame({"x": [1]})

    with pytest.raises(QueryError, match="hidden"):
        sql(frames, "SELECT * FROM hidden")
    assert len(hidden) == 1


def test_sql_answers_over_all_tables(frames):
    """SELECT and WITH, joins and groups."""
    counted = sql(frames, "SELECT verdict, count(*) AS rows FROM tickets GROUP BY verdict ORDER BY verdict")
    joined = sql(frames, "WITH two AS (SELECT * FROM runs) SELECT count(*) AS n FROM tickets CROSS JOIN two")

    assert counted.to_dict("list") == {"verdict": ["matching", "missing", "winning"], "rows": [2, 1, 1]}
    assert joined["n"].tolist() == [8]


def test_errors_of_sql_name_the_columns(frames):
    """The hint is about the queried table."""
    with pytest.raises(QueryError, match=r"did you mean verdict.*columns: "):
        sql(frames, "SELECT verdikt FROM tickets")
    with pytest.raises(QueryError, match="tables: tickets, runs"):
        sql(frames, "SELECT * FROM nosuch")


def test_only_named_tables_become_frames(frames):
    """Curves of a large sweep take time to make."""

    class Lazy(dict):
        asked = ()

        def __getitem__(self, name):
            self.asked = (*self.asked, name)
            return super().__getitem__(name)

    lazy = Lazy(frames)

    sql(lazy, "SELECT count(*) FROM runs")

    assert set(lazy.asked) == {"runs"}
