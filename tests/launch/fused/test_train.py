"""Tickets that a worker trains in one ensemble; each has its claim, log, checkpoint, record and end."""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import replace

import pytest
import torch

from lthsweep.launch.checkpoint import load_checkpoint
from lthsweep.launch.events import Failed, Finished, Held, Requeued, RunProgress, Stopped
from lthsweep.launch.fused import train as fused
from lthsweep.launch.task import Task
from lthsweep.launch.worker import Worker
from lthsweep.plan.expand import expand
from lthsweep.spec import load_spec
from lthsweep.store import claims, failures
from lthsweep.store.heartbeats import read_heartbeats
from lthsweep.store.layout import SweepDir
from lthsweep.store.metrics import TIMING_METRICS
from lthsweep.store.owners import this_process
from lthsweep.store.record import decode
from tests.launch.processes import wait_until
from tests.launch.sweeps import command, environment, lthsweep, write_tiny
from tests.launch.test_local_runs import records, workers_of

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")


class FakeChannel:
    """Keeps the events of a worker; closes after a number of calls of `is_closed`."""

    def __init__(self, asks=10**9, on_progress=lambda: None):
        self.events = []
        self.asks = asks
        self.on_progress = on_progress

    def is_closed(self):
        self.asks -= 1
        return self.asks < 0

    def send(self, event):
        self.events.append(event)
        if isinstance(event, RunProgress):
            self.on_progress()

    def ends(self):
        return {event.key: event for event in self.events if not isinstance(event, RunProgress)}

    def kinds(self):
        return [type(event) for event in self.events if not isinstance(event, RunProgress)]


@pytest.fixture
def dense(finished, tmp_path):
    """A sweep with a finished dense run and tickets to train."""
    sweep = SweepDir(tmp_path / "sweep")
    shutil.copytree(finished.path, sweep.path)
    for key, record in records(finished).items():
        if record.kind == "ticket":
            sweep.record(key).unlink()
            shutil.rmtree(sweep.weights_of(key))
            sweep.log(key).unlink()
    return sweep


@pytest.fixture
def tasks(finished, cache):
    """The two tickets of the tiny sweep that rewind to initialization, as one task."""
    plan = expand(load_spec(str(finished.sweep_toml)))
    first, second = (Task(run, cache=str(cache)) for run in plan.tickets if run.prune.point.value == 0)
    return replace(first, companions=(second,))


def train(sweep, task, channel):
    Worker(sweep, "worker", channel).work(task, CPU)
    return channel


def assert_close(ours, theirs):
    """Two records of one run agree, up to the rounding of other kernels."""
    assert ours.audit["ok"]
    assert ours.masks.keys() == theirs.masks.keys()
    assert all((ours.masks[name] == theirs.masks[name]).all() for name in ours.masks)
    for name in set(theirs.metrics) - TIMING_METRICS:
        # Of 360 test images two may tip over, of the steps to reach an accuracy one epoch.
        tolerance = 45 if name == "steps_to_dense" else 0.011 if "accuracy" in name else 2e-3
        assert ours.metrics[name] == pytest.approx(theirs.metrics[name], abs=tolerance, nan_ok=True), name


def test_fused_sweeps_equal_single_runs(finished, cache, tmp_path):
    """Up to rounding. Provenance and logs name the ensemble, and its time is divided."""
    sweep = SweepDir(tmp_path / "sweep")

    ended = lthsweep("run", write_tiny(tmp_path), "--out", sweep.path, "--set", "train.fuse=3", cache=cache)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    ours, theirs = records(sweep), records(finished)
    assert ours.keys() == theirs.keys()
    for key in ours:
        assert_close(ours[key], theirs[key])
        assert "fuse" not in ours[key].resolved["train"]
    tickets = {key: record for key, record in ours.items() if record.kind == "ticket"}
    assert {record.provenance["fused"] for record in tickets.values()} == {2}
    for key, record in tickets.items():
        (other,) = record.provenance["fused_with"]
        assert tickets[other].provenance["fused_with"] == [key]
        assert f"in one ensemble with {other}" in sweep.log(key).read_text()
        assert tickets[other].metrics["seconds_train"] == pytest.approx(record.metrics["seconds_train"])
    assert "fused" not in next(r for r in ours.values() if r.kind == "dense").provenance
    for folder in (sweep.claims, sweep.checkpoints, sweep.workers, sweep.failures):
        assert list(folder.iterdir()) == []


