"""Fixtures of several folders, and the distribution of tests: all tests on SLURM run in one worker."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import settings

from lthsweep.store.layout import SweepDir
from tests.launch.processes import Held, Program
from tests.launch.sweeps import lthsweep, write_tiny

# Without deadlines: they would measure how busy the machine is. `make test-fast` takes the profile fast.
settings.register_profile("lthsweep", deadline=None)
settings.register_profile("fast", deadline=None, max_examples=15)
settings.load_profile("lthsweep")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Tests on SLURM go to one worker in any order: two clusters on two cores disturb each other.

    The mark `xdist_group` is for this purpose. pytest-xdist 3.8.0 (the newest) writes it into an attribute that
    pytest 9.2 no longer reads, and silently divides the group (pytest-dev/pytest-xdist#1386), so the path decides here.
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
    """A folder of packed data, shared by the tests of this process."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def finished(tmp_path_factory, cache):
    """The tiny sweep after an undisturbed run through the command line."""
    folder = tmp_path_factory.mktemp("finished")
    ended = lthsweep("run", write_tiny(folder), "--out", folder / "sweep", cache=cache)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return SweepDir(folder / "sweep")


@pytest.fixture
def start():
    """Starts programs, and ends those that a test leaves running."""
    started = []

    def start(command, env):
        started.append(Program(command, env))
        return started[-1]

    yield start
    for program in started:
        program.put_down()


@pytest.fixture
def held(tmp_path):
    """Holds sweeps until a test releases them, so that none finishes too early."""
    folder = tmp_path / "odometer"
    folder.mkdir()
    held = Held(folder)
    held.pace(0.2)
    return held


@pytest.fixture
def small_disk(tmp_path):
    """A file system with 700 kB of free space; skips the test where mounting is not permitted."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"SKIPPED: mounting a small file system is not permitted here ({mounted.stderr.strip()})")
    try:
        (place / "filler").write_bytes(bytes((16 << 20) - 700_000))
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False)
