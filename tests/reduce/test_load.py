from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pandas as pd
import pytest
from reduce_cases import make_plan, write_records

from lthsweep.api import load
from lthsweep.errors import QueryError, SpecError, StoreError
from lthsweep.reduce.merge import merge
from lthsweep.spec import dump_spec
from lthsweep.store.layout import SweepDir


@pytest.fixture
def plan():
    return make_plan()


@pytest.fixture
def sweep(tmp_path, plan):
    sweep = SweepDir(tmp_path / "sweep").create()
    sweep.sweep_toml.write_text(dump_spec(plan.spec))
    return sweep


def test_load_gives_frames_plan_and_spec(sweep, plan):
    """The four frames, the plan and the file, by attribute."""
    write_records(sweep, plan)

    loaded = load(sweep.path)

    assert len(loaded.tickets) == 6
    assert loaded.runs["key"].tolist() == list(plan.runs)
    assert set(loaded.curves["key"]) == set(loaded.layers["key"]) == set(plan.runs)
    assert list(loaded.plan.runs) == list(plan.runs)
    assert loaded.spec == plan.spec
    assert all(isinstance(frame, pd.DataFrame) for frame in loaded.frames.values())


def test_frames_are_made_once_on_first_use(sweep, plan):
    """Looking at tickets does not pay for curves."""
    write_records(sweep, plan)
    loaded = load(sweep.path)

    assert loaded.tickets is loaded.tickets
    assert set(loaded.frames._made) == {"tickets"}


def test_load_includes_records_missing_from_the_table(sweep, plan):
    """The loaded tables include all records; the table on disk is older until merge."""
    write_records(sweep, plan, list(plan.runs)[:3])
    before = merge(sweep, plan).read_bytes()
    write_records(sweep, plan)

    assert set(load(sweep.path).runs["state"]) == {"done"}
    assert sweep.table.read_bytes() == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_directory_loads(sweep, plan):
    """Someone else's sweep can be read."""
    write_records(sweep, plan)
    sweep.path.chmod(0o555)

    try:
        assert len(load(sweep.path).tickets) == 6
    finally:
        sweep.path.chmod(0o755)


def test_load_leaves_the_directory_as_it_is(sweep, plan):
    """Nothing is written, nothing is touched."""
    write_records(sweep, plan)
    before = sorted((path, path.stat().st_mtime_ns) for path in sweep.path.rglob("*"))

    load(sweep.path).sql("SELECT count(*) FROM curves")

    assert sorted((path, path.stat().st_mtime_ns) for path in sweep.path.rglob("*")) == before


def test_a_copied_table_is_enough(sweep, plan, tmp_path):
    """One file to copy, one line to query: the grid is in it."""
    write_records(sweep, plan)
    copied = tmp_path / "from a colleague.h5"
    shutil.copyfile(merge(sweep, plan), copied)

    loaded = load(copied)

    assert loaded.tickets.equals(load(sweep.path).tickets)
    assert list(loaded.plan.runs) == list(plan.runs)
    assert loaded.spec == plan.spec


def test_a_directory_with_only_a_table_loads(sweep, plan, tmp_path):
    """The records can be archived elsewhere."""
    write_records(sweep, plan)
    folder = tmp_path / "published"
    folder.mkdir()
    shutil.copyfile(merge(sweep, plan), folder / "table.h5")

    assert len(load(folder).tickets) == 6


def test_no_sweep_is_a_clear_error(tmp_path):
    """The message describes the contents of a sweep directory."""
    with pytest.raises(SpecError, match=r"sweep\.toml nor table\.h5"):
        load(tmp_path)


def test_query_and_sql_from_python(sweep, plan):
    """The same questions as on the command line."""
    write_records(sweep, plan)
    loaded = load(str(sweep.path))

    assert loaded.query("kind == 'dense'", columns="sparsity")["sparsity"].tolist() == [0.0, 0.0]
    assert loaded.query(table="runs", sort="-seed")["seed"].iloc[0] == 1
    assert loaded.sql("SELECT count(*) AS n FROM runs")["n"].tolist() == [10]
    with pytest.raises(QueryError, match="did you mean verdict"):
        loaded.query("verdikt = 'winning'")


def modules_after(code):
    """Top-level packages that a new process has imported after `code`."""
    code = f"import sys; {code}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    return set(done.stdout.split())


@pytest.mark.slow
def test_reading_never_imports_torch():
    """Commands that do not train start in a moment; torch alone takes seconds."""
    loaded = modules_after(
        "import lthsweep.api, lthsweep.reduce.merge, lthsweep.reduce.query, lthsweep.reduce.frames"
    )

    assert not loaded & {"torch", "torchvision", "sklearn"}
    assert "pandas" in loaded


@pytest.mark.slow
def test_merging_imports_no_pandas():
    """Merging and loading need neither frames nor queries nor statistics on import."""
    loaded = modules_after("import lthsweep.api, lthsweep.reduce.merge")

    assert not loaded & {"pandas", "duckdb", "scipy", "torch"}


def test_results_copied_without_their_records_keep_their_table(sweep, plan, tmp_path):
    """A table is small enough to be mailed or committed; merging must not replace it by missing rows."""
    write_records(sweep, plan)
    merge(sweep, plan)
    copy = SweepDir(tmp_path / "copy")
    copy.path.mkdir()
    copy.table.write_bytes(sweep.table.read_bytes())
    copy.sweep_toml.write_bytes(sweep.sweep_toml.read_bytes())

    with pytest.raises(StoreError, match="a table and no records"):
        merge(copy, plan)

    assert load(copy.path).tickets.equals(load(sweep.path).tickets)
    assert copy.table.read_bytes() == sweep.table.read_bytes()
