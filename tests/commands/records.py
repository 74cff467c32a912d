"""A record as a run would write it, of a network with one layer."""

from __future__ import annotations

from lthsweep.plan.run import Run
from lthsweep.store.record import Record, curve_table, layer_table


def small_record(run: Run, *, remaining: int = 10, **provenance: str) -> Record:
    """The record of a finished run that keeps so many of its ten weights."""
    return Record(
        key=run.key,
        kind=run.kind,
        manifest=run.manifest,
        metrics={
            "test_accuracy": 0.9,
            "params_prunable": 10,
            "params_remaining": remaining,
            "steps_per_epoch": 9,
        },
        curves=curve_table([{"epoch": 1, "step": 9, "val_accuracy": 0.9, "seconds": 1.0}]),
        layers=layer_table(["fc.weight"], [10], [remaining]),
        provenance=provenance,
        audit={} if run.kind == "dense" else {"ok": True},
    )
