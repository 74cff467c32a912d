"""Controls through the command line: trained, interrupted nowhere, tabulated, and added to a sweep that is done."""

from __future__ import annotations

import json

import pytest

from lthsweep.store.layout import SweepDir
from lthsweep.store.record import decode
from tests.launch.sweeps import lthsweep, write_tiny

pytestmark = pytest.mark.slow

CONTROLS = '["ticket", "reinit", "reinit-masked", "random", "random-global", "fine-tune", "lr-rewind"]'


def asked(sweep, cache, *words):
    return json.loads(lthsweep("query", sweep.path, *words, "--json", cache=cache).stdout)


def test_controls_that_join_later_are_trained_alone(finished, cache, tmp_path):
    """Every row of both tables is filled."""
    sweep = SweepDir(tmp_path / "sweep")
    file = write_tiny(tmp_path)
    lthsweep("run", file, "--out", sweep.path, cache=cache)
    before = {key: sweep.record(key).read_bytes() for key in sweep.record_keys()}

    grown = lthsweep("run", sweep.path, "--set", f"grid.control={CONTROLS}", cache=cache)

    # Two sparsities of two rewind epochs: 4 each of random, random-global, fine-tune, lr-rewind; 2 of either reinit.
    assert grown.returncode == 0, grown.stdout + grown.stderr
    assert "20 runs finished" in grown.stdout
    assert "ticket − control, paired by seed" in grown.stdout
    found = {key: decode(sweep.record(key)) for key in sweep.record_keys()}
    assert all(sweep.record(key).read_bytes() == data for key, data in before.items())
    assert all(record.audit["ok"] for record in found.values())
    rows = asked(sweep, cache, "--table", "controls")
    assert len(rows) == 2 * 2 * 6
    assert {(row["n"], row["verdict"]) for row in rows} == {(1, "undecided")}
    for row in rows:
        assert row["difference"] == pytest.approx(row["ticket_accuracy"] - row["control_accuracy"])
    tickets = asked(sweep, cache)
    assert len(tickets) == 2 * 2 * 7
    assert {row["control"] for row in tickets} == {row["prune.control"] for row in tickets}
    assert {row["method"] for row in tickets} == {"magnitude"}


def test_chains_controls_and_one_shot_share_a_grid(cache, tmp_path):
    """The report draws them."""
    sweep = SweepDir(tmp_path / "sweep")
    file = write_tiny(tmp_path, schedule="iterative")

    ended = lthsweep(
        "run",
        file,
        *("--out", sweep.path, "--set", 'grid.control=["ticket", "reinit", "random"]'),
        *("--set", "grid.rewind_epoch=[0]"),
        *("--set", 'grid."prune.method"=["magnitude", "snip", "synflow"]'),
        cache=cache,
    )
    drawn = lthsweep("report", sweep.path, cache=cache)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert drawn.returncode == 0, drawn.stdout + drawn.stderr
    runs = asked(sweep, cache, "--table", "runs", "kind = 'ticket'")
    levels = {(run["method"], run["control"], run["level"]) for run in runs if run["sparsity"] == 0.8}
    assert levels == {
        (method, control, 2 if method == "magnitude" else 1)
        for method in ("magnitude", "snip", "synflow")
        for control in ("ticket", "reinit", "random")
    }
    assert all(run["audit_ok"] for run in runs)
    assert len(list(sweep.figures.glob("controls-*.svg"))) == 3
    assert "Ticket against controls" in sweep.report.read_text(encoding="utf-8")
