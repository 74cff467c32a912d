"""A sweep in real worker processes: whole, interrupted, killed, grown."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from lthsweep.store.layout import SweepDir
from lthsweep.store.publish import differences
from lthsweep.store.record import decode
from tests.launch.processes import PATIENCE, wait_until
from tests.launch.sweeps import command, environment, lthsweep, write_tiny

pytestmark = pytest.mark.slow


def records(sweep):
    return {key: decode(sweep.record(key)) for key in sweep.record_keys()}


def assert_same_science(ours, theirs):
    assert ours.keys() == theirs.keys()
    assert {key: differences(ours[key], theirs[key]) for key in ours} == dict.fromkeys(ours, ())
    for key in ours:
        assert ours[key].weights == theirs[key].weights, "weights differ bit for bit"


def workers_of(pid):
    """Process ids of the workers of a coordinator."""
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    )
    return [int(word) for word in listed.stdout.split()]


def heartbeats(sweep):
    """Heartbeat files of workers that have started."""
    return list(sweep.workers.glob("*.json"))


def test_every_run_has_record_weights_log_and_audit(finished):
    """Finished means a valid record."""
    found = records(finished)

    assert sorted(record.kind for record in found.values()) == ["dense"] + ["ticket"] * 4
    assert all(record.audit["ok"] for record in found.values())
    assert all(finished.log(key).read_text().count("attempt 1") == 1 for key in found)
    for key, record in found.items():
        for name in record.weights:
            assert (finished.weights / key / name).is_file()


def test_only_results_are_left(finished):
    """Claims, checkpoints and heartbeats are removed when their runs are done."""
    for folder in (finished.claims, finished.checkpoints, finished.workers, finished.failures):
        assert list(folder.iterdir()) == []
    assert not list(finished.logs.glob("worker-*"))


def test_a_second_run_trains_nothing(finished, cache):
    """`run` is idempotent."""
    before = {key: finished.record(key).read_bytes() for key in finished.record_keys()}

    again = lthsweep("run", finished.path, cache=cache)

    assert again.returncode == 0
    assert "0 runs finished in 0s, 5 were done before" in again.stdout
    assert {key: finished.record(key).read_bytes() for key in finished.record_keys()} == before


def test_a_grown_grid_replays_the_dense_run(finished, cache, tmp_path):
    """A rewind epoch that joins later needs a snapshot that the dense run did not write. Only new runs are trained."""
    grid = ["--set", "grid.rewind_epoch=[0, 1, 0.5]"]
    sweep = SweepDir(tmp_path / "sweep")
    lthsweep("run", write_tiny(tmp_path), "--out", sweep.path, cache=cache)
    trunk = next(key for key, record in records(sweep).items() if record.kind == "dense")
    before = sweep.snapshot_steps(trunk)

    planned = json.loads(lthsweep("plan", sweep.path, *grid, "--json", cache=cache).stdout)
    grown = lthsweep("run", sweep.path, *grid, cache=cache)

    assert (planned["runs"], planned["done"]) == (7, 5)
    assert "3 runs finished" in grown.stdout  # two tickets, one replay
    assert len(sweep.record_keys()) == 7
    assert set(sweep.snapshot_steps(trunk)) - set(before) == {round(0.5 * (1437 - 100) // 32)}
    whole = SweepDir(tmp_path / "whole")
    lthsweep("run", write_tiny(tmp_path), *grid, "--out", whole.path, cache=cache)
    ours, theirs = records(sweep), records(whole)
    for key in ours.keys() - {trunk}:
        assert differences(ours[key], theirs[key]) == ()


def test_records_of_another_recipe_are_kept_apart(finished, cache, tmp_path):
    """`run` reports them."""
    sweep = SweepDir(tmp_path / "sweep")
    lthsweep("run", write_tiny(tmp_path), "--out", sweep.path, cache=cache)

    changed = lthsweep("run", write_tiny(tmp_path, lr=0.02), "--out", sweep.path, cache=cache)

    assert f"5 records in {sweep.path} belong to another grid or recipe" in changed.stdout
    assert len(sweep.record_keys()) == 10
    table = json.loads(lthsweep("query", sweep.path, "--json", cache=cache).stdout)
    assert sum(row["n"] for row in table) == 4


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_sweep_resumes_to_the_same_bits(finished, cache, tmp_path, start, held, number):
    """It exits with 3. The signal reaches only the coordinator; workers write checkpoints."""
    sweep = SweepDir(tmp_path / "sweep")
    arguments = command("run", write_tiny(tmp_path), "--out", sweep.path)
    running = start(arguments, env=environment(cache) | held.variables)
    wait_until(lambda: heartbeats(sweep), running)
    running.send_signal(number)
    held.let_go()
    output = running.end()

    assert running.returncode == 3, output
    assert "goes on" in output
    assert len(sweep.record_keys()) < 5
    assert lthsweep("run", sweep.path, cache=cache).returncode == 0
    assert_same_science(records(sweep), records(finished))


LONG = {"epochs": 60, "checkpoint_seconds": 0.02, "schedule": "iterative"}


@pytest.fixture(scope="session")
def long_sweep(tmp_path_factory, cache):
    """A sweep that lasts long enough to be killed, after an undisturbed run."""
    folder = tmp_path_factory.mktemp("long")
    ended = lthsweep("run", write_tiny(folder, **LONG), "--out", folder / "sweep", cache=cache)
    assert ended.returncode == 0, ended.stderr
    return SweepDir(folder / "sweep")


@pytest.mark.chaos
@pytest.mark.parametrize("trial", range(3))
def test_workers_killed_at_random_change_no_bits(long_sweep, cache, tmp_path, start, trial):
    """The out-of-memory killer sends SIGKILL; the run resumes from its last checkpoint."""
    sweep = SweepDir(tmp_path / "sweep")
    arguments = command("run", write_tiny(tmp_path, **LONG), "--out", sweep.path, "--set", "local.retries=50")
    random = np.random.default_rng(trial)
    running = start(arguments, env=environment(cache))
    wait_until(lambda: heartbeats(sweep), running)
    kills = 0
    while running.poll() is None and kills < 5:
        # The first kill falls into the dense run, the others anywhere.
        time.sleep(random.uniform(0.0, 0.2 if kills == 0 else 1.5))
        with contextlib.suppress(IndexError, ProcessLookupError):  # no worker, or it has just exited
            os.kill(random.permutation(workers_of(running.pid)).tolist()[0], signal.SIGKILL)
            kills += 1
    output = running.end()

    assert running.returncode == 0, output
    assert kills
    assert_same_science(records(sweep), records(long_sweep))


@pytest.mark.chaos
def test_a_killed_coordinator_leaves_no_orphans(finished, cache, tmp_path, start, held):
    """The input of its workers closes, so they write checkpoints and exit. No work is lost."""
    sweep = SweepDir(tmp_path / "sweep")
    arguments = command("run", write_tiny(tmp_path), "--out", sweep.path)
    running = start(arguments, env=environment(cache) | held.variables)
    wait_until(lambda: heartbeats(sweep), running)
    orphans = workers_of(running.pid)
    running.kill()
    running.wait()
    held.let_go()

    assert orphans
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in orphans))
    assert lthsweep("run", sweep.path, cache=cache).returncode == 0
    assert_same_science(records(sweep), records(finished))


@pytest.mark.chaos
def test_two_coordinators_train_every_run_once(finished, cache, tmp_path, start):
    """Claims on disk divide the runs between users who do not communicate."""
    sweep = SweepDir(tmp_path / "sweep")
    file = write_tiny(tmp_path)
    arguments = command("run", file, "--out", sweep.path)
    both = [start(arguments, env=environment(cache)) for _ in range(2)]
    output = [process.end() for process in both]

    assert [process.returncode for process in both] == [0, 0], output
    assert_same_science(records(sweep), records(finished))
    for key in sweep.record_keys():
        trained = [
            line for line in sweep.log(key).read_text().splitlines() if "--- finished: test accuracy" in line
        ]
        assert len(trained) == 1, f"{key} was trained {len(trained)} times"
    assert not sweep.conflicts.exists()


def test_tickets_of_a_diverged_dense_run_are_skipped(cache, tmp_path):
    """There are no weights to rank. This is a result, not a failure to retry."""
    sweep = SweepDir(tmp_path / "sweep")

    ended = lthsweep("run", write_tiny(tmp_path, lr=1e9), "--out", sweep.path, cache=cache)
    again = lthsweep("run", sweep.path, cache=cache)
    state = json.loads(lthsweep("status", sweep.path, "--json", cache=cache).stdout)["states"]
    table = json.loads(lthsweep("query", sweep.path, "--json", cache=cache).stdout)

    assert (ended.returncode, again.returncode) == (0, 0)
    assert "DIVERGED" in ended.stdout
    assert "4 tickets skipped: their dense run or an earlier level diverged" in ended.stdout
    assert [record.outcome for record in records(sweep).values()] == ["diverged"]
    assert (state["done"], state["skipped"], state["failed"]) == (1, 4, 0)
    assert {(row["n_diverged"], row["verdict"]) for row in table} == {(1, "undecided")}


@pytest.mark.parametrize("rule", ['exclude=["fc9"]', "rates={fc9=0.5}"])
def test_a_pattern_without_layers_fails_before_training(cache, tmp_path, rule):
    """The first ticket would find it after the dense run was paid for."""
    ended = lthsweep(
        *("run", write_tiny(tmp_path), "--out", tmp_path / "sweep"),
        *("--set", 'prune.scope="layer"', "--set", f"prune.{rule}"),
        cache=cache,
    )

    assert ended.returncode == 1
    assert "0 runs finished" in ended.stdout and "did you mean 'fc1'" in ended.stdout.replace("fc3", "fc1")


def test_a_worker_that_cannot_start_is_reported(cache, tmp_path):
    """The message contains its output: endless retries would hide a broken installation."""
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "torch.py").write_text("raise ImportError('libtorch is not here')\n")
    surroundings = {**environment(cache), "PYTHONPATH": str(tmp_path / "broken")}
    arguments = command("run", write_tiny(tmp_path), "--out", tmp_path / "sweep")

    ended = subprocess.run(
        arguments, env=surroundings, capture_output=True, text=True, timeout=PATIENCE, check=False
    )

    assert ended.returncode == 1
    assert "libtorch is not here" in ended.stderr
    assert "lthsweep doctor" in ended.stderr


@pytest.mark.chaos
def test_a_sweep_resumes_after_a_full_disk(finished, cache, tmp_path, small_disk):
    """A record appears whole or not at all."""
    sweep = SweepDir(small_disk / "sweep")
    filler = small_disk / "filler"

    full = lthsweep("run", write_tiny(tmp_path), "--out", sweep.path, "--set", "local.retries=0", cache=cache)
    held = records(sweep)  # decodes every record
    filler.unlink()
    repaired = lthsweep("run", sweep.path, cache=cache)

    assert full.returncode == 1
    assert "no space for" in full.stdout + full.stderr
    assert len(held) < 5
    assert repaired.returncode == 0, repaired.stdout + repaired.stderr
    assert_same_science(records(sweep), records(finished))
