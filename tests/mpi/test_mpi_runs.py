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
    """What any process that may be looked at has open or in its memory; files that it opens later are not missed.

    A file is open until it is in memory, so who is asked for the former first is not overlooked.
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
    """Ranks that are killed leave theirs behind for ever, and /dev/shm is small in a container.

    As a mark it begins before `start`, so that no rank is left when it ends.
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
def test_ranks_make_the_records_that_local_processes_make(finished, cache, tmp_path, name, ranks, start):
    """Same keys, same science, same weights, and nothing left behind; with two ranks, rank 0 trains too."""
    sweep = SweepDir(tmp_path / "sweep")
    arguments = ("run", write_tiny(tmp_path), "--on", "mpi", "--out", sweep.path)
    job = start(mpi(name).line(ranks, *arguments), env=surroundings(cache))

    said = job.end()

    assert job.returncode == 0, said
    assert said.count("5 runs finished") == 1, "rank 0 alone speaks"
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
def test_a_signal_to_mpirun_stops_with_exit_3_and_the_next_job_goes_on(
    finished, cache, tmp_path, name, number, start, held
):
    """The end of a job's time. MPICH's mpirun hands SIGTERM on to its ranks, Open MPI's SIGUSR2."""
    sweep = SweepDir(tmp_path / "sweep")
    arguments = ("run", write_tiny(tmp_path), "--on", "mpi", "--out", sweep.path)
    job = start(mpi(name).line(3, *arguments), env=surroundings(cache) | held.variables)
    wait_until(lambda: heartbeats(sweep), job)
    job.send_signal(number)
    held.let_go()

    said = job.end()

    assert job.returncode == 3, said
    assert "goes on" in said
    assert len(sweep.record_keys()) < 5
    again = start(mpi(name).line(3, *arguments), env=surroundings(cache))
    assert "5 were done before" not in again.end()
    assert again.returncode == 0
    assert_same_science(records(sweep), records(finished))


@pytest.mark.chaos
@pytest.mark.usefixtures("no_segments_left")
def test_a_signal_to_one_rank_stops_the_job_in_good_order(finished, cache, tmp_path, start, held):
    """Who signals ranks does not always signal all of them."""
    sweep = SweepDir(tmp_path / "sweep")
    file = write_tiny(tmp_path, checkpoint_seconds=0.02)
    arguments = ("run", file, "--on", "mpi", "--out", sweep.path)
    job = start(mpi().line(3, *arguments), env=surroundings(cache) | held.variables)
    os.kill(busy_rank(sweep, job).pid, signal.SIGUSR2)
    held.let_go()

    said = job.end()

    assert job.returncode == 3, said
    assert "stopped; it goes on from its checkpoint" in said
    assert lthsweep("run", sweep.path, cache=cache).returncode == 0
    assert_same_science(records(sweep), records(finished))


@pytest.mark.chaos
@pytest.mark.usefixtures("no_segments_left")
@pytest.mark.parametrize("name", ["mpich", "openmpi"])
def test_a_killed_rank_ends_the_job_and_the_next_one_goes_on_to_the_same_bits(
    finished, cache, tmp_path, name, start, held
):
    """MPI takes all ranks down with one; what was in flight goes on from its last checkpoint."""
    sweep = SweepDir(tmp_path / "sweep")
    file = write_tiny(tmp_path, checkpoint_seconds=0.02)
    arguments = ("run", file, "--on", "mpi", "--out", sweep.path)
    job = start(mpi(name).line(3, *arguments), env=surroundings(cache) | held.variables)
    os.kill(busy_rank(sweep, job).pid, signal.SIGKILL)
    held.let_go()
    job.end()

    again = start(mpi(name).line(3, "run", sweep.path, "--on", "mpi"), env=surroundings(cache))
    said = again.end()

    assert job.returncode not in (0, 2, 3)
    assert again.returncode == 0, said
    assert_same_science(records(sweep), records(finished))


@pytest.mark.chaos
@pytest.mark.usefixtures("no_segments_left")
def test_the_run_of_a_hung_rank_is_trained_elsewhere(finished, cache, tmp_path, start, held):
    """It still lives and still holds the claim; it is given up, its claim is taken from it, the job ends with 0."""
    sweep = SweepDir(tmp_path / "sweep")
    file = write_tiny(tmp_path, checkpoint_seconds=0.02)
    arguments = ("run", file, "--on", "mpi", "--out", sweep.path, "--silence", "20")
    job = start(mpi().line(3, *arguments), env=surroundings(cache) | held.variables)
    hung = busy_rank(sweep, job)
    os.kill(hung.pid, signal.SIGSTOP)
    held.let_go()

    said = job.end()

    assert job.returncode == 0, said
    assert f"pid {hung.pid}) said nothing for" in said
    assert_same_science(records(sweep), records(finished))
    assert not sweep.conflicts.exists()


@pytest.mark.chaos
def test_two_jobs_on_one_sweep_train_every_run_once(finished, cache, tmp_path, start):
    """Claims on disk share the work between jobs that do not know of each other."""
    sweep = SweepDir(tmp_path / "sweep")
    arguments = ("run", write_tiny(tmp_path), "--on", "mpi", "--out", sweep.path)
    both = [start(mpi().line(2, *arguments), env=surroundings(cache)) for _ in range(2)]

    said = [job.end() for job in both]

    assert [job.returncode for job in both] == [0, 0], said
    assert_same_science(records(sweep), records(finished))
    for key in sweep.record_keys():
        trained = sweep.log(key).read_text().count("--- finished: test accuracy")
        assert trained == 1, f"{key} was trained {trained} times"


def test_a_run_that_raises_fails_alone_and_is_named(finished, cache, tmp_path, start):
    """Its rank trains on; the exit code says that something failed."""
    sweep = SweepDir(tmp_path / "sweep").create()
    victim = next(key for key, record in records(finished).items() if record.kind == "ticket")
    (sweep.weights / victim).write_text("a file where its folder should be")
    arguments = ("run", write_tiny(tmp_path), "--on", "mpi", "--out", sweep.path, "--set", "local.retries=1")

    job = start(mpi().line(3, *arguments), env=surroundings(cache))
    said = job.end()

    assert job.returncode == 1, said
    assert "1 failed" in said
    assert f"  {victim} ticket" in said
    assert sorted(sweep.record_keys()) == sorted(set(finished.record_keys()) - {victim})


def test_bad_input_is_said_once_and_ends_all_ranks_with_exit_2(cache, tmp_path, start):
    job = start(mpi().line(3, "run", tmp_path / "none.toml", "--on", "mpi"), env=surroundings(cache))

    said = job.end()

    assert job.returncode == 2
    assert said.count("lthsweep: there is no file") == 1


def test_without_mpirun_the_message_shows_the_line_to_type(cache, tmp_path):
    mpi()
    file = write_tiny(tmp_path)

    ended = lthsweep("run", file, "--on", "mpi", "--out", tmp_path / "sweep", cache=cache)

    assert ended.returncode == 2
    assert f"lthsweep run {file} --on mpi" in ended.stderr
    assert "mpirun -n " in ended.stderr
    assert not (tmp_path / "sweep").exists()


def test_without_mpi4py_the_message_says_how_to_get_it(cache, tmp_path):
    """mpi4py is an extra; who does not use MPI need not have it."""
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
