"""`lthsweep run --on slurm` on a real SLURM: from a file to a table."""

from __future__ import annotations

import os
import subprocess

import pytest

from lthsweep.launch.slurm.job_files import nodes_of
from lthsweep.store.layout import SweepDir
from tests.launch.sweeps import command, write_tiny
from tests.launch.sweeps import lthsweep as locally
from tests.slurm.sweeps import OnSlurm, assert_same_science, write_sweep


@pytest.fixture
def on_slurm(tmp_path, cluster, cache):
    """Make a tiny sweep on the cluster, with changes to its file."""

    def make(*, out="sweep", **changes):
        table = {
            name: changes.pop(name)
            for name in ("target_minutes", "floor_minutes", "controller_minutes", "time_limit")
            if name in changes
        }
        text = write_tiny(tmp_path, **changes).read_text()
        environment = {**cluster.env, "LTHSWEEP_CACHE": str(cache), "COLUMNS": "150"}
        return OnSlurm(environment, write_sweep(tmp_path, text, **table), SweepDir(tmp_path / out))

    return make


def test_slurm_and_local_workers_give_equal_records(on_slurm, tmp_path, cache):
    """Same keys, numbers and bits; the follow-up job writes the table."""
    ours = on_slurm(seeds="[0, 1]")
    said = ours.run()
    ours.wait_done()
    ours.wait_for(ours.sweep.table.exists)
    local = locally("run", ours.file, "--out", tmp_path / "local", cache=cache)
    assert local.returncode == 0, local.stderr

    assert "submitted lth-" in said
    assert "follow-up" in said
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


def test_unmeasured_dense_runs_are_submitted_first(on_slurm, cluster):
    """The time of an epoch is unknown: dense runs go first, the follow-up submits their tickets."""
    ours = on_slurm(seeds="[0, 1]")
    with cluster.busy():
        said = ours.run()
        first = [submission for submission in ours.journal() if submission.kind == "train"]
    ours.wait_done()

    assert "not known yet" in said
    assert {key for submission in first for keys in submission.parcels for key in keys} == {
        run.key for run in ours.plan.dense
    }


def test_levels_of_iterative_pruning_wait_for_each_other(on_slurm):
    """With known times and short jobs, every level is a separate array that depends on the level before."""
    ours = on_slurm(seeds="[0, 1]", schedule="iterative", target_minutes=0.001, floor_minutes=0.0005)
    ours.run("--set", "grid.sparsity=[0.5]", "--wait")
    ours.run("--set", "grid.sparsity=[0.4, 0.6, 0.8]")
    waiting = [submission for submission in ours.journal() if submission.after and submission.kind == "train"]
    ours.wait_for(lambda: ours.done == 2 * (1 + 2 + 2 * 3))

    assert len(waiting) >= 2
    assert set(ours.starts().values()) == {1}


def test_two_shells_at_once_submit_everything_once(on_slurm, start):
    ours = on_slurm(seeds="[0, 1, 2]")
    arguments = command("run", ours.file, "--on", "slurm", "--out", ours.sweep.path)
    shells = [start(arguments, env=ours.environment) for _ in range(3)]
    said = [shell.end() for shell in shells]
    assert [shell.returncode for shell in shells] == [0, 0, 0], said
    ours.wait_done()

    submitted = [
        key
        for submission in ours.journal()
        if submission.outcome != "void"
        for keys in submission.parcels
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
    said = ours.lthsweep("cancel", ours.sweep.path)
    ours.wait_for(lambda: not queued(ours))

    assert "canceled" in said.stdout, said.stderr
    assert ours.done < len(ours.plan.runs)
    held.let_go()
    ours.run()
    ours.wait_done()


def test_each_element_notes_its_node(on_slurm):
    ours = on_slurm()
    ours.run("--wait")

    trained = [submission for submission in ours.journal() if submission.kind == "train"]
    assert {nodes_of(ours.sweep, submission.name, 0) for submission in trained} <= {("n1",), ("n2",)}


def queued(ours):
    listed = subprocess.run(
        ["squeue", "-h", "-o", "%j"], capture_output=True, text=True, env=dict(ours.environment), check=True
    )
    prefix = ours.journal()[0].name.rpartition("-")[0]
    return [line for line in listed.stdout.splitlines() if line.startswith(prefix)]
