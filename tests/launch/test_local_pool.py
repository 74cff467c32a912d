"""Workers that end: whose fault it is, and what becomes of the run they had. The workers are small scripts."""

from __future__ import annotations

import sys
import time

import pytest

from lthsweep.launch.local_pool import LocalPool
from lthsweep.launch.slots import Slot
from lthsweep.launch.task import LEAVING, Task
from lthsweep.store.layout import SweepDir

WORKER = """#!{python}
import os, sys
events = int(sys.argv[sys.argv.index("--events") + 1])
os.write(events, b'{{"kind": "ready", "key": "", "values": {{}}}}\\n')
sys.stdin.readline()
os._exit({status})
"""


@pytest.fixture
def pool_of(tmp_path, monkeypatch):
    """A pool of one worker that takes a task and ends with this status."""
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


def heard_of(pool, key):
    """Hand a run out, and wait for what is heard of it."""
    until = time.monotonic() + 300
    while not (idle := pool.idle()):
        assert time.monotonic() < until
        pool.wait(1.0)
    pool.give(idle[0], Task(key, "dense", {}, key, None, 0, 0, key, {}, None))
    found = []
    while not found:
        assert time.monotonic() < until
        found = [heard.message for heard in pool.wait(1.0) if heard.message.key == key]
    return found


@pytest.mark.parametrize("status", [0, 1, 3])
def test_a_worker_that_ends_over_a_run_has_failed_it(pool_of, status):
    """Also with status 0, which code of somebody's in the training may have chosen."""
    (message,) = heard_of(pool_of(status), "a")

    assert (message.kind, message.values["retry"]) == ("failed", True)
    assert f"exited with status {status}" in message.values["cause"]


def test_a_run_that_was_given_to_a_worker_about_to_leave_was_never_tried(pool_of):
    """Its device is broken, and it says so with its status; the next worker gets the run, and no attempt is lost."""
    (message,) = heard_of(pool_of(LEAVING), "a")

    assert message.kind == "returned"
    assert "alone" not in message.values