@pytest.mark.chaos
def test_runs_of_a_killed_worker_resume_alone(cache, tmp_path, start, held):
    """From their checkpoints. A run that kills its worker fails the others only once."""
    sweep = SweepDir(tmp_path / "sweep")
    file = write_tiny(tmp_path, epochs=4, checkpoint_seconds=0.01)
    options = ("--set", "train.fuse=4", "--set", "local.workers=1", "--set", "grid.rewind_epoch=[0]")
    arguments = command("run", file, "--out", sweep.path, *options)
    held.pace(0.02)  # each of them would wait out a longer one, and before them their trunk
    running = start(arguments, env=environment(cache) | held.variables)
    plan = expand(load_spec(str(file), ["grid.rewind_epoch=[0]"]))
    keys = [run.key for run in plan.tickets]
    wait_until(lambda: all(sweep.checkpoint(key).exists() for key in keys), running)

    (worker,) = workers_of(running.pid)
    os.kill(worker, signal.SIGKILL)
    held.let_go()
    output = running.end()

    assert running.returncode == 0, output
    assert output.count("was killed by SIGKILL") == 2
    for key in keys:
        assert "going on from step" in sweep.log(key).read_text()
        assert "fused" not in decode(sweep.record(key)).provenance


def test_one_heartbeat_shows_all_members(dense, tasks):
    """With the validation accuracy of each."""
    beats = []
    channel = FakeChannel(on_progress=lambda: beats.extend(read_heartbeats(dense)))

    train(dense, tasks, channel)

    keys = [task.key for task in tasks.each]
    assert channel.kinds() == [Finished, Finished]
    assert {event.key for event in channel.events if isinstance(event, RunProgress)} == set(keys)
    assert [beat.key for beat in beats[0].of_each()] == keys
    assert {event.fused for event in channel.ends().values()} == {2}


def test_stopped_runs_resume_alone_or_in_another_ensemble(dense, tasks, finished):
    """`train.fuse` may be changed at any time."""
    stopped = train(dense, tasks, FakeChannel(asks=100))
    steps = {load_checkpoint(dense, key).progress["step"] for key in stopped.ends()}
    alone = train(dense, tasks.companions[0], FakeChannel())
    rest = train(dense, tasks, FakeChannel())

    assert stopped.kinds() == [Stopped, Stopped]
    assert len(steps) == 1 and 40 < steps.pop() < 60
    assert alone.kinds() == [Finished]
    assert {event.outcome for event in rest.ends().values()} == {"finished", "present"}
    for task in tasks.each:
        assert_close(decode(dense.record(task.key)), decode(finished.record(task.key)))


def test_a_stop_between_two_records_leaves_a_checkpoint(dense, tasks, finished):
    """Of the last step. Storing many records takes time."""

    class Closing(FakeChannel):
        def send(self, event):
            super().send(event)
            self.asks = 0 if isinstance(event, Finished) else self.asks

    channel = train(dense, tasks, Closing())
    second = tasks.companions[0]
    step = load_checkpoint(dense, second.key).progress["step"]
    rest = train(dense, second, FakeChannel())

    assert channel.kinds() == [Finished, Stopped]
    assert step == decode(finished.record(second.key)).metrics["steps_total"]
    assert rest.kinds() == [Finished]
    assert_close(decode(dense.record(second.key)), decode(finished.record(second.key)))


