"""Exactly one worker gets a run; a dead owner's run goes to exactly one other."""

from __future__ import annotations

import dataclasses
import errno
import multiprocessing
import os
import subprocess
import sys

import pytest

from lthsweep.errors import StoreError
from lthsweep.store import owners, plainjson
from lthsweep.store.claims import evict, holder, refresh, release, take
from lthsweep.store.layout import SweepDir
from lthsweep.store.owners import Owner, this_process
from tests.store.factory import names

KEY = "0123456789abcdef0123"
STALE = 60.0
ROUNDS = 100
RACERS = 4


@pytest.fixture
def sweep(tmp_path):
    return SweepDir(tmp_path / "sweep").create()


def dead_owner():
    """An owner on this machine whose process is gone."""
    done = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    return dataclasses.replace(this_process(), pid=int(done.stdout))


def elsewhere():
    """An owner whose process cannot be checked from here."""
    return Owner(host="node99", place="another boot", pid=1, start=1, token=os.urandom(8).hex())


def age(sweep, seconds, generation=0):
    """Make a claim's last heartbeat old."""
    path = sweep.claim(KEY, generation)
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


def race(path, gate, results):
    """One of the racers: ask for every run as soon as all others do."""
    sweep, owner = SweepDir(path), this_process()
    won = []
    for turn in range(ROUNDS):
        gate.wait()
        if take(sweep, f"run{turn}", owner, STALE):
            won.append(turn)
    results.put(won)
    gate.wait()  # alive until all are done, or its claims would be free


def winners(sweep):
    """Rounds won by all racers together, sorted."""
    context = multiprocessing.get_context("spawn")
    gate, results = context.Barrier(RACERS, timeout=300), context.Queue()
    arguments = (sweep.path, gate, results)
    racers = [context.Process(target=race, args=arguments, daemon=True) for _ in range(RACERS)]
    for racer in racers:
        racer.start()
    won = [turn for _ in racers for turn in results.get(timeout=300)]
    for racer in racers:
        racer.join()
    return sorted(won)


@pytest.mark.slow
def test_exactly_one_racing_worker_gets_a_run(sweep):
    """Two workers that train the same run waste one training."""
    assert winners(sweep) == list(range(ROUNDS))


@pytest.mark.slow
def test_exactly_one_racing_worker_takes_a_run_over(sweep):
    """The hard case: all find the owner dead at once, and the second must not bury the first one's claim."""
    gone = dead_owner()
    for turn in range(ROUNDS):
        sweep.claim(f"run{turn}").write_bytes(plainjson.dump(dataclasses.asdict(gone)))

    assert winners(sweep) == list(range(ROUNDS))


def test_a_living_owner_keeps_its_claim(sweep):
    """Even if it gave no heartbeat: its process is there to be seen."""
    first, second = this_process(), this_process()

    assert take(sweep, KEY, first, STALE)
    age(sweep, 10 * STALE)
    assert not take(sweep, KEY, second, STALE)
    assert take(sweep, KEY, first, STALE)
    assert holder(sweep, KEY, STALE) == first


def test_a_process_that_is_gone_loses_its_claim(sweep):
    """A killed worker's run continues at once, without waiting for its heartbeat to age."""
    assert take(sweep, KEY, dead_owner(), STALE)
    assert holder(sweep, KEY, STALE) is None
    heir = this_process()

    assert take(sweep, KEY, heir, STALE)
    assert holder(sweep, KEY, STALE) == heir


def test_a_reused_pid_is_not_the_owner(sweep):
    """Pids are reused; the start time of the process distinguishes them."""
    me = this_process()
    assert take(sweep, KEY, dataclasses.replace(me, start=me.start - 1, token="old"), STALE)

    assert take(sweep, KEY, me, STALE)


def test_a_zombie_process_is_dead(sweep):
    """A killed child that its parent has not waited for yet still has a pid."""
    child = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert child.stdout is not None
    owner = dataclasses.replace(this_process(), pid=child.pid, start=owners._start_of(child.pid) or 0)
    take(sweep, KEY, owner, STALE)
    child.stdout.read()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

    assert take(sweep, KEY, this_process(), STALE)
    child.wait()


def test_an_owner_of_a_restarted_job_is_dead(sweep, monkeypatch):
    """A stopped worker that SLURM no longer reaches lives, and would hold its run for ever on its own node."""
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    before = this_process()
    take(sweep, KEY, before, STALE)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    after = this_process()

    assert take(sweep, KEY, after, STALE)
    assert not refresh(sweep, KEY, before)
    assert not take(sweep, KEY, before, STALE)


