"""A thousand tiny runs on a real SLURM while workers, jobs, nodes, coordinators and the controller are killed."""

from __future__ import annotations

import os
import shutil
import time

import pytest

from lthsweep.reduce.table import TableFile
from lthsweep.store import failures
from lthsweep.store.layout import SweepDir
from tests.slurm.chaos import Chaos
from tests.slurm.sweeps import OnSlurm

CELLS = int(os.environ.get("LTHSWEEP_CHAOS_CELLS", "1000"))
SEED = int(os.environ.get("LTHSWEEP_CHAOS_SEED", "0"))
EVERY = 6
"""Records from fault to fault, on average."""

SPARSITIES, REWINDS = 25, 4
PER_SEED = 1 + SPARSITIES * REWINDS

SWEEP = """
[sweep]
name = "thousand"
model = {{ name = "lenet_300_100" }}
data = {{ name = "digits", size = 8, validation = 100 }}

[train]
epochs = 1
batch_size = 64
optimizer = {{ name = "sgd", lr = 0.05, momentum = 0.9, weight_decay = 1e-4 }}

[grid]
sparsity = {sparsities}
rewind_epoch = [0, "5it", "10it", "15it"]
seed = {seeds}

[slurm]
cpus = 1
workers = 1
memory = "1G"
time = "30"
target_minutes = 0.1
floor_minutes = 0.05
controller_minutes = 0.05
poll_seconds = 1
lag_seconds = 10
attempts = 10
"""
"""Jobs of forty runs. Up to ten jobs in a row can be killed before their first step."""


@pytest.fixture
def ours(tmp_path, cluster, cache):
    seeds = list(range(-(-CELLS // PER_SEED)))
    sparsities = [round(0.02 + 0.03 * n, 2) for n in range(SPARSITIES)]
    file = tmp_path / "thousand.toml"
    file.write_text(SWEEP.format(sparsities=sparsities, seeds=seeds))
    environment = {**cluster.env, "LTHSWEEP_CACHE": str(cache), "COLUMNS": "150"}
    yield OnSlurm(environment, file, SweepDir(tmp_path / "sweep"))
    shutil.rmtree(tmp_path / "sweep", ignore_errors=True)  # a quarter of a gigabyte


@pytest.mark.slow
@pytest.mark.chaos
def test_a_thousand_runs_under_faults(ours, cluster, record_property):
    """No record is missing or twice, no run was trained to its end twice, and no run was ever in two jobs."""
    begun = time.monotonic()
    planned = set(ours.plan.runs)
    ours.run()
    ours.wait_for(lambda: ours.done > 0)
    chaos = Chaos(ours, cluster, SEED)
    chaos.rage(EVERY)
    ours.wait_for(ours.sweep.table.exists)
    ours.run("--wait")

    assert len(planned) >= CELLS
    assert set(ours.sweep.record_keys()) == planned
    assert chaos.twice == {}
    assert not list(ours.sweep.conflicts.glob("*"))
    assert [key for key, count in ended(ours).items() if count > 1] == []
    assert failures.read_failures(ours.sweep) == {}
    doctor = ours.lthsweep("doctor", ours.sweep.path)
    assert doctor.returncode == 0, doctor.stdout
    table = TableFile(ours.sweep.table).frames["runs"]
    assert sorted(table["key"]) == sorted(planned)
    assert table["test_accuracy"].notna().all()

    found = account(ours, chaos, time.monotonic() - begun)
    record_property("account", found)
    print(*(f"{name}: {value}" for name, value in found.items()), sep="\n")


def ended(ours):
    """Return how often each run was trained to its end, by its log."""
    return {
        key: ours.sweep.log(key).read_text(errors="replace").count("--- finished: test accuracy")
        for key in ours.plan.runs
    }


def account(ours, chaos, seconds):
    """Return the numbers for docs/reliability.md."""
    trained = [submission for submission in ours.journal() if submission.kind == "workers"]
    return {
        "cells": len(ours.plan.runs),
        "minutes": round(seconds / 60, 1),
        "faults": chaos.counted.total() - chaos.counted["`run --on slurm`"],
        **{f"fault: {kind}": count for kind, count in sorted(chaos.counted.items())},
        "submissions": len(ours.journal()),
        "training jobs": sum(submission.elements for submission in trained if submission.outcome != "void"),
        "void": sum(submission.outcome == "void" for submission in ours.journal()),
        "runs begun again": sum(count - 1 for count in ours.starts().values()),
    }
