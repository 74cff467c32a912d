"""Fixtures of several folders, and the distribution of tests over the workers of pytest-xdist."""

from __future__ import annotations

import os
import subprocess

import pytest
from hypothesis import settings

from lthsweep.store.layout import SweepDir
from tests.launch.processes import Held, Program
from tests.launch.sweeps import lthsweep, write_tiny

# One thread per test process, as in a worker: threads of several processes that wait for each other on the same cores
# cost up to ten times the processor time of the work. Set before anything imports torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")

TOGETHER = (
    "tests/slurm/",  # two clusters on two cores disturb each other
    # Sweeps and trainings that the tests of the module share: another worker would repeat them.
    "tests/benchmarks/test_benchmarks.py",
    "tests/commands/",
    "tests/damage/",
    "tests/launch/test_filters_end_to_end.py",
    "tests/launch/test_text_and_audio_end_to_end.py",
)
"""Folders and files whose tests run in one worker, in any order."""

# Without deadlines: they would measure how busy the machine is. `make test-fast` takes the profile fast.
settings.register_profile("lthsweep", deadline=None)
settings.register_profile("fast", deadline=None, max_examples=15)
settings.load_profile("lthsweep")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Tests of an entry of `TOGETHER` go to one worker.

    The mark `xdist_group` is for this purpose. pytest-xdist 3.8.0 (the newest) writes it into an attribute that
    pytest 9.2 no longer reads, and silently divides the group (pytest-dev/pytest-xdist#1386), so the path decides here.
    """
    if config.getvalue("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class ByPath(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return next((path for path in TOGETHER if nodeid.startswith(path)), nodeid)

    return ByPath(config, log)


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """A folder of packed data, shared by the tests of this process."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def finished(tmp_path_factory, cache):
    """The tiny sweep after an undisturbed run through the command line."""
    folder = tmp_path_factory.mktemp("finished")
    one = ("--set", "local.workers=1")  # a second worker needs longer to start than to train
    ended = lthsweep("run", write_tiny(folder), *one, "--out", folder / "sweep", cache=cache)
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
