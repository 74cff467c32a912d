"""The command line as users see it: output, files, exit codes."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
import tomllib

import pytest
from typer.main import get_command

from lthsweep.cli import app
from lthsweep.store.layout import SweepDir
from tests.commands.in_process import lthsweep
from tests.launch import sweeps
from tests.launch.sweeps import write_tiny

FORMULA = {"seeds": 2, "epochs": 2, "rewinds": 2, "sparsities": 2, "mean_k": 0.5}


@pytest.fixture
def own(finished, tmp_path):
    """A copy of the finished sweep that a test can change."""
    return SweepDir(shutil.copytree(finished.path, tmp_path / "sweep"))


def test_help_lists_all_visible_commands(cache):
    """The hidden command is for the sweep's own jobs."""
    text = lthsweep("--help", cache=cache).stdout
    commands = get_command(app).commands.items()

    assert all((f" {name} " in text) != command.hidden for name, command in commands)


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["presets"], ["presets", "digit-lenet"]])
def test_a_separate_process_behaves_the_same(cache, arguments):
    """The other tests run commands in this process, where they start faster."""
    apart, here = sweeps.lthsweep(*arguments, cache=cache), lthsweep(*arguments, cache=cache)

    assert (apart.returncode, apart.stdout, apart.stderr) == (here.returncode, here.stdout, here.stderr)


def test_init_writes_a_valid_file_once(cache, tmp_path):
    file = tmp_path / "my.toml"

    first = lthsweep("init", file, cache=cache)
    second = lthsweep("init", file, cache=cache)

    assert first.returncode == 0
    assert tomllib.loads(file.read_text())["sweep"]
    assert lthsweep("plan", file, cache=cache).returncode == 0
    assert second.returncode == 2
    assert "--force" in second.stderr


def test_presets_are_listed_and_printed(cache):
    listed = json.loads(lthsweep("presets", "--json", cache=cache).stdout)

    assert {"digits-mobilenetv2", "cifar10-mobilenetv2"} <= listed.keys()
    assert tomllib.loads(lthsweep("presets", "digits-mobilenetv2", cache=cache).stdout)["grid"]


def test_profiles_are_listed_printed_and_checked(cache, tmp_path):
    """A copied profile is valid; a wrong key in it is an error that names the right one."""
    listed = json.loads(lthsweep("profiles", "--json", cache=cache).stdout)
    printed = lthsweep("profiles", "cannon", cache=cache).stdout
    mine = tmp_path / "mine.toml"
    mine.write_text(printed)
    same = lthsweep("profiles", mine, cache=cache)
    mine.write_text(printed.replace("gpu_form =", "gpu_from ="))
    wrong = lthsweep("profiles", mine, cache=cache)

    assert listed["cannon"]["date"] and listed["generic"]["description"]
    assert same.stdout == printed
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "did you mean `gpu_form`?" in wrong.stderr


def test_plan_counts_epochs_and_writes_nothing(cache, tmp_path):
    file = write_tiny(tmp_path, seeds="[0, 1]")

    planned = json.loads(lthsweep("plan", file, "--out", tmp_path / "sweep", "--json", cache=cache).stdout)

    assert planned["missing_data"] == []
    s, t, r, p, k = FORMULA.values()
    assert planned["epochs"] == s * (t + r * p * (t - k))
    assert planned["epochs_naive"] == s * r * p * (2 * t - k)
    assert {name: planned[name] for name in ("cells", "runs", "dense_runs", "ticket_runs", "done")} == {
        "cells": 8,
        "runs": 10,
        "dense_runs": 2,
        "ticket_runs": 8,
        "done": 0,
    }
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["tiny.toml"]


def test_plan_of_a_finished_sweep_knows_times(finished, cache):
    planned = json.loads(lthsweep("plan", finished.path, "--json", "--runs", cache=cache).stdout)

    assert (planned["done"], planned["epochs_left"]) == (5, 0), planned
    assert next(iter(planned["seconds_per_epoch"].values())) > 0
    assert all(run["done"] for run in planned["run_list"])


@pytest.mark.slow
def test_plan_profile_leaves_no_files(cache, tmp_path):
    file = write_tiny(tmp_path)

    planned = lthsweep("plan", file, "--profile", "--json", "--out", tmp_path / "sweep", cache=cache)

    assert json.loads(planned.stdout)["seconds"]["work"] > 0
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["tiny.toml"]


def test_all_errors_of_a_file_are_reported(cache, tmp_path):
    file = write_tiny(tmp_path)
    file.write_text(file.read_text().replace("sparsity =", "spasity =").replace("epochs = 2", "epochs = 0"))

    ended = lthsweep("run", file, "--out", tmp_path / "sweep", cache=cache)

    assert ended.returncode == 2
    assert "did you mean" in ended.stderr
    assert "sparsity" in ended.stderr
    assert "train.epochs" in ended.stderr
    assert not (tmp_path / "sweep").exists()


