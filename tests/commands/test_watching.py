"""`status` and `logs` as a user meets them: what they say, what they never do."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import asdict
from functools import partial

import pytest

from lthsweep.launch.slurm.cluster.queue import Element
from lthsweep.launch.slurm.halt import halt
from lthsweep.launch.slurm.journal import Submission, note_id, open_journal, publish_intent
from lthsweep.plan.expand import expand
from lthsweep.spec import dump_spec, load_spec
from lthsweep.store import claims, failures, heartbeats, plainjson
from lthsweep.store.layout import SweepDir
from lthsweep.store.owners import this_process
from lthsweep.store.record import decode
from tests.commands.asked import lthsweep
from tests.launch.sweeps import write_tiny


@pytest.fixture
def sweep(tmp_path):
    """The tiny sweep's directory, with nothing done."""
    spec = load_spec(write_tiny(tmp_path))
    sweep = SweepDir(tmp_path / "sweep").create()
    sweep.sweep_toml.write_text(dump_spec(spec))
    return sweep


@pytest.fixture
def keys(sweep):
    """The dense run's key, then those of the four tickets."""
    return list(expand(load_spec(sweep.sweep_toml)).runs)


@pytest.fixture
def ask(cache, tmp_path):
    """A command on a machine without SLURM."""
    nowhere = tmp_path / "bin"
    nowhere.mkdir()

    return partial(lthsweep, cache=cache, environ={"PATH": str(nowhere)})


def submit(sweep, *parcels, number=1, kind="train", job="77"):
    open_journal(sweep)
    intent = publish_intent(sweep, Submission(number, "", kind, parcels, minutes=10))
    note_id(sweep, intent.name, job)
    return intent.name


def queue(sweep, *elements):
    """What another process saw of the queue a moment ago."""
    content = {"taken": time.time(), "elements": [asdict(element) for element in elements]}
    (sweep.slurm / "queue.json").write_bytes(plainjson.dump(content))


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_status_says_what_waits_for_what_and_writes_nothing(sweep, keys, ask):
    before = contents(sweep.path)

    said = ask("status", sweep.path, "--runs")
    told = json.loads(ask("status", sweep.path, "--json").stdout)

    assert said.returncode == 3
    assert (
        "0 of 5 runs done, 0 running, 1 ready, 4 waiting, 0 failed, 0 blocked by a failed run" in said.stdout
    )
    assert (
        f"waiting   {keys[1][:8]} ticket sparsity 0.5 rewind 0 seed 0: for dense seed 0 ({keys[0][:8]})"
        in said.stdout
    )
    assert told["runs"] == len(told["run_list"]) == 5
    assert told["run_list"][1]["waits_for"] == keys[0]
    assert told["slurm"] is None
    assert contents(sweep.path) == before


def test_status_says_how_a_run_is_trained(sweep, keys, ask):
    beat = heartbeats.Heartbeat("w", "node7", 3, keys[0], "train", 1.5, 2, rate=5120, time=time.time())
    heartbeats.write_heartbeat(sweep, beat)
    assert claims.take(sweep, keys[0], this_process(), 60)

    said = ask("status", sweep.path).stdout
    told = json.loads(ask("status", sweep.path, "--json").stdout)

    assert "dense seed 0: epoch 1.5 of 2, 5,120 samples/s, host node7 pid 3, seen" in said
    assert [(run["key"], run["images_per_second"]) for run in told["running"]] == [(keys[0], 5120)]


def test_status_lists_every_run_that_is_trained_as_one(sweep, keys, ask):
    """One worker says so of all of them."""
    others = {keys[2]: 0.5}
    beat = heartbeats.Heartbeat("w", "node7", 3, keys[1], "train", 1.5, 2, time=time.time(), others=others)
    heartbeats.write_heartbeat(sweep, beat)
    assert all(claims.take(sweep, key, this_process(), 60) for key in keys[1:3])

    told = json.loads(ask("status", sweep.path, "--json").stdout)

    assert [(run["key"], run["epoch"]) for run in told["running"]] == [(key, 1.5) for key in keys[1:3]]


def test_status_names_failures_and_what_they_block_and_leaves_with_1(sweep, keys, ask):
    failures.record_failure(sweep, keys[0], failures.Failure("it broke", host="node7", attempt=3))

    said = ask("status", sweep.path)

    assert said.returncode == 1
    assert f"failed    {keys[0][:8]} dense seed 0: it broke (attempt 3, host node7)" in said.stdout
    assert f"blocked   {keys[4][:8]} ticket sparsity 0.8 rewind 1 seed 0: by dense seed 0" in said.stdout


def test_a_canceled_run_is_no_failure(sweep, keys, ask):
    failures.record_failure(sweep, keys[1], failures.Failure("somebody", kind=failures.CANCELLED))

    said = ask("status", sweep.path)

    assert said.returncode == 3
    assert "1 canceled" in said.stdout


def test_status_says_why_slurm_has_not_started_a_job_and_who_comes_after(sweep, keys, ask):
    name = submit(sweep, tuple(keys[:3]), ())
    tick = submit(sweep, number=2, kind="tick", job="78")
    queue(
        sweep,
        Element("77", 0, name, "PENDING", "Priority", starts=time.time() + 3600 + 30),
        Element("78", None, tick, "PENDING", "Dependency"),
    )

    said = ask("status", sweep.path)
    told = json.loads(ask("status", sweep.path, "--json").stdout)

    assert said.returncode == 3
    assert "3 pending, 2 to be submitted" in said.stdout
    assert f"follow-up: job 78 {tick}, Dependency" in said.stdout
    assert "pending job 77, 1 element, 3 runs: Priority, expected to start in 1h00m" in said.stdout
    assert "2 runs to be submitted by the follow-up, job 78" in said.stdout
    assert told["run_list"][0] | {"starts": 0} == {
        "key": keys[0],
        "run": "dense seed 0",
        "state": "pending",
        "submission": name,
        "element": 0,
        "job": "77",
        "job_state": "PENDING",
        "reason": "Priority",
        "node": "",
        "starts": 0,
    }
    assert told["slurm"]["follow_up"] == {"job": "78", "submission": tick}


