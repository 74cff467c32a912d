"""`explain` as users see it: groups of runs, one run with its ancestors, and JSON."""

from __future__ import annotations

import json

import pytest

from lthsweep.plan.expand import expand
from lthsweep.spec import load_spec
from lthsweep.store import failures
from lthsweep.store.layout import SweepDir
from tests.commands.in_process import lthsweep
from tests.launch.sweeps import write_tiny

CELL = "sparsity=0.8,rewind_epoch=1,seed=0"


@pytest.fixture
def file(tmp_path):
    return write_tiny(tmp_path)


@pytest.fixture
def sweep(file, tmp_path):
    """The directory of the tiny sweep, whose dense run failed."""
    sweep = SweepDir(tmp_path / "sweep").create()
    sweep.sweep_toml.write_bytes(file.read_bytes())
    dense = next(iter(expand(load_spec(file)).runs))
    failures.record_failure(sweep, dense, failures.Failure("it broke", host="node7", attempt=3))
    return sweep


@pytest.fixture
def keys(file):
    """The keys of the dense run and of the four tickets."""
    return list(expand(load_spec(file)).runs)


@pytest.fixture
def explain(cache):
    """Runs `explain`; it succeeds whatever the state of the runs."""

    def explain(*words):
        ended = lthsweep("explain", *words, cache=cache)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    return explain


@pytest.fixture
def read(explain):
    return lambda *words: json.loads(explain(*words, "--json"))


def test_runs_with_one_cause_form_a_group(sweep, keys, explain):
    """Three of them are named, the others counted."""
    text = explain(sweep.path)

    assert "1 run failed: it broke" in text
    assert "4 runs blocked: by dense seed 0" in text
    assert all(key[:8] in text for key in keys[:4])
    assert keys[4][:8] not in text
    assert "1 more" in text
    assert text.count(f"command: lthsweep run {sweep.path}") == 2


def test_a_cell_is_explained_with_its_ancestors(sweep, keys, explain, read):
    """The ticket first."""
    ticket = keys[4]

    assert [one["key"] for one in read(sweep.path, CELL)] == [ticket, keys[0]]
    assert [one["key"] for one in read(sweep.path, ticket[:8])] == [ticket, keys[0]]
    text = explain(sweep.path, CELL)
    assert text.index(ticket) < text.index(f"({keys[0]}): failed: it broke")
    assert keys[1] not in text


def test_json_has_every_run_in_plan_order(sweep, keys, read):
    """With state, reason, change, and command."""
    found = read(sweep.path)

    assert [one["key"] for one in found] == keys
    assert [one["state"] for one in found] == ["failed", *["blocked"] * 4]
    assert found[0] == {
        "key": keys[0],
        "run": "dense seed 0",
        "state": "failed",
        "reason": found[0]["reason"],
        "change": found[0]["change"],
        "command": f"lthsweep run {sweep.path}",
    }
    assert "node7" in found[0]["reason"]


def test_explain_writes_no_files(sweep, explain):
    """It works in directories of other users."""
    before = {path: path.read_bytes() for path in sweep.path.rglob("*") if path.is_file()}

    explain(sweep.path)

    assert {path: path.read_bytes() for path in sweep.path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("is_elsewhere", [False, True])
def test_a_plan_without_a_directory_is_explained(file, tmp_path, read, is_elsewhere):
    """Its commands name the file, since there is no directory yet."""
    out = ("--out", tmp_path / "new") if is_elsewhere else ()

    dense, *tickets = read(file, *out)

    assert dense["state"] == "ready"
    assert {one["state"] for one in tickets} == {"waiting"}
    assert {one["command"] for one in (dense, *tickets)} == {" ".join(map(str, ("lthsweep run", file, *out)))}
    assert all(dense["key"][:8] in one["reason"] for one in tickets)
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_a_finished_sweep_has_nothing_to_explain(finished, explain, read):
    """Finished runs are only counted."""
    text = explain(finished.path)

    assert "5 of 5 runs done" in text
    assert "command:" not in text
    assert [(one["state"], one["command"]) for one in read(finished.path)] == [("done", "")] * 5
    assert [one["state"] for one in read(finished.path, CELL)] == ["done"]  # its ancestor is done, too


def test_an_unknown_cell_is_bad_input(sweep, cache):
    """Exit code 2, with the cells of the grid."""
    ended = lthsweep("explain", sweep.path, "sparsity=0.9", cache=cache)

    assert ended.returncode == 2
    assert "0.8" in ended.stderr