def test_missing_data_names_the_download_command(cache, tmp_path):
    file = write_tiny(tmp_path)
    file.write_text(file.read_text().replace('"digits", size = 8', '"mnist"'))

    ended = lthsweep("run", file, "--out", tmp_path / "sweep", cache=tmp_path / "empty cache")

    assert ended.returncode == 2
    assert "lthsweep data prepare mnist" in ended.stderr
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan", "no-such-file.toml"], "no-such-file.toml"),
        (["run", "digits-lenet", "--on", "moon"], "--on 'moon'"),
        (["presets", "digit-lenet"], "digits-lenet"),
        (["profiles", "canon"], "cannon"),
        (["doctor", "no-such-folder"], "not a sweep directory"),
        (["plan", "digits-lenet", "--set", "train.epoch=3"], "did you mean `epochs`?"),
        (
            ["plan", "digits-lenet", "--set", "trian.epochs=3"],
            "did you mean `train.epochs`? tables: sweep, train, prune, grid,",
        ),
        (["data", "prepare", "mnst"], "unknown data set or preset 'mnst'; did you mean 'mnist'?"),
    ],
)
def test_bad_input_is_a_message_with_exit_2(cache, arguments, message):
    ended = lthsweep(*arguments, cache=cache)

    assert ended.returncode == 2
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr


def test_status_exits_with_3_while_incomplete(finished, cache, tmp_path):
    whole = json.loads(lthsweep("status", finished.path, "--json", cache=cache).stdout)
    fresh = lthsweep("status", write_tiny(tmp_path), "--out", tmp_path / "sweep", cache=cache)

    assert whole["states"]["done"] == 5
    assert fresh.returncode == 3
    assert "0 of 5 runs done, 0 running, 1 ready, 4 waiting" in fresh.stdout


def test_logs_accept_a_key_prefix(finished, cache):
    key = finished.record_keys()[0]

    ended = lthsweep("logs", finished.path, key[:6], cache=cache)

    assert f"({key}), attempt 1" in ended.stdout
    assert lthsweep("logs", finished.path, "zzz", cache=cache).returncode == 2


def test_query_supports_csv_json_and_sql(finished, cache):
    ask = ["query", finished.path, "sparsity >= 0.8", "--columns", "sparsity,rewind_epoch,n"]

    as_json = json.loads(lthsweep(*ask, "--json", cache=cache).stdout)
    as_csv = list(csv.DictReader(io.StringIO(lthsweep(*ask, "--csv", cache=cache).stdout)))
    statement = "SELECT count(*) AS points, max(n) AS seeds FROM tickets"
    counted = json.loads(lthsweep("query", finished.path, "--sql", statement, "--json", cache=cache).stdout)

    assert [row["rewind_epoch"] for row in as_json] == [0, 1]
    assert [row["sparsity"] for row in as_csv] == ["0.8", "0.8"]
    assert counted == [{"points": 4, "seeds": 1}]


def test_a_bad_query_is_a_clear_error(finished, cache):
    ended = lthsweep("query", finished.path, "sparsty > 1", cache=cache)

    assert ended.returncode == 2
    assert "sparsity" in ended.stderr


def test_merge_twice_gives_the_same_bytes(finished, cache):
    lthsweep("merge", finished.path, "--full", cache=cache)
    before = finished.table.read_bytes()

    lthsweep("merge", finished.path, cache=cache)

    assert finished.table.read_bytes() == before


@pytest.mark.slow
def test_report_writes_figures_and_one_page(finished, cache):
    ended = lthsweep("report", finished.path, cache=cache)

    assert ended.returncode == 0, ended.stderr
    assert finished.report.read_text().lstrip().lower().startswith("<!doctype html>")
    kinds = {path.suffix for path in finished.figures.iterdir()}
    assert kinds == {".png", ".svg"}


def test_an_empty_result_gives_a_reason(finished, cache):
    """Headings without rows would not explain; JSON stays an empty list."""
    controls = lthsweep("query", finished.path, "--table", "controls", cache=cache)
    no_match = lthsweep("query", finished.path, "sparsity > 2", cache=cache)
    for_programs = lthsweep("query", finished.path, "--table", "structures", "--json", cache=cache)

    assert controls.stdout.startswith("no rows: this sweep has no axis of controls; add `control = ")
    assert no_match.stdout == "no rows: none of the 4 rows of tickets satisfy sparsity > 2\n"
    assert json.loads(for_programs.stdout) == []


