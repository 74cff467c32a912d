"""`lthsweep run --on slurm` on a real SLURM: from a file to a table."""

from __future__ import annotations

import functools
import os
import subprocess

import pytest

from lthsweep.launch.slurm.job_files import nodes_of
from lthsweep.store.failures import read_failures
from lthsweep.store.layout import SweepDir
from tests.launch.sweeps import command
from tests.launch.sweeps import lthsweep as locally
from tests.slurm.sweeps import OnSlurm, assert_same_science
from tests.slurm.tiny import tiny_on


@pytest.fixture
def on_slurm(tmp_path, cluster, cache):
    """Make a tiny sweep on the cluster, with changes to its file."""

    return functools.partial(tiny_on, cluster, tmp_path, cache)


def test_slurm_and_local_workers_give_equal_records(on_slurm, tmp_path, cache):
    """Same keys, numbers and bits; the controller job writes the table."""
    ours = on_slurm(seeds="[0, 1]")
    output = ours.run()
    ours.wait_done()
    ours.wait_for(ours.sweep.table.exists)
    local = locally("run", ours.file, "--out", tmp_path / "local", cache=cache)
    assert local.returncode == 0, local.stderr

    assert "submitted lth-" in output
    assert "controller" in output
    theirs = OnSlurm(os.environ, ours.file, SweepDir(tmp_path / "local"))
    assert_same_science(ours.records(), theirs.records())
    assert set(ours.starts().values()) == {1}


def test_run_returns_before_anything_is_trained(on_slurm, cluster):
    ours = on_slurm()
    with cluster.busy():
        ours.run()

        assert ours.done == 0
    ours.wait_done()


def test_a_second_run_submits_nothing(on_slurm, cluster):
    ours = on_slurm()
    with cluster.busy():
        ours.run()
        before = len(ours.journal())
        ours.run()

        assert len(ours.journal()) == before
    ours.wait_done()
    assert set(ours.starts().values()) == {1}


def test_wait_returns_when_the_table_exists(on_slurm):
    ours = on_slurm()
    ours.run("--wait")

    assert ours.done == len(ours.plan.runs)
    assert ours.sweep.table.exists()


def test_each_missing_dense_run_gets_a_job(on_slurm, cluster):
    """Tickets wait for their dense runs, so they get no jobs yet; the workers pull them."""
    ours = on_slurm(seeds="[0, 1]")
    with cluster.busy():
        output = ours.run()
        first = [submission for submission in ours.journal() if submission.kind == "workers"]
    ours.wait_done()

    assert "not known yet" in output
    assert [keys for submission in first for keys in submission.shares] == [
        (run.key,) for run in ours.plan.dense
    ]


def test_a_worker_trains_a_whole_chain(on_slurm):
    """With short runs, the job of a dense run pulls every level after it."""
    ours = on_slurm(schedule="iterative")
    ours.run("--set", "grid.sparsity=[0.2, 0.4, 0.6, 0.8]", "--set", "grid.rewind_epoch=[0]")
    ours.wait_for(lambda: ours.done == 5)

    trained = [submission for submission in ours.journal() if submission.kind == "workers"]
    assert [submission.elements for submission in trained] == [1]
    assert set(ours.starts().values()) == {1}


def test_workers_submit_jobs_for_more_ready_runs(on_slurm, held):
    """A dense run makes four tickets ready: its worker takes one, and submits jobs for the others."""
    ours = on_slurm(target_minutes=0.001, floor_minutes=0.0005, checkpoint_seconds=1)
    ours.environment = {**ours.environment, **held.variables}
    ours.run()
    ours.wait_for(lambda: len([s for s in ours.journal() if s.kind == "workers"]) > 1)
    held.let_go()
    ours.wait_done()

    shares = [keys for s in ours.journal() if s.kind == "workers" for keys in s.shares]
    dense, *others = shares
    assert dense == (ours.plan.dense[0].key,)
    assert all(len(keys) == 1 for keys in others)
    assert 3 <= len(others) <= 4
    assert set(ours.starts().values()) == {1}


