"""Damaged files are repaired by the commands that the messages name, and the numbers are the same again."""

from __future__ import annotations

import json
import shutil

import pytest

from lthsweep.plan.expand import expand
from lthsweep.spec import load_spec
from lthsweep.store.layout import SweepDir
from lthsweep.store.publish import differences
from lthsweep.store.record import decode
from tests.commands.in_process import lthsweep

pytestmark = pytest.mark.slow


@pytest.fixture
def sweep(finished, tmp_path):
    """A copy of the finished tiny sweep."""
    shutil.copytree(finished.path, tmp_path / "sweep")
    return SweepDir(tmp_path / "sweep")


@pytest.fixture
def plan(sweep):
    return expand(load_spec(sweep.path))


@pytest.fixture
def command(cache):
    return lambda *words: lthsweep(*words, cache=cache)


def flip(path):
    """Change one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_damaged_runs_are_trained_again_to_the_same_bits(sweep, plan, command):
    """The dense run and a ticket: `run` names both and trains neither, until `doctor` has moved them away."""
    keys = [plan.dense[0].key, plan.tickets[0].key]
    before = {key: decode(sweep.record(key)) for key in keys}
    for key in keys:
        flip(sweep.record(key))

    refused = command("run", sweep.path, "--quiet")
    moved = command("doctor", sweep.path, "--quarantine")
    trained = command("run", sweep.path, "--quiet")

    assert refused.returncode == 1
    assert all(key in refused.stderr for key in keys)
    assert f"lthsweep doctor {sweep.path} --quarantine" in refused.stderr
    assert moved.returncode == 1
    assert len(list(sweep.quarantine.iterdir())) == 2
    assert trained.returncode == 0, trained.stderr
    assert all(differences(before[key], decode(sweep.record(key))) == () for key in keys)
    assert command("doctor", sweep.path).returncode == 0


def test_a_ticket_of_a_damaged_dense_run_is_not_trained(sweep, plan, command):
    """Its attempt would fail; `explain` names the record and the commands."""
    ticket = plan.tickets[0].key
    sweep.record(ticket).unlink()
    flip(sweep.record(plan.dense[0].key))

    ended = command("run", sweep.path, "--quiet")
    explained = json.loads(command("explain", sweep.path, ticket, "--json").stdout)

    assert ended.returncode == 1
    assert not sweep.record(ticket).exists()
    assert not sweep.failure(ticket).exists()
    states = {run["key"]: run["state"] for run in explained}
    assert states[ticket] == "blocked" and states[plan.dense[0].key] == "damaged"
    assert all("doctor" in run["command"] for run in explained)


def test_a_damaged_checkpoint_costs_only_time(sweep, plan, command):
    """The log names it, it is kept, and the run has the same result as without it."""
    ticket = plan.tickets[0].key
    before = decode(sweep.record(ticket))
    sweep.record(ticket).unlink()
    shutil.copyfile(sweep.final(plan.tickets[1].key), sweep.checkpoint(ticket))  # of another run

    ended = command("run", sweep.path, "--quiet")

    assert ended.returncode == 0, ended.stderr
    assert "starting over, because the checkpoint is damaged" in sweep.log(ticket).read_text()
    assert len(list(sweep.quarantine.iterdir())) == 1
    assert differences(before, decode(sweep.record(ticket))) == ()


def test_a_damaged_later_snapshot_is_replayed(sweep, plan, command):
    """A snapshot of a replay has its hash in the file only; without it, no record of the dense run is moved."""
    grown = ("--set", "grid.rewind_epoch=[0,1,0.5]", "--set", "grid.sparsity=[0.5]")
    assert command("run", sweep.path, *grown, "--quiet").returncode == 0
    dense = plan.dense[0].key
    (later,) = [
        path
        for path in sweep.weights_of(dense).glob("step-*")
        if path.name not in decode(sweep.record(dense)).weights
    ]
    content = later.read_bytes()
    ticket = next(run.key for run in expand(load_spec(sweep.path)).tickets if str(run.prune.point) == "0.5")
    before = decode(sweep.record(ticket))
    sweep.record(ticket).unlink()
    flip(later)

    failed = command("run", sweep.path, "--quiet")
    moved = command("doctor", sweep.path, "--quarantine")
    trained = command("run", sweep.path, "--quiet")

    assert failed.returncode == 1 and later.name in failed.stderr
    assert moved.returncode == 1 and sweep.record(dense).exists()
    assert trained.returncode == 0, trained.stderr
    assert later.read_bytes() == content
    assert differences(before, decode(sweep.record(ticket))) == ()
