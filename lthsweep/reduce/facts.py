"""What the reducer keeps of one record (everything but the masks) and of one failure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from lthsweep.store.record import Summary

__all__ = [
    "METRICS",
    "PROVENANCE",
    "Facts",
    "FailureFacts",
    "facts_of",
]

METRICS = (
    "sparsity_got",
    "steps_per_epoch",
    "steps_total",
    "rewind_step",
    "epochs_trained",
    "train_loss",
    "train_accuracy",
    "val_loss",
    "val_accuracy",
    "best_epoch",
    "best_val_accuracy",
    "test_loss",
    "test_accuracy",
    "test_loss_best",
    "test_accuracy_best",
    "before_val_accuracy",
    "before_test_accuracy",
    "pruned_val_accuracy",
    "pruned_test_loss",
    "pruned_test_accuracy",
    "dense_val_accuracy",
    "steps_to_dense",
    "params_total",
    "params_prunable",
    "params_remaining",
    "macs_dense",
    "macs_remaining",
    "bytes_dense",
    "bytes_sparse",
    "seconds_train",
    "seconds_test",
    "images_per_second",
    "seconds_wall",
    "rounds",
    "seconds_budget",
    "seconds_predicted",
    "seconds_spent",
    "params_model",
    "macs_model",
    "bytes_model",
)
"""Columns of /runs that are metrics of the record, under its names; but `sparsity` is the axis, so what the
record calls so is `sparsity_got`. What is not known here is left out.
"""

PROVENANCE = ("host", "device", "precision", "commit")
"""Columns of /runs that say where a record comes from."""

_IN_RECORD = {"sparsity_got": "sparsity"}


@dataclass(frozen=True)
class Facts:
    """One record, as far as the tables need it.

    Attributes:
        key, kind, outcome: as in the record.
        digest: sha256 of the record file, which tells whether rows made from it earlier may be used again.
        metrics: float64, one per name of `METRICS`; NaN where the record has none.
        provenance: one text per name of `PROVENANCE`; "" where the record has none.
        audit_ok: whether the run passed its own audit; None if it had none (dense runs).
        curves, layers: as in the record.
        manifest: what the key hashes; empty if the facts come from a table.
    """

    key: str
    kind: str
    outcome: str
    digest: str
    metrics: NDArray[np.float64]
    provenance: tuple[str, ...]
    audit_ok: bool | None
    curves: NDArray[np.void]
    layers: NDArray[np.void]
    manifest: Mapping[str, Any] = field(default_factory=dict)

    def metric(self, name: str) -> float:
        """One metric by the name of its column."""
        return float(self.metrics[_POSITION[name]])

    @property
    def diverged(self) -> bool:
        """Whether training became non-finite: such a run has no accuracy to compare."""
        return self.outcome == "diverged" or not math.isfinite(self.metric("test_accuracy"))

    @property
    def dead_layers(self) -> tuple[str, ...]:
        """Names of the layers that kept nothing or pass nothing on, in the order of the model."""
        names = self.layers["name"][self.layers["dead"]]
        return tuple(plain_text(name) for name in names.tolist())


@dataclass(frozen=True)
class FailureFacts:
    """What the table shows of the last failure of a run that has no record."""

    cause: str
    host: str = ""
    attempt: int = 0


_POSITION = {name: i for i, name in enumerate(METRICS)}


def facts_of(summary: Summary) -> Facts:
    """Reduce what the store read of a record."""
    metrics = np.full(len(METRICS), np.nan)
    for i, name in enumerate(METRICS):
        value = summary.metrics.get(_IN_RECORD.get(name, name))
        if value is not None:
            metrics[i] = value
    ok = summary.audit.get("ok")
    return Facts(
        key=summary.key,
        kind=summary.kind,
        outcome=summary.outcome,
        digest=summary.sha256,
        metrics=metrics,
        provenance=tuple(plain_text(summary.provenance.get(name, "")) for name in PROVENANCE),
        audit_ok=None if ok is None else bool(ok),
        curves=summary.curves,
        layers=summary.layers,
        manifest=summary.manifest,
    )


def plain_text(value: object) -> str:
    """Text that survives a fixed-length HDF5 string: bytes decoded, nothing after a NUL."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text.split("\0", 1)[0]