def test_a_member_at_another_step_is_requeued(dense, tasks):
    """The first is trained, and no attempt of the other is lost."""
    train(dense, replace(tasks, companions=()), FakeChannel(asks=50))

    channel = train(dense, tasks, FakeChannel())

    first, second = (task.key for task in tasks.each)
    assert {key: type(event) for key, event in channel.ends().items()} == {
        first: Finished,
        second: Requeued,
    }
    assert "it goes on from step 0" in channel.ends()[second].cause
    assert claims.holder(dense, second, 900) is None
    assert train(dense, tasks.companions[0], FakeChannel()).kinds() == [Finished]
    assert decode(dense.record(second)).provenance["attempt"] == 1


def test_a_member_that_cannot_be_pruned_fails_alone(dense, tasks):
    """The others are trained."""
    (companion,) = tasks.companions
    prune = replace(companion.prune, exclude=("fc9",))
    broken = replace(companion, run=replace(companion.run, prune=prune))

    channel = train(dense, replace(tasks, companions=(broken,)), FakeChannel())

    assert isinstance(channel.ends()[tasks.key], Finished)
    failed = channel.ends()[companion.key]
    assert isinstance(failed, Failed)
    assert (failed.error, failed.retry) == ("PruningError", False)
    assert "fc9" in dense.log(companion.key).read_text()


def test_other_members_of_a_canceled_run_are_requeued(dense, tasks):
    """With checkpoints; the worker stays for the next task."""
    (companion,) = tasks.companions
    failures.record_failure(dense, companion.key, failures.Failure("not wanted", failures.CANCELLED))

    channel = train(dense, tasks, FakeChannel())

    ends = channel.ends()
    assert ends[companion.key].error == failures.CANCELLED
    assert isinstance(ends[tasks.key], Requeued)
    assert not ends[tasks.key].alone
    assert all(dense.checkpoint(task.key).exists() for task in tasks.each)
    assert claims.take(dense, tasks.key, this_process(), stale_seconds=900)


def test_members_claimed_elsewhere_are_left_out(dense, tasks):
    """The others are trained."""
    (companion,) = tasks.companions
    assert claims.take(dense, companion.key, this_process(), stale_seconds=900)

    channel = train(dense, tasks, FakeChannel())

    assert {key: type(event) for key, event in channel.ends().items()} == {
        tasks.key: Finished,
        companion.key: Held,
    }


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("a kernel failed"), {"alone": True}),
        (torch.OutOfMemoryError("40 GiB"), {"fuse_width": 1}),
    ],
    ids=["error", "memory"],
)
def test_an_ensemble_that_raises_is_requeued(dense, tasks, monkeypatch, error, expected):
    """Alone, to find the run that raises; or in smaller ensembles, which need less memory. No attempt is lost."""

    def fails(trainings, between_steps):
        raise error

    monkeypatch.setattr(fused, "train_ensemble", fails)

    channel = train(dense, tasks, FakeChannel())

    assert channel.kinds() == [Requeued, Requeued]
    for event in channel.ends().values():
        assert {name: getattr(event, name) for name in expected} == expected
        assert str(error) in event.cause
    assert train(dense, replace(tasks, companions=()), FakeChannel()).kinds() == [Finished]


def test_tickets_that_cannot_be_batched_are_requeued(dense, tasks, monkeypatch):
    """With a fuse width of 1."""
    monkeypatch.setattr(fused, "reason_not_fusible", lambda prepared: "its layers draw other numbers")

    channel = train(dense, tasks, FakeChannel())

    requeued = channel.ends()[tasks.companions[0].key]
    assert isinstance(channel.ends()[tasks.key], Finished)
    assert isinstance(requeued, Requeued)
    assert requeued.fuse_width == 1


def test_a_measured_fuse_width_is_reported(dense, tasks):
    """So it is measured once, not by every worker for every ensemble."""
    channel = train(dense, replace(tasks, measure_fuse_width=True), FakeChannel())

    first, second = (channel.ends()[task.key] for task in tasks.each)
    assert isinstance(first, Finished)
    assert isinstance(second, Requeued if first.fuse_width == 1 else Finished)
    assert second.fuse_width == first.fuse_width >= 1
    assert first.fused == min(2, first.fuse_width)