@pytest.mark.slow
def test_doctor_quarantines_a_flipped_bit_for_retraining(own, cache):
    assert lthsweep("doctor", own.path, cache=cache).returncode == 0
    victim = own.record(own.record_keys()[0])
    damaged = bytearray(victim.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    victim.write_bytes(damaged)

    found = lthsweep("doctor", own.path, cache=cache)
    moved = lthsweep("doctor", own.path, "--quarantine", cache=cache)

    assert found.returncode == 1
    assert victim.name in found.stdout
    assert moved.returncode == 1
    assert f"moved    {own.quarantine}" in moved.stdout
    assert not victim.exists()
    assert lthsweep("run", own.path, cache=cache).returncode == 0
    assert lthsweep("doctor", own.path, cache=cache).returncode == 0


@pytest.mark.slow
def test_doctor_checks_torch_and_needs_no_slurm(cache, tmp_path):
    """Local runs do not need SLURM."""
    ended = lthsweep("doctor", "--json", cache=cache, environ={"PATH": str(tmp_path)})

    installation = {check["name"]: check for check in json.loads(ended.stdout)}
    assert installation["import torch, torchvision"]["ok"]
    assert installation["SLURM"] == {"name": "SLURM", "found": "not installed", "ok": True, "needed": True}


def test_silent_slurm_fails_only_on_request(cache, tmp_path, monkeypatch):
    """SLURM packages can be installed on a machine without a cluster."""
    for name in ("sbatch", "squeue", "scancel", "scontrol"):
        command = tmp_path / name
        command.write_text("#!/bin/sh\necho 'error: Unable to contact slurm controller' >&2\nexit 1\n")
        command.chmod(0o755)
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    monkeypatch.setattr(sys, "executable", "/bin/true")  # skips the slow import of torch

    local = lthsweep("doctor", cache=cache, environ=path)
    on_slurm = lthsweep("doctor", "--on", "slurm", cache=cache, environ=path)

    assert local.returncode == 0, local.stdout
    assert "note  SLURM: does not answer: " in local.stdout
    assert on_slurm.returncode == 1
    assert "BAD   SLURM: does not answer: " in on_slurm.stdout


def test_doctor_names_folders_writable_by_others(finished, cache):
    finished.state.chmod(0o770)
    try:
        ended = lthsweep("doctor", finished.path, cache=cache)
    finally:
        finished.state.chmod(0o700)

    assert ended.returncode == 0
    assert f"{finished.state}: other users can write here (mode 770)" in ended.stdout


def test_data_list_prepare_and_verify(cache, tmp_path):
    listed = json.loads(lthsweep("data", "list", "--json", cache=cache).stdout)
    prepared = lthsweep("data", "prepare", "digits", "--size", "16", cache=cache)
    verified = lthsweep("data", "verify", "digits", "--size", "16", cache=cache)

    assert {row["name"] for row in listed} >= {"digits", "mnist", "cifar10", "cifar100", "tiny_imagenet"}
    assert "1,437 training and 360 test images of 16×16×1" in prepared.stdout
    assert verified.returncode == 0
    assert "good" in verified.stdout


@pytest.mark.slow
def test_the_same_sweep_from_python(finished):
    """`lthsweep.load` reads the files that the command line wrote."""
    import lthsweep as package

    sweep = package.load(finished.path)

    assert len(sweep.tickets) == 4
    assert set(sweep.runs["key"]) == set(finished.record_keys())
    assert len(sweep.plan.runs) == 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["query", "{sweep}", "--columns", "sparsity,sparsity"], "listed twice"),
        (["query", "{sweep}", "--csv", "--json"], "cannot be combined"),
        (["query", "{tmp}/tiny.toml"], "give its directory"),
        (["query", "{tmp}/nothing"], "no sweep at"),
        (["merge", "{tmp}/tiny.toml", "--out", "{tmp}/never"], "there is no sweep at"),
        (["report", "{tmp}/tiny.toml", "--out", "{tmp}/never"], "there is no sweep at"),
        (["run", "{tmp}/tiny.toml", "--out", "{tmp}/tiny.toml"], "is a file"),
        (["run", "{tmp}/tiny.toml", "--out", "{tmp}"], "is not empty and not a sweep directory"),
        (
            [
                "plan",
                "{tmp}/tiny.toml",
                "--set",
                "grid.seed={many}",
                "--set",
                "grid.rewind_epoch={fractions}",
            ],
            "are the most",
        ),
    ],
)
def test_usage_errors_have_no_traceback(finished, cache, tmp_path, arguments, message):
    write_tiny(tmp_path)
    many = str(list(range(2000)))
    fractions = str([i / 1000 for i in range(1000)])
    filled = [
        part.format(sweep=finished.path, tmp=tmp_path, many=many, fractions=fractions) for part in arguments
    ]

    ended = lthsweep(*filled, cache=cache)

    assert ended.returncode == 2, ended.stderr[-500:]
    assert message in ended.stderr


@pytest.mark.slow
def test_an_unmatched_exclude_pattern_fails_before_training(cache, tmp_path):
    sweep = tmp_path / "sweep"
    changes = ["--set", "prune.exclude=['fc9']", "--set", "local.workers=1"]

    ended = lthsweep("run", write_tiny(tmp_path), "--out", sweep, *changes, "-q", cache=cache)

    assert ended.returncode == 1
    assert "fc9" in ended.stderr
    assert not list((sweep / "records").iterdir())


def test_a_changed_file_keeps_the_previous_one(own, cache):
    before = own.sweep_toml.read_bytes()

    lthsweep("run", own.path, "--set", "grid.sparsity=[0.5]", cache=cache)

    assert (own.path / "sweep.previous.toml").read_bytes() == before
    assert own.sweep_toml.read_bytes() != before
