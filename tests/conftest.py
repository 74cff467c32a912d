"""Fixtures that several folders share, and how tests are divided among workers: all on SLURM go to one."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import settings

from lthsweep.store.layout import SweepDir
from tests.launch.processes import Held, Program
from tests.launch.sweeps import lthsweep, write_tiny

# A deadline measures the machine, and how busy it is, not the law.
settings.register_profile("lthsweep", deadline=None)
settings.load_profile("lthsweep")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Tests on SLURM, whatever their order, go to one worker: two clusters on two cores disturb each other.

    The mark `xdist_group` is to say that. pytest-xdist 3.8.0 (the newest) writes it into an attribute that pytest 9.2
    no longer reads, and divides the group without a word (pytest-dev/pytest-xdist#1386); so the path decides here.
    """
    if config.getvalue("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class ByCluster(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return "slurm" if nodeid.startswith("tests/slurm/") else nodeid

    return ByCluster(config, log)


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """A folder of packed data that the tests of this process share."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def finished(tmp_path_factory, cache):
    """The tiny sweep, run undisturbed through the command line."""
    folder = tmp_path_factory.mktemp("finished")
    ended = lthsweep("run", write_tiny(folder), "--out", folder / "sweep", cache=cache)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return SweepDir(folder / "sweep")


@pytest.fixture
def start():
    """Starts programs; what a test leaves running of them, because it failed perhaps, does not disturb later ones."""
    started = []

    def start(command, env):
        started.append(Program(command, env))
        return started[-1]

    yield start
    for program in started:
        program.put_down()


@pytest.fixture
def held(tmp_path):
    """Holds sweeps until they are let go; none comes to its end before a test has done to it what it is about."""
    folder = tmp_path / "odometer"
    folder.mkdir()
    held = Held(folder)
    held.pace(0.2)
    return held


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own with a filler on it that leaves 700 kB; skips where none may be mounted."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"SKIPPED: may not mount a small file system here ({mounted.stderr.strip()})")
    try:
        (place / "filler").write_bytes(bytes((8 << 20) - 700_000))
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False)