def test_status_says_if_nothing_is_queued(sweep, keys, ask):
    submit(sweep, tuple(keys))
    queue(sweep)
    make_old(sweep)

    said = ask("status", sweep.path).stdout

    assert f"nothing is queued for 5 runs: `lthsweep run {sweep.path} --on slurm`" in said


def make_old(sweep):
    """As if all had been submitted an hour ago."""
    for path in sweep.slurm.glob("*/intent.json"):
        content = plainjson.load(path.read_bytes())
        path.write_bytes(plainjson.dump(content | {"created": time.time() - 3600}))


def test_a_silent_slurm_is_one_line_and_unknown_is_never_success(sweep, keys, ask):
    submit(sweep, tuple(keys))
    before = contents(sweep.path)

    said = ask("status", sweep.path)

    assert said.returncode == 3
    assert "0 of 5 runs done" in said.stdout
    assert "5 unknown" in said.stdout
    assert "SLURM does not answer (there is no squeue" in said.stdout
    assert said.stderr == ""
    assert contents(sweep.path) == before


def test_a_halted_sweep_says_why_and_what_to_do_and_watching_it_ends(sweep, keys, ask):
    submit(sweep, tuple(keys))
    queue(sweep)
    make_old(sweep)
    halt(sweep, "the first 5 failed alike", "breaker")

    said = ask("status", sweep.path, "--watch", "--seconds", "0.1")

    assert said.returncode == 3
    assert "halted: the first 5 failed alike; mend the cause, then" in said.stdout
    assert f"`lthsweep run {sweep.path} --on slurm --retry-failed` goes on" in said.stdout


def test_watching_ends_when_all_is_done_and_the_hours_are_told(finished, ask):
    said = ask("status", finished.path, "--watch")
    told = json.loads(ask("status", finished.path, "--json").stdout)

    assert said.returncode == 0
    assert "5 of 5 runs done" in said.stdout
    assert "core-hours in finished runs; sharing spares" in said.stdout
    records = [decode(finished.record(key)) for key in finished.record_keys()]
    seconds = sum(record.metrics["seconds_wall"] for record in records)
    assert seconds > 0
    assert told["hours"]["cores"] == pytest.approx(seconds / 3600, abs=1e-4)  # told with four decimals
    assert told["hours"]["gpus"] == 0
    assert told["hours"]["exact"]
    assert told["seconds_left"] == 0


def test_a_sweep_that_slurm_never_had_is_not_taken_out_of_its_queue(sweep, ask):
    """Nothing is halted by it: the next `run` here goes on."""
    said = ask("cancel", sweep.path)

    assert said.returncode == 2
    assert "was never handed to SLURM; Ctrl-C stops what runs here" in said.stderr
    assert not sweep.slurm.exists()


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["status", "plan"])
def test_a_table_that_was_copied_without_its_records_is_said_to_be_one(finished, ask, tmp_path, verb):
    """No run is done there, and yet there are results."""
    copied = tmp_path / "copied"
    copied.mkdir()
    for file in (finished.sweep_toml, finished.table):
        shutil.copy(file, copied)

    said = ask(verb, copied)

    assert (
        f"{copied} holds a table but no records: `lthsweep query {copied}` reads its results" in said.stdout
    )
    assert "holds a table" not in ask(verb, finished.path).stdout


@pytest.mark.skipif(os.getuid() == 0, reason="SKIPPED: root may read everything")
def test_another_user_sees_records_and_is_told_that_the_rest_is_hidden(sweep, ask):
    sweep.state.chmod(0)
    try:
        said = ask("status", sweep.path)
    finally:
        sweep.state.chmod(0o700)

    assert "its state/ may be read by its owner only" in said.stdout


def test_logs_names_the_log_of_the_job_and_prints_it(sweep, keys, ask):
    name = submit(sweep, (keys[0],), (keys[1],))
    sweep.log(keys[1]).write_text("what the run said\n")
    file = sweep.submission(name) / "77_1_0_log.out"
    file.write_text("what the job said\n")
    cell = "sparsity=0.5,rewind_epoch=0,seed=0"

    said = ask("logs", sweep.path, cell)

    assert said.stdout == "what the run said\n"
    assert str(file) in said.stderr
    assert ask("logs", sweep.path, keys[1][:8], "--job").stdout == "what the job said\n"
    assert ask("logs", sweep.path, cell, "--job", "--path").stdout == f"{file}\n"


def test_logs_of_a_run_that_never_started_says_which_job_was_to_run_it_and_its_last_words(sweep, keys, ask):
    name = submit(sweep, (keys[0],))
    file = sweep.submission(name) / "77_0_0_log.out"
    file.write_text("slurmstepd: error: out of memory\n")

    said = ask("logs", sweep.path, keys[0])

    assert said.returncode == 2
    assert f"job 77_0 ({name})" in said.stderr
    assert "said last: slurmstepd: error: out of memory" in said.stderr
