"""The time of finished runs is the same from table, records, or both."""

from __future__ import annotations

import pytest

from lthsweep.plan.expand import expand
from lthsweep.reduce import usage as module
from lthsweep.reduce.merge import merge
from lthsweep.reduce.usage import time_used
from lthsweep.spec import dump_spec, spec_of
from lthsweep.store.layout import SweepDir
from lthsweep.store.publish import commit_record
from tests.store.factory import make_record

SPEC = {
    "sweep": {"name": "tiny", "model": {"name": "lenet_300_100"}, "data": {"name": "digits"}},
    "grid": {"sparsity": [0.5, 0.8, 0.9]},
}


@pytest.fixture
def made(tmp_path):
    """A sweep with four records: two took 100 s on a CPU, two 1000 s on a GPU, one of them in a second attempt."""
    spec = spec_of(SPEC)
    plan, sweep = expand(spec), SweepDir(tmp_path / "sweep").create()
    sweep.sweep_toml.write_text(dump_spec(spec))
    for number, run in enumerate(plan.runs.values()):
        write(sweep, run, number, "cpu" if number < 2 else "NVIDIA H100", number)
    return plan, sweep


def write(sweep, run, number, device, seed):
    seconds = 100.0 if device == "cpu" else 1000.0
    wall, train = (seconds, seconds / 2) if number != 3 else (10.0, seconds)
    record = make_record(
        seed,
        kind=run.kind,
        manifest=dict(run.manifest),
        sparsity=run.prune.sparsity if run.prune else 0.0,
        metrics={"seconds_wall": wall, "seconds_train": train},
        provenance={"device": device},
    )
    commit_record(sweep, record, durable=False)


@pytest.mark.parametrize("merged", [False, True])
def test_seconds_add_up_by_device_with_all_attempts(made, merged):
    plan, sweep = made
    if merged:
        merge(sweep, plan)
        for record in sweep.records.iterdir():
            record.write_bytes(b"not looked at any more")

    used = time_used(sweep, list(plan.runs))

    assert (used.cpu_seconds, used.gpu_seconds, used.runs, used.exact) == (200.0, 2000.0, 4, True)


def test_only_existing_records_count(made):
    plan, sweep = made
    merge(sweep, plan)

    assert time_used(sweep, list(plan.runs)[:1]).cpu_seconds == 100.0
    assert time_used(sweep, []) == module.TimeUsed(0.0, 0.0, 0, True)


def test_unopened_records_are_extrapolated(made, monkeypatch):
    monkeypatch.setattr(module, "_MOST_OPENED", 2)
    plan, sweep = made

    used = time_used(sweep, list(plan.runs))

    assert (used.cpu_seconds, used.gpu_seconds, used.exact) == (400.0, 0.0, False)


def test_damaged_tables_and_records_are_skipped(made):
    plan, sweep = made
    sweep.table.write_bytes(b"no table")
    sweep.record(next(iter(plan.runs))).write_bytes(b"no record")

    assert not time_used(sweep, list(plan.runs)).exact
