"""Small plans and synthetic records for the tests of the reducer."""

from __future__ import annotations

import hashlib
import math

import numpy as np

from lthsweep.plan.expand import expand
from lthsweep.reduce.run_result import result_of
from lthsweep.spec import spec_of
from lthsweep.store.record import Record, curve_table, decode, encode, layer_table

LAYERS = ("conv1.weight", "conv2.weight", "fc.weight")
SIZES = (100, 300, 600)
OTHER_PARAMETERS = 24


def make_plan(*, prune=None, train=None, margin=0.002, **grid):
    """The plan of a lenet on digits; `grid` as in the file."""
    grid = {"sparsity": [0.0, 0.5, 0.9], "rewind_epoch": [0, 2], "seed": [0, 1], **grid}
    tables = {
        "sweep": {"name": "small", "model": {"name": "lenet_300_100"}, "data": {"name": "digits"}},
        "train": {"epochs": 4, **(train or {})},
        "prune": prune or {},
        "grid": {axis: values for axis, values in grid.items() if values is not None},
        "verdict": {"margin": margin},
    }
    return expand(spec_of(tables))


def large_plan(rewinds):
    """3 dense runs and 3 × 68 tickets for each of so many rewind epochs."""
    sparsities = [round(0.3 + i / 100, 2) for i in range(68)]
    return make_plan(
        train={"epochs": 60}, seed=[0, 1, 2], rewind_epoch=list(range(rewinds)), sparsity=sparsities
    )


def make_record(
    run, *, accuracy=None, outcome="finished", host="h1", epochs=3, dead=(), audit_ok=True, **metrics
):
    """A record of a run whose numbers are a function of its key."""
    if accuracy is None:
        accuracy = round(0.9 + int(hashlib.sha256(run.key.encode()).hexdigest()[:4], 16) / 2**20, 4)
    sparsity = 0.0 if run.prune is None else run.prune.sparsity or 0.3
    remaining = [max(1, round(size * (1 - sparsity))) for size in SIZES]
    remaining = [0 if name in dead else kept for name, kept in zip(LAYERS, remaining, strict=True)]
    values = {
        "test_accuracy": math.nan if outcome == "diverged" else accuracy,
        "pruned_test_accuracy": accuracy / 2,
        "params_total": sum(SIZES) + OTHER_PARAMETERS,
        "params_prunable": sum(SIZES),
        "params_remaining": sum(remaining),
        "macs_dense": 1000,
        "macs_remaining": sum(remaining),
        "seconds_train": 12.5,
        "sparsity_achieved": 1 - sum(remaining) / sum(SIZES),
        "steps_to_dense": -1,
        **metrics,
    }
    if run.kind == "dense":
        values = {
            name: value for name, value in values.items() if not name.startswith(("pruned", "steps_to"))
        }
    curves = curve_table(
        {"epoch": i + 1, "step": 10 * (i + 1), "train_loss": 1 / (i + 1), "val_accuracy": accuracy, "lr": 0.1}
        for i in range(epochs)
    )
    masks = {}
    if run.kind == "ticket":
        masks = {
            name: np.arange(size) < kept for name, size, kept in zip(LAYERS, SIZES, remaining, strict=True)
        }
    return Record(
        key=run.key,
        kind=run.kind,
        manifest=dict(run.manifest),
        resolved=run.recipe.to_dict(),
        outcome=outcome,
        metrics=values,
        curves=curves,
        layers=layer_table(LAYERS, SIZES, remaining),
        provenance={"host": host, "device": "cpu", "precision": "fp32"},
        audit={"ok": audit_ok} if run.kind == "ticket" else {},
        masks=masks,
    )


def result(record):
    """As the reducer gets them: through the bytes of the record."""
    return result_of(decode(encode(record)))


def all_results(plan, **per_run):
    """The results of every run of a plan."""
    return [result(make_record(run, **per_run)) for run in plan.runs.values()]


def write_records(sweep, plan, keys=None):
    """Put records of the runs (all, or those named) where workers put them."""
    sweep.create()
    for key in plan.runs if keys is None else keys:
        sweep.record(key).write_bytes(encode(make_record(plan.runs[key])))
