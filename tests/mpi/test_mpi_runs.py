"""A sweep over the ranks of a real `mpirun`: whole, interrupted, killed, hung, twice at once."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import pytest

from lthsweep.store.heartbeats import read_heartbeats
from lthsweep.store.layout import SweepDir
from tests.launch.processes import PATIENCE, wait_until
from tests.launch.sweeps import command, lthsweep, write_tiny
from tests.launch.test_local_runs import assert_same_science, records
from tests.mpi.jobs import mpi, surroundings

pytestmark = pytest.mark.slow


def heartbeats(sweep):
    return read_heartbeats(sweep) if sweep.workers.is_dir() else []


def segments():
    """Files through which ranks share memory."""
    return {*Path("/dev/shm").glob("mpich_shm_*"), *Path("/dev/shm").glob("vader_segment.*")}


def in_use():
    """Files that any readable process has open or mapped, without missing files that it opens later.

    A file is open until it is mapped, so open files are listed first.
    """
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            found |= {str(opened.readlink()) for opened in (process / "fd").iterdir()}
        with contextlib.suppress(OSError):
            found |= {line.split()[-1] for line in (process / "maps").read_text().splitlines()}
    return found


@pytest.fixture
def no_segments_left():
    """Removes the segments of killed ranks: /dev/shm is small in a container.

    It is requested as a mark, so it begins before `start` and ends when no rank is left.
    """
    before = segments()
    yield
    new = segments() - before
    for path in new - {Path(name) for name in in_use()}:
        path.unlink(missing_ok=True)


def busy_rank(sweep, job):
    """The heartbeat of a rank that trains and has a checkpoint; waits for one."""
    found = []

    def look():
        found[:] = [beat for beat in heartbeats(sweep) if sweep.checkpoint(beat.key).exists()]
        return found

    wait_until(look, job)
    return found[0]


@pytest.mark.parametrize(("name", "ranks"), [("mpich", 2), ("mpich", 3), ("openmpi", 3)])
def test_ranks_make_the_records_of_local_processes(finished, cache, tmp_path, name, ranks, start):
    """Same keys, results and weights, and no files left behind; with two ranks, rank 0 trains too."""
    sweep = SweepDir(tmp_path / "sweep")
    arguments = ("run", write_tiny(tmp_path), "--on", "mpi", "--out", sweep.path)
    job = start(mpi(name).line(ranks, *arguments), env=surroundings(cache))

    output = job.end()

    assert job.returncode == 0, output
    assert output.count("5 runs finished") == 1, "only rank 0 prints"
    assert_same_science(records(sweep), records(finished))
    assert sweep.table.read_bytes() != b""
    for folder in (sweep.claims, sweep.checkpoints, sweep.workers, sweep.failures):
        assert list(folder.iterdir()) == []
    assert not list(sweep.logs.glob("worker-*"))
    workers = {record.provenance["pid"] for record in records(sweep).values()}
    assert 1 <= len(workers) <= 2


@pytest.mark.chaos
@pytest.mark.usefixtures("no_segments_left")
@pytest.mark.parametrize(
    ("name", "number"), [("mpich", signal.SIGTERM), ("mpich", signal.SIGINT), ("openmpi", signal.SIGUSR2)]
)
def test_a_job_resumes_after_a_signal_to_mpirun(finished, cache, tmp_path, name, number, start, held):
    """At the time limit of a job. The mpirun of MPICH passes SIGTERM on, that of Open MPI SIGUSR2."""
    sweep = SweepDir(tmp_path / "sweep")
    arguments = ("run", write_tiny(tmp_path), "--on", "mpi", "--out", sweep.path)
    job = start(mpi(name).line(3, *arguments), env=surroundings(cache) | held.variables)
    wait_until(lambda: heartbeats(sweep), job)
    job.send_signal(number)
    held.let_go()

    output = job.end()

    assert job.returncode == 3, output
    assert "goes on" in output
    assert len(sweep.record_keys()) < 5
    again = start(mpi(name).line(3, *arguments), env=surroundings(cache))
    assert "5 were done before" not in again.end()
    assert again.returncode == 0
    assert_same_science(records(sweep), records(finished))


@pytest.mark.chaos
@pytest.mark.usefixtures("no_segments_left")
def test_a_signal_to_one_rank_stops_the_job(finished, cache, tmp_path, start, held):
    """`mpirun` does not always signal all ranks."""
    sweep = SweepDir(tmp_path / "sweep")
    file = write_tiny(tmp_path, checkpoint_seconds=0.02)
    arguments = ("run", file, "--on", "mpi", "--out", sweep.path)
    job = start(mpi().line(3, *arguments), env=surroundings(cache) | held.variables)
    os.kill(busy_rank(sweep, job).pid, signal.SIGUSR2)
    held.let_go()

    output = job.end()

    assert job.returncode == 3, output
    assert "stopped; it goes on from its checkpoint" in output
    assert lthsweep("run", sweep.path, cache=cache).returncode == 0
    assert_same_science(records(sweep), records(finished))


@pytest.mark.chaos
@pytest.mark.usefixtures("no_segments_left")
@pytest.mark.parametrize("name", ["mpich", "openmpi"])
def test_a_killed_rank_does_not_change_the_bits(finished, cache, tmp_path, name, start, held):
    """MPI ends all ranks with one; runs in flight resume from their last checkpoints."""
    sweep = SweepDir(tmp_path / "sweep")
    file = write_tiny(tmp_path, checkpoint_seconds=0.02)
    arguments = ("run", file, "--on", "mpi", "--out", sweep.path)
    job = start(mpi(name).line(3, *arguments), env=surroundings(cache) | held.variables)
    os.kill(busy_rank(sweep, job).pid, signal.SIGKILL)
    held.let_go()
    job.end()

    again = start(mpi(name).line(3, "run", sweep.path, "--on", "mpi"), env=surroundings(cache))
    output = again.end()

    assert job.returncode not in (0, 2, 3)
    assert again.returncode == 0, output
    assert_same_science(records(sweep), records(finished))


@pytest.mark.chaos
@pytest.mark.usefixtures("no_segments_left")
def test_runs_of_hung_ranks_are_trained_elsewhere(finished, cache, tmp_path, start, held):
    """It is alive and holds the claim; the pool gives it up and evicts its claim, and the job exits with 0."""
    sweep = SweepDir(tmp_path / "sweep")
    file = write_tiny(tmp_path, checkpoint_seconds=0.02)
    arguments = ("run", file, "--on", "mpi", "--out", sweep.path, "--silence", "20")
    job = start(mpi().line(3, *arguments), env=surroundings(cache) | held.variables)
    hung = busy_rank(sweep, job)
    os.kill(hung.pid, signal.SIGSTOP)
    held.let_go()

    output = job.end()

    assert job.returncode == 0, output
    assert f"pid {hung.pid}) was silent for" in output
    assert_same_science(records(sweep), records(finished))
    assert not sweep.conflicts.exists()


@pytest.mark.chaos
def test_two_jobs_train_every_run_once(finished, cache, tmp_path, start):
    """Claims on disk divide the runs between jobs that do not communicate."""
    sweep = SweepDir(tmp_path / "sweep")
    arguments = ("run", write_tiny(tmp_path), "--on", "mpi", "--out", sweep.path)
    both = [start(mpi().line(2, *arguments), env=surroundings(cache)) for _ in range(2)]

    output = [job.end() for job in both]

    assert [job.returncode for job in both] == [0, 0], output
    assert_same_science(records(sweep), records(finished))
    for key in sweep.record_keys():
        trained = sweep.log(key).read_text().count("--- finished: test accuracy")
        assert trained == 1, f"{key} was trained {trained} times"


def test_a_run_that_raises_fails_alone(finished, cache, tmp_path, start):
    """Its rank continues, and the exit code reports the failure."""
    sweep = SweepDir(tmp_path / "sweep").create()
    victim = next(key for key, record in records(finished).items() if record.kind == "ticket")
    (sweep.weights / victim).write_text("a file where its folder should be")
    arguments = ("run", write_tiny(tmp_path), "--on", "mpi", "--out", sweep.path, "--set", "local.retries=1")

    job = start(mpi().line(3, *arguments), env=surroundings(cache))
    output = job.end()

    assert job.returncode == 1, output
    assert "1 failed" in output
    assert f"  {victim} ticket" in output
    assert sorted(sweep.record_keys()) == sorted(set(finished.record_keys()) - {victim})


def test_bad_input_ends_all_ranks_with_exit_2(cache, tmp_path, start):
    """Only rank 0 prints the message."""
    job = start(mpi().line(3, "run", tmp_path / "none.toml", "--on", "mpi"), env=surroundings(cache))

    output = job.end()

    assert job.returncode == 2
    assert output.count("lthsweep: there is no file") == 1


def test_without_mpirun_the_message_shows_the_command(cache, tmp_path):
    """With the number of cores as ranks."""
    mpi()
    file = write_tiny(tmp_path)

    ended = lthsweep("run", file, "--on", "mpi", "--out", tmp_path / "sweep", cache=cache)

    assert ended.returncode == 2
    assert f"lthsweep run {file} --on mpi" in ended.stderr
    assert "mpirun -n " in ended.stderr
    assert not (tmp_path / "sweep").exists()


def test_without_mpi4py_the_message_names_the_extra(cache, tmp_path):
    """mpi4py is optional."""
    (tmp_path / "hidden" / "mpi4py").mkdir(parents=True)
    (tmp_path / "hidden" / "mpi4py" / "__init__.py").write_text("raise ModuleNotFoundError('mpi4py')\n")
    path = os.pathsep.join([str(tmp_path / "hidden"), os.environ.get("PYTHONPATH", "")])

    ended = subprocess.run(
        command("run", write_tiny(tmp_path), "--on", "mpi"),
        env={**surroundings(cache), "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

    assert ended.returncode == 2
    assert "pip install 'lthsweep[mpi]'" in ended.stderr
