"""Several tickets trained as one by a worker: every one has its own claim, log, checkpoint, record and end."""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import replace

import pytest
import torch

from lthsweep.launch import fused
from lthsweep.launch.task import task_for
from lthsweep.launch.watch import load_checkpoint
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


class Line:
    """Keeps what a worker says; is closed when it was asked for so often."""

    def __init__(self, asks=10**9, on_progress=lambda: None):
        self.said = []
        self.asks = asks
        self.on_progress = on_progress

    def is_closed(self):
        self.asks -= 1
        return self.asks < 0

    def say(self, message):
        self.said.append(message)
        if message.kind == "progress":
            self.on_progress()

    def ends(self):
        return {one.key: one for one in self.said if one.kind != "progress"}

    def kinds(self):
        return [one.kind for one in self.said if one.kind != "progress"]


@pytest.fixture
def dense(finished, tmp_path):
    """A sweep whose trunk is finished; its tickets are to be trained."""
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
    """The two tickets of the tiny sweep that return to initialization, as one task."""
    plan = expand(load_spec(str(finished.sweep_toml)))
    first, second = (task_for(run, cache=str(cache)) for run in plan.tickets if run.prune.point.value == 0)
    return replace(first, companions=[second])


def train(sweep, task, line):
    Worker(sweep, "worker", line).work(task, CPU, fused.train)
    return line


def assert_close(ours, theirs):
    """Two records of one run say the same, up to the rounding of other kernels."""
    assert ours.audit["ok"]
    assert ours.masks.keys() == theirs.masks.keys()
    assert all((ours.masks[name] == theirs.masks[name]).all() for name in ours.masks)
    for name in set(theirs.metrics) - TIMING_METRICS:
        # Of 360 test images two may tip over, of the steps to reach an accuracy one epoch.
        tolerance = 45 if name == "steps_to_dense" else 0.011 if "accuracy" in name else 2e-3
        assert ours.metrics[name] == pytest.approx(theirs.metrics[name], abs=tolerance, nan_ok=True), name


def test_a_fused_sweep_has_the_keys_and_up_to_rounding_the_results_of_one_by_one(finished, cache, tmp_path):
    """What was trained with what is said by provenance and logs, and the seconds are shared."""
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
        assert f"as one with {other}" in sweep.log(key).read_text()
        assert tickets[other].metrics["seconds_train"] == pytest.approx(record.metrics["seconds_train"])
    assert "fused" not in next(r for r in ours.values() if r.kind == "dense").provenance
    for folder in (sweep.claims, sweep.checkpoints, sweep.workers, sweep.failures):
        assert list(folder.iterdir()) == []


@pytest.mark.chaos
def test_of_a_killed_worker_all_runs_go_on_from_their_checkpoints(cache, tmp_path, start, held):
    """Alone, so that one of them cannot take the others with it twice."""
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
    said = running.end()

    assert running.returncode == 0, said
    assert said.count("was killed by SIGKILL") == 2
    for key in keys:
        assert "going on from step" in sweep.log(key).read_text()
        assert "fused" not in decode(sweep.record(key)).provenance


def test_all_that_are_trained_as_one_are_seen_at_work(dense, tasks):
    """By one heartbeat, which says how far each has come."""
    beats = []
    line = Line(on_progress=lambda: beats.extend(read_heartbeats(dense)))

    train(dense, tasks, line)

    keys = [task.key for task in tasks.together]
    assert line.kinds() == ["finished", "finished"]
    assert {message.key for message in line.said if message.kind == "progress"} == set(keys)
    assert [beat.key for beat in beats[0].of_each()] == keys
    assert {message.values["fused"] for message in line.ends().values()} == {2}


def test_stopped_runs_go_on_alone_or_in_other_company(dense, tasks, finished):
    """`train.fuse` may be changed at any time."""
    stopped = train(dense, tasks, Line(asks=100))
    steps = {load_checkpoint(dense.checkpoint(key)).progress["step"] for key in stopped.ends()}
    alone = train(dense, tasks.companions[0], Line())
    rest = train(dense, tasks, Line())

    assert stopped.kinds() == ["stopped", "stopped"]
    assert len(steps) == 1 and 40 < steps.pop() < 60
    assert alone.kinds() == ["finished"]
    assert {message.values["outcome"] for message in rest.ends().values()} == {"finished", "present"}
    for task in tasks.together:
        assert_close(decode(dense.record(task.key)), decode(finished.record(task.key)))


