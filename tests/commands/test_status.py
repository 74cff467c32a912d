"""`status` and `logs` as users see them."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import asdict, replace
from functools import partial

import pytest

from lthsweep.launch.slurm.cluster.queue import Element
from lthsweep.launch.slurm.halt import halt
from lthsweep.launch.slurm.journal import Submission, note_id, open_journal, publish_intent
from lthsweep.plan.expand import expand
from lthsweep.spec import dump_spec, load_spec
from lthsweep.store import claims, failures, plainjson
from lthsweep.store.hashed import read_hashed
from lthsweep.store.heartbeats import Heartbeat, write_heartbeat
from lthsweep.store.layout import SweepDir
from lthsweep.store.owners import this_process
from lthsweep.store.record import decode
from tests.commands.in_process import lthsweep
from tests.launch.sweeps import write_tiny


@pytest.fixture
def sweep(tmp_path):
    """The directory of the tiny sweep, without any run."""
    spec = load_spec(write_tiny(tmp_path))
    sweep = SweepDir(tmp_path / "sweep").create()
    sweep.sweep_toml.write_text(dump_spec(spec))
    return sweep


@pytest.fixture
def keys(sweep):
    """The keys of the dense run and of the four tickets."""
    return list(expand(load_spec(sweep.sweep_toml)).runs)


@pytest.fixture
def run_command(cache, tmp_path):
    """Runs a command as on a machine without SLURM."""
    nowhere = tmp_path / "bin"
    nowhere.mkdir()

    return partial(lthsweep, cache=cache, environ={"PATH": str(nowhere)})


def submit(sweep, *shares, number=1, kind="workers", job="77"):
    open_journal(sweep)
    intent = publish_intent(sweep, Submission(number, "", kind, shares, minutes=10, array=bool(shares)))
    note_id(sweep, intent.name, job)
    return intent.name


def queue(sweep, *elements):
    """Write a queue listing as another process would."""
    content = {"taken": time.time(), "elements": [asdict(element) for element in elements]}
    (sweep.slurm / "queue.json").write_bytes(plainjson.dump(content))


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_status_names_parents_and_writes_nothing(sweep, keys, run_command):
    """A reading command must work in directories of other users."""
    before = contents(sweep.path)

    result = run_command("status", sweep.path, "--runs")
    output = json.loads(run_command("status", sweep.path, "--json").stdout)

    assert result.returncode == 3
    assert (
        "0 of 5 runs done, 0 running, 1 ready, 4 waiting, 0 failed, 0 blocked by a failed run"
        in result.stdout
    )
    assert (
        f"waiting   {keys[1][:8]} ticket sparsity 0.5 rewind 0 seed 0: for dense seed 0 ({keys[0][:8]})"
        in result.stdout
    )
    assert output["runs"] == len(output["run_list"]) == 5
    assert output["run_list"][1]["waits_for"] == keys[0]
    assert output["slurm"] is None
    assert contents(sweep.path) == before


def test_status_shows_progress_of_running_runs(sweep, keys, run_command):
    """From the last heartbeat of its worker."""
    beat = Heartbeat("w", "node7", 3, keys[0], "train", 1.5, 2, images_per_second=5120, time=time.time())
    write_heartbeat(sweep, beat)
    assert claims.take(sweep, keys[0], this_process(), 60)

    result = run_command("status", sweep.path).stdout
    output = json.loads(run_command("status", sweep.path, "--json").stdout)

    assert "dense seed 0: epoch 1.5 of 2, 5,120 samples/s, host node7 pid 3, last heartbeat" in result
    assert [(run["key"], run["images_per_second"]) for run in output["running"]] == [(keys[0], 5120)]


def test_status_lists_all_fused_runs(sweep, keys, run_command):
    """One heartbeat covers all runs of its worker."""
    others = {keys[2]: 0.5}
    beat = Heartbeat("w", "node7", 3, keys[1], "train", 1.5, 2, time=time.time(), others=others)
    write_heartbeat(sweep, beat)
    assert all(claims.take(sweep, key, this_process(), 60) for key in keys[1:3])

    output = json.loads(run_command("status", sweep.path, "--json").stdout)

    assert [(run["key"], run["epoch"]) for run in output["running"]] == [(key, 1.5) for key in keys[1:3]]


def test_status_names_failures_and_blocked_runs(sweep, keys, run_command):
    """A failure is exit code 1."""
    failures.record_failure(sweep, keys[0], failures.Failure("it broke", host="node7", attempt=3))

    result = run_command("status", sweep.path)

    assert result.returncode == 1
    assert f"failed    {keys[0][:8]} dense seed 0: it broke (attempt 3, host node7)" in result.stdout
    assert f"blocked   {keys[4][:8]} ticket sparsity 0.8 rewind 1 seed 0: by dense seed 0" in result.stdout


def test_a_canceled_run_is_no_failure(sweep, keys, run_command):
    """The sweep is incomplete, exit code 3."""
    failures.record_failure(sweep, keys[1], failures.Failure("canceled by a user", kind=failures.CANCELLED))

    result = run_command("status", sweep.path)

    assert result.returncode == 3
    assert "1 canceled" in result.stdout


def test_status_shows_reasons_of_pending_jobs(sweep, keys, run_command):
    """Also the controller job that takes the next step."""
    name = submit(sweep, (keys[0],))
    controller = submit(sweep, number=2, kind="controller", job="78")
    queue(
        sweep,
        Element("77", 0, name, "PENDING", "Priority", starts=time.time() + 3600 + 30),
        Element("78", None, controller, "PENDING", "Dependency"),
    )

    result = run_command("status", sweep.path)
    output = json.loads(run_command("status", sweep.path, "--json").stdout)

    assert result.returncode == 3
    assert "0 ready, 4 waiting, 1 pending, 0 failed" in result.stdout
    assert f"controller: job 78 {controller}, Dependency" in result.stdout
    assert "pending job 77, 1 element, 1 run: Priority, expected to start in 1h00m" in result.stdout
    assert "Priority" in output["run_list"][0].pop("explanation")
    assert output["run_list"][0] | {"starts": 0} == {
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
    assert output["slurm"]["controller"] == {"job": "78", "submission": controller}


def test_status_names_the_submitter_of_ready_runs(sweep, keys, run_command):
    """The controller job if no worker job is left, else the workers."""
    failures.record_failure(sweep, keys[0], failures.Failure("killed", infrastructure=True))
    name = submit(sweep, (keys[1],))
    controller = submit(sweep, number=2, kind="controller", job="78")
    make_old(sweep)

    queue(sweep, Element("78", None, controller, "PENDING", "Dependency"))
    drained = run_command("status", sweep.path).stdout
    queue(sweep, Element("77", 0, name, "PENDING"), Element("78", None, controller, "PENDING"))
    queued = run_command("status", sweep.path).stdout

    assert "4 waiting, 1 to be submitted" in drained
    assert "controller job 78" in drained
    assert "1 ready run to be submitted" in queued
    assert "a job that starts with it" in queued


def test_status_shows_the_job_of_a_running_run(sweep, keys, run_command):
    """A worker pulls runs of any share, so the job is that of its claim."""
    name = submit(sweep, (keys[1],), (keys[2],))
    queue(sweep, *(Element("77", n, name, "RUNNING", raw=str(100 + n)) for n in range(2)))
    write_heartbeat(sweep, Heartbeat("w", "node7", 3, keys[0], "train", 1.5, 2, time=time.time()))
    assert claims.take(sweep, keys[0], replace(this_process(), job="101"), 60)

    result = run_command("status", sweep.path).stdout

    assert "epoch 1.5 of 2, job 77_1, host node7 pid 3, last heartbeat" in result


def test_status_suggests_a_command_without_queued_jobs(sweep, keys, run_command):
    """Such a sweep does not continue by itself."""
    submit(sweep, tuple(keys))
    queue(sweep)
    make_old(sweep)

    result = run_command("status", sweep.path).stdout

    assert "4 waiting, 1 to be submitted" in result
    assert f"`lthsweep run {sweep.path} --on slurm --wait`" in result


def make_old(sweep):
    """Date all submissions back by an hour."""
    for path in sweep.slurm.glob("*/intent.json"):
        content = plainjson.load(read_hashed(path))
        path.write_bytes(plainjson.dump(content | {"created": time.time() - 3600}))


def test_a_silent_slurm_leaves_runs_unknown(sweep, keys, run_command):
    """No answer is neither success nor failure."""
    submit(sweep, tuple(keys))
    before = contents(sweep.path)

    result = run_command("status", sweep.path)

    assert result.returncode == 3
    assert "0 of 5 runs done" in result.stdout
    assert "0 ready, 4 waiting, 1 unknown, 0 failed" in result.stdout
    assert "SLURM does not answer (there is no squeue" in result.stdout
    assert result.stderr == ""
    assert contents(sweep.path) == before


def test_watching_a_halted_sweep_ends_with_its_remedy(sweep, keys, run_command):
    """Nothing more happens until the user acts."""
    submit(sweep, tuple(keys))
    queue(sweep)
    make_old(sweep)
    halt(sweep, "the first 5 failed alike", "breaker")

    result = run_command("status", sweep.path, "--watch", "--seconds", "0.1")

    assert result.returncode == 3
    assert "halted: the first 5 failed alike; fix the cause, then" in result.stdout
    assert f"`lthsweep run {sweep.path} --on slurm --retry-failed` continues" in result.stdout


@pytest.mark.slow
def test_watching_a_finished_sweep_shows_hours(finished, run_command):
    """Hours used, and hours that sharing saves."""
    result = run_command("status", finished.path, "--watch")
    output = json.loads(run_command("status", finished.path, "--json").stdout)

    assert result.returncode == 0
    assert "5 of 5 runs done" in result.stdout
    assert "core-hours in finished runs; sharing saves" in result.stdout
    records = [decode(finished.record(key)) for key in finished.record_keys()]
    seconds = sum(record.metrics["seconds_wall"] for record in records)
    assert seconds > 0
    assert output["hours"]["cores"] == pytest.approx(seconds / 3600, abs=1e-4)  # printed with four decimals
    assert output["hours"]["gpus"] == 0
    assert output["hours"]["exact"]
    assert output["seconds_left"] == 0


def test_cancel_needs_a_submitted_sweep(sweep, run_command):
    """A local sweep must not be halted by it."""
    result = run_command("cancel", sweep.path)

    assert result.returncode == 2
    assert "was never submitted to SLURM; Ctrl-C stops local workers" in result.stderr
    assert not sweep.slurm.exists()


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["status", "plan"])
def test_a_copied_table_is_recognized(finished, run_command, tmp_path, verb):
    """Without records no run counts as done, although there are results."""
    copied = tmp_path / "copied"
    copied.mkdir()
    for file in (finished.sweep_toml, finished.table):
        shutil.copy(file, copied)

    result = run_command(verb, copied)

    assert (
        f"{copied} holds a table but no records: `lthsweep query {copied}` reads its results" in result.stdout
    )
    assert "holds a table" not in run_command(verb, finished.path).stdout


@pytest.mark.skipif(os.getuid() == 0, reason="SKIPPED: root may read everything")
def test_status_notes_an_unreadable_state_directory(sweep, run_command):
    """Other users can read records only."""
    sweep.state.chmod(0)
    try:
        result = run_command("status", sweep.path)
    finally:
        sweep.state.chmod(0o700)

    assert "its state/ is readable by its owner only" in result.stdout


def test_logs_prints_run_and_job_logs(sweep, keys, run_command):
    """The run's log is the default; it names that of the job."""
    name = submit(sweep, (keys[0],), (keys[1],))
    sweep.log(keys[1]).write_text("output of the run\n")
    file = sweep.submission(name) / "77_1_0_log.out"
    file.write_text("output of the job\n")
    cell = "sparsity=0.5,rewind_epoch=0,seed=0"

    result = run_command("logs", sweep.path, cell)

    assert result.stdout == "output of the run\n"
    assert str(file) in result.stderr
    assert run_command("logs", sweep.path, keys[1][:8], "--job").stdout == "output of the job\n"
    assert run_command("logs", sweep.path, cell, "--job", "--path").stdout == f"{file}\n"


def test_logs_of_an_unstarted_run_name_its_job(sweep, keys, run_command):
    """The last output of the job is often the reason."""
    name = submit(sweep, (keys[0],))
    file = sweep.submission(name) / "77_0_0_log.out"
    file.write_text("slurmstepd: error: out of memory\n")

    result = run_command("logs", sweep.path, keys[0])

    assert result.returncode == 2
    assert f"job 77_0 ({name})" in result.stderr
    assert "last output is: slurmstepd: error: out of memory" in result.stderr
