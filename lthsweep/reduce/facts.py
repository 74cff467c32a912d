"""The data that the reducer keeps of one record (everything except the masks) and of one failure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lthsweep.store.metrics import Metrics

if TYPE_CHECKING:
    from lthsweep.store.record import Summary

__all__ = [
    "PROVENANCE",
    "Facts",
    "FailureFacts",
    "facts_of",
]

PROVENANCE = ("host", "device", "precision", "commit")
"""Columns of /runs that say where a record comes from."""


@dataclass(frozen=True)
class Facts:
    """The data of one record that the tables need.

    Attributes:
        key, kind, outcome: as in the record.
        digest: sha256 of the record file, which decides whether rows made from it earlier can be reused.
        metrics: of the record; NaN where it has none.
        provenance: one text per name of `PROVENANCE`; "" where the record has none.
        audit_ok: whether the run passed its own audit; None if it had none (dense runs).
        curves, layers: as in the record.
        manifest: the settings that the key hashes; empty if the facts come from a table.
    """

    key: str
    kind: str
    outcome: str
    digest: str
    metrics: Metrics
    provenance: tuple[str, ...]
    audit_ok: bool | None
    curves: NDArray[np.void]
    layers: NDArray[np.void]
    manifest: Mapping[str, Any] = field(default_factory=dict)

    @property
    def diverged(self) -> bool:
        """Whether training became non-finite: such a run has no accuracy to compare."""
        return self.outcome == "diverged" or not math.isfinite(self.metrics.test_accuracy)

    @property
    def dead_layers(self) -> tuple[str, ...]:
        """Names of the layers that kept nothing or pass nothing on, in the order of the model."""
        names = self.layers["name"][self.layers["dead"]]
        return tuple(plain_text(name) for name in names.tolist())


@dataclass(frozen=True)
class FailureFacts:
    """The last failure of a run without a record, as the table shows it."""

    cause: str
    host: str = ""
    attempt: int = 0


def facts_of(summary: Summary) -> Facts:
    """Reduce a record to its facts."""
    ok = summary.audit.get("ok")
    return Facts(
        key=summary.key,
        kind=summary.kind,
        outcome=summary.outcome,
        digest=summary.sha256,
        metrics=summary.measured,
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