def test_one_failed_dense_run_holds_no_other(on_slurm):
    """A file is in the way of the snapshots of one dense run: the other four seeds finish by themselves."""
    ours = on_slurm(seeds="[0, 1, 2, 3, 4]")
    broken = ours.plan.dense[2]
    ours.sweep.create()
    ours.sweep.weights_of(broken.key).write_text("in the way")
    ours.run()
    ours.wait_for(lambda: ours.done == 4 * len(ours.plan.runs) / 5)
    ours.wait_for(ours.sweep.table.exists)

    recorded = set(ours.sweep.record_keys())
    assert {run.seed for key, run in ours.plan.runs.items() if key in recorded} == {0, 1, 3, 4}
    assert read_failures(ours.sweep).keys() == {broken.key}


def test_two_shells_at_once_submit_everything_once(on_slurm, start):
    ours = on_slurm(seeds="[0, 1, 2]")
    arguments = command("run", ours.file, "--on", "slurm", "--out", ours.sweep.path)
    shells = [start(arguments, env=ours.environment) for _ in range(3)]
    output = [shell.end() for shell in shells]
    assert [shell.returncode for shell in shells] == [0, 0, 0], output
    ours.wait_done()

    submitted = [
        key
        for submission in ours.journal()
        if submission.outcome != "void"
        for keys in submission.shares
        for key in keys
    ]
    assert len(submitted) == len(set(submitted))
    assert set(ours.starts().values()) == {1}


def test_a_failing_run_blocks_only_its_descendants(on_slurm):
    """An exclusion that matches nothing is a failure, and `status` shows the cause."""
    ours = on_slurm()
    ended = ours.lthsweep(
        "run",
        ours.file,
        "--on",
        "slurm",
        "--out",
        ours.sweep.path,
        "--wait",
        "--set",
        'prune.exclude=["nothing"]',
    )

    assert ended.returncode == 1
    assert "nothing" in ours.lthsweep("status", ours.sweep.path).stdout


@pytest.mark.parametrize("wrong", ["options.nonsense=1", "cpus=64", "account=nobody-there", "partition=nope"])
def test_a_refused_option_is_reported_before_writing(on_slurm, wrong):
    """A wrong option must not stop a working sweep hours later."""
    ours = on_slurm()
    ended = ours.lthsweep(
        "run", ours.file, "--on", "slurm", "--out", ours.sweep.path, "--set", f"slurm.{wrong}"
    )

    assert ended.returncode in (1, 2)
    assert "Traceback" not in ended.stderr
    assert not ours.sweep.path.exists()


def test_a_canceled_sweep_continues_with_run(on_slurm, held):
    """Steps last so long that a run has a checkpoint before its end, until the sweep is canceled."""
    ours = on_slurm(seeds="[0, 1]", checkpoint_seconds=1)
    ours.environment = {**ours.environment, **held.variables}
    ours.run()
    ours.wait_for(lambda: bool(list(ours.sweep.checkpoints.glob("*.safetensors"))))
    output = ours.lthsweep("cancel", ours.sweep.path)
    ours.wait_for(lambda: not queued(ours))

    assert "canceled" in output.stdout, output.stderr
    assert ours.done < len(ours.plan.runs)
    held.let_go()
    ours.run()
    ours.wait_done()


def test_each_element_notes_its_node(on_slurm):
    ours = on_slurm()
    ours.run("--wait")

    trained = [submission for submission in ours.journal() if submission.kind == "workers"]
    assert {nodes_of(ours.sweep, submission.name, 0) for submission in trained} <= {("n1",), ("n2",)}


def queued(ours):
    listed = subprocess.run(
        ["squeue", "-h", "-o", "%j"], capture_output=True, text=True, env=dict(ours.environment), check=True
    )
    prefix = ours.journal()[0].name.rpartition("-")[0]
    return [line for line in listed.stdout.splitlines() if line.startswith(prefix)]