def test_who_is_asked_to_stop_between_two_records_leaves_a_checkpoint_of_the_last_step(
    dense, tasks, finished
):
    """Many records take a while."""

    class Closing(Line):
        def say(self, message):
            super().say(message)
            self.asks = 0 if message.kind == "finished" else self.asks

    line = train(dense, tasks, Closing())
    second = tasks.companions[0]
    step = load_checkpoint(dense.checkpoint(second.key)).progress["step"]
    rest = train(dense, second, Line())

    assert line.kinds() == ["finished", "stopped"]
    assert step == decode(finished.record(second.key)).metrics["steps_total"]
    assert rest.kinds() == ["finished"]
    assert_close(decode(dense.record(second.key)), decode(finished.record(second.key)))


def test_what_goes_on_from_another_step_is_returned(dense, tasks):
    """The first is trained, the other is handed out again."""
    train(dense, replace(tasks, companions=[]), Line(asks=50))

    line = train(dense, tasks, Line())

    first, second = (task.key for task in tasks.together)
    assert {key: message.kind for key, message in line.ends().items()} == {
        first: "finished",
        second: "returned",
    }
    assert "it goes on from step 0" in line.ends()[second].values["cause"]
    assert claims.holder(dense, second, 900) is None
    assert train(dense, tasks.companions[0], Line()).kinds() == ["finished"]
    assert decode(dense.record(second)).provenance["attempt"] == 1


def test_one_that_cannot_be_pruned_fails_as_alone_and_the_others_are_trained(dense, tasks):
    (companion,) = tasks.companions
    broken = replace(companion, prune=companion.prune | {"exclude": ["fc9"]})

    line = train(dense, replace(tasks, companions=[broken]), Line())

    assert line.ends()[tasks.key].kind == "finished"
    failed = line.ends()[companion.key]
    assert (failed.kind, failed.values["error"], failed.values["retry"]) == ("failed", "PruningError", False)
    assert "fc9" in dense.log(companion.key).read_text()


def test_of_a_bundle_of_which_one_is_canceled_the_others_are_handed_out_again(dense, tasks):
    """With checkpoints; the worker stays for the next task."""
    (companion,) = tasks.companions
    failures.record_failure(dense, companion.key, failures.Failure("not wanted", failures.CANCELLED))

    line = train(dense, tasks, Line())

    ends = line.ends()
    assert ends[companion.key].values["error"] == failures.CANCELLED
    assert (ends[tasks.key].kind, "alone" in ends[tasks.key].values) == ("returned", False)
    assert all(dense.checkpoint(task.key).exists() for task in tasks.together)
    assert claims.take(dense, tasks.key, this_process(), stale_seconds=900)


def test_one_that_another_worker_holds_is_left_to_it(dense, tasks):
    (companion,) = tasks.companions
    assert claims.take(dense, companion.key, this_process(), stale_seconds=900)

    line = train(dense, tasks, Line())

    assert {key: message.kind for key, message in line.ends().items()} == {
        tasks.key: "finished",
        companion.key: "held",
    }


@pytest.mark.parametrize(
    ("error", "said"),
    [(RuntimeError("a kernel failed"), {"alone": True}), (torch.OutOfMemoryError("40 GiB"), {"width": 1})],
    ids=["error", "memory"],
)
def test_an_error_in_company_is_nobody_s_end(dense, tasks, monkeypatch, error, said):
    """Whose fault it was is found out alone, and fewer need less memory; no attempt is lost."""

    def fails(trainings, between_steps):
        raise error

    monkeypatch.setattr(fused, "train_ensemble", fails)

    line = train(dense, tasks, Line())

    assert line.kinds() == ["returned", "returned"]
    for message in line.ends().values():
        assert {name: message.values[name] for name in said} == said
        assert str(error) in message.values["cause"]
    assert train(dense, replace(tasks, companions=[]), Line()).kinds() == ["finished"]


def test_tickets_that_cannot_be_batched_are_returned_with_the_advice_to_hand_out_one(
    dense, tasks, monkeypatch
):
    monkeypatch.setattr(fused, "reason_not_fusible", lambda prepared: "its layers draw otherwise")

    line = train(dense, tasks, Line())

    returned = line.ends()[tasks.companions[0].key]
    assert line.ends()[tasks.key].kind == "finished"
    assert (returned.kind, returned.values["width"]) == ("returned", 1)


def test_a_worker_that_is_to_find_out_how_many_pay_says_so_and_returns_the_others(dense, tasks):
    """So it is measured once, and not by every worker for every bundle."""
    line = train(dense, replace(tasks, measure_width=True), Line())

    first, second = (line.ends()[task.key] for task in tasks.together)
    assert first.kind == "finished"
    assert second.kind == ("returned" if first.values["width"] == 1 else "finished")
    assert second.values["width"] == first.values["width"] >= 1
    assert first.values["fused"] == min(2, first.values["width"])