def test_the_heartbeat_decides_for_owners_elsewhere(sweep):
    """Another host's process cannot be checked."""
    other, me = elsewhere(), this_process()
    assert take(sweep, KEY, other, STALE)
    age(sweep, STALE / 2)
    assert not take(sweep, KEY, me, STALE)
    age(sweep, STALE)

    assert take(sweep, KEY, me, STALE)
    assert names(sweep.claims) == [f"{KEY}.json", f"{KEY}.json.1"]


def test_a_heartbeat_keeps_a_claim_alive(sweep):
    """The owner renews its claim, and learns whether it is still the owner."""
    other = elsewhere()
    take(sweep, KEY, other, STALE)
    age(sweep, 2 * STALE)

    assert refresh(sweep, KEY, other) is True
    assert not take(sweep, KEY, this_process(), STALE)


def test_a_stopped_worker_finds_its_claim_lost(sweep):
    """Stopped for an hour, taken over, woken up: it must not touch the heir's claim."""
    zombie, heir = elsewhere(), this_process()
    take(sweep, KEY, zombie, STALE)
    age(sweep, 2 * STALE)
    take(sweep, KEY, heir, STALE)

    assert refresh(sweep, KEY, zombie) is False
    release(sweep, KEY, zombie)
    assert not take(sweep, KEY, zombie, STALE)
    assert holder(sweep, KEY, STALE) == heir


def test_a_released_run_is_free_at_once(sweep):
    """An interrupted worker gives its run back in good order."""
    first, second = this_process(), this_process()
    take(sweep, KEY, first, STALE)

    release(sweep, KEY, first)

    assert holder(sweep, KEY, STALE) is None
    assert refresh(sweep, KEY, first) is False
    assert take(sweep, KEY, second, STALE)
    assert not take(sweep, KEY, first, STALE)


def test_release_needs_no_space(sweep, monkeypatch):
    """The usual reason to give a run back is a full disk."""
    first = this_process()
    take(sweep, KEY, first, STALE)
    with monkeypatch.context() as patch:

        def full(*arguments, **options):
            raise OSError(errno.ENOSPC, "No space left on device")

        patch.setattr(os, "write", full)
        release(sweep, KEY, first)

    assert take(sweep, KEY, this_process(), STALE)


def test_a_finished_run_needs_no_claim(sweep):
    """The release removes its claims, and no one gets a new one."""
    owner = this_process()
    take(sweep, KEY, dead_owner(), STALE)
    take(sweep, KEY, owner, STALE)
    sweep.record(KEY).touch()

    release(sweep, KEY, owner)

    assert names(sweep.claims) == []
    assert not take(sweep, KEY, this_process(), STALE)
    assert names(sweep.claims) == []


def test_a_late_worker_finds_the_record(sweep, monkeypatch):
    """The run can finish, and its claims be removed, between a late worker's check and its link."""
    looks = iter([False, True])
    monkeypatch.setattr(SweepDir, "has_record", lambda self, key: next(looks))

    assert not take(sweep, KEY, this_process(), STALE)
    assert names(sweep.claims) == []


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"pid":"x"}'])
def test_a_claim_that_cannot_be_read_ages(sweep, content):
    """After a power cut a claim can be empty; it must not hold its run forever."""
    sweep.claim(KEY).write_bytes(content)

    assert not take(sweep, KEY, this_process(), STALE)
    age(sweep, 2 * STALE)
    assert take(sweep, KEY, this_process(), STALE)


def test_a_claim_needs_its_folder(sweep):
    """Without state/ nothing can be claimed, and the error has the path."""
    sweep.claims.rmdir()

    with pytest.raises(StoreError, match="claims"):
        take(sweep, KEY, this_process(), STALE)


def test_a_hung_owner_can_be_evicted(sweep):
    """The coordinator evicts it; the run goes to exactly one other, and the owner detects this when it resumes."""
    hung, other, third = this_process(), this_process(), this_process()
    take(sweep, KEY, hung, STALE)

    assert evict(sweep, KEY, hung.host, hung.pid) is True

    assert holder(sweep, KEY, STALE) is None
    assert take(sweep, KEY, other, STALE)
    assert not take(sweep, KEY, third, STALE)
    assert refresh(sweep, KEY, hung) is False
    release(sweep, KEY, hung)
    assert holder(sweep, KEY, STALE) == other


def test_only_the_owner_that_is_named_is_evicted(sweep):
    """Another coordinator's worker can have the run by now."""
    owner = this_process()

    assert evict(sweep, KEY, owner.host, owner.pid) is False
    take(sweep, KEY, owner, STALE)
    assert evict(sweep, KEY, owner.host, owner.pid + 1) is False
    assert holder(sweep, KEY, STALE) == owner
