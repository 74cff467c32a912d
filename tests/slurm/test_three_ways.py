"""One sweep by local processes, MPI ranks and SLURM jobs, separately and together: equal results."""

from __future__ import annotations

import shutil

import pytest

from lthsweep.reduce.table import TableFile
from lthsweep.store.failures import read_failures
from tests.launch.sweeps import command, environment
from tests.launch.sweeps import lthsweep as locally
from tests.mpi.jobs import mpi, surroundings
from tests.slurm.sweeps import assert_same_science
from tests.slurm.tiny import tiny_on

PLACES = ["host", "commit", "record"]
"""Columns of the table that depend on where and when a run was trained."""


@pytest.fixture
def sweep_in(tmp_path, cluster, cache):
    """Make directories for one sweep's file."""

    def make(out, **changes):
        return tiny_on(cluster, tmp_path, cache, out=out, **changes)

    return make


def trained(ours):
    """Return how often each run was trained to its end, by its log."""
    return {
        key: ours.sweep.log(key).read_text().count("--- finished: test accuracy") for key in ours.plan.runs
    }


def rows(ours):
    """Return the tables of tickets and runs without times and tasks."""
    tables = TableFile(ours.sweep.table).frames
    found = {}
    for name in ("tickets", "runs"):
        frame = tables[name]
        times = [c for c in frame.columns if c.startswith("seconds") or c.endswith("per_second")]
        found[name] = frame.drop(columns=[c for c in (*times, *PLACES) if c in frame.columns])
    return found


@pytest.mark.slow
def test_local_mpi_and_slurm_give_equal_tables(sweep_in, cache, start):
    """Keys, results, weights and rows do not depend on where a run was trained, bit for bit."""
    ways = {way: sweep_in(way, seeds="[0, 1]") for way in ("local", "mpi", "slurm")}
    ways["slurm"].run()
    local = locally("run", ways["local"].file, "--out", ways["local"].sweep.path, cache=cache)
    arguments = ("run", ways["mpi"].file, "--on", "mpi", "--out", ways["mpi"].sweep.path)
    job = start(mpi().line(3, *arguments), env=surroundings(cache))
    output = job.end()
    ways["slurm"].wait_done()
    ways["slurm"].run("--wait")

    assert local.returncode == 0, local.stderr
    assert job.returncode == 0, output
    records = {way: ours.records() for way, ours in ways.items()}
    tables = {way: rows(ours) for way, ours in ways.items()}
    for way in ("mpi", "slurm"):
        assert_same_science(records[way], records["local"])
        for name, frame in tables["local"].items():
            assert tables[way][name].equals(frame), f"{name} by {way}"
    assert {set(trained(ours).values()) == {1} for ours in ways.values()} == {True}


@pytest.mark.slow
def test_slurm_mpi_and_a_shell_share_one_directory(sweep_in, cache, start):
    """Claims on disk prevent two workers from training the same run."""
    ours = sweep_in("shared", seeds="[0, 1, 2]", epochs=10)
    arguments = ("run", ours.file, "--out", ours.sweep.path)
    ours.run()
    shell = start(command(*arguments, "--quiet"), env=environment(cache))
    job = start(mpi().line(3, *arguments, "--on", "mpi"), env=surroundings(cache))
    output = {process: process.end() for process in (job, shell)}
    ours.wait_done()
    ours.run("--wait")

    assert [process.returncode for process in output] == [0, 0], output.values()
    assert set(trained(ours).values()) == {1}
    assert not ours.sweep.conflicts.exists()
    assert ours.lthsweep("doctor", ours.sweep.path).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="SKIPPED: the GPUs here are real")
def test_workers_use_the_gpu_of_their_job(sweep_in, tmp_path):
    """The GPUs of this cluster exist in SLURM only: runs fail at the missing driver."""
    ours = sweep_in("gpus")
    seen = tmp_path / "seen"
    setup = f"setup = ['echo \"${{CUDA_VISIBLE_DEVICES-none}}\" >> {seen}']\n"
    ours.file.write_text(f"{ours.file.read_text()}gpus = 1\n{setup}")
    ours.run("--wait", code=1)

    (script, *_) = ours.sweep.slurm.glob("*-0001/*.sh")
    assert "--gres=gpu:1" in script.read_text()
    assert seen.read_text().split()[0] in ("0", "1")
    (failure,) = read_failures(ours.sweep).values()
    assert "NVIDIA driver" in failure.cause
