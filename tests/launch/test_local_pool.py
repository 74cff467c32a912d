"""Workers that end while they have a run. The workers are small scripts."""

from __future__ import annotations

import sys
import time

import pytest

from lthsweep.launch.events import Failed, Requeued
from lthsweep.launch.local_pool import LocalPool
from lthsweep.launch.process_env import EXIT_DEVICE_LOST
from lthsweep.launch.slots import Slot
from lthsweep.store.layout import SweepDir
from tests.launch.cases import make_task

pytestmark = pytest.mark.slow

WORKER = """#!{python}
import os, sys
events = int(sys.argv[sys.argv.index("--events") + 1])
os.write(events, b'{{"kind": "ready"}}\\n')
sys.stdin.readline()
os._exit({status})
"""


@pytest.fixture
def pool_of(tmp_path, monkeypatch):
    """A pool of one worker that takes a task and exits with a status."""
    pools = []

    def make(status):
        script = tmp_path / "worker"
        script.write_text(WORKER.format(python=sys.executable, status=status))
        script.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(script))
        pools.append(LocalPool(SweepDir(tmp_path / "sweep").create(), [Slot("cpu", (), 1)]))
        return pools[-1]

    yield make
    for pool in pools:
        pool.stop()


def events_of(pool, key):
    """Hand out a run and wait for its events."""
    until = time.monotonic() + 300
    while not (idle := pool.idle()):
        assert time.monotonic() < until
        pool.wait(1.0)
    pool.give(idle[0], make_task(key))
    found = []
    while not found:
        assert time.monotonic() < until
        found = [message.event for message in pool.wait(1.0) if getattr(message.event, "key", None) == key]
    return found


@pytest.mark.parametrize("status", [0, 1, 3])
def test_a_worker_that_ends_fails_its_run(pool_of, status):
    """With status 0 too, which user code can choose."""
    (event,) = events_of(pool_of(status), "a")

    assert isinstance(event, Failed)
    assert event.retry
    assert f"exited with status {status}" in event.cause


def test_a_worker_without_its_device_requeues_its_run(pool_of):
    """It has not begun the run, so no attempt is lost."""
    (event,) = events_of(pool_of(EXIT_DEVICE_LOST), "a")

    assert isinstance(event, Requeued)
    assert not event.alone
