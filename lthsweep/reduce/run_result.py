"""What the reducer keeps of one record, and the state of a run by its record and its failure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lthsweep.store.failures import DAMAGED
from lthsweep.store.metrics import Metrics

if TYPE_CHECKING:
    from lthsweep.plan.run import Plan, RunKind
    from lthsweep.store.failures import Failure
    from lthsweep.store.record import RunOutcome, Summary

__all__ = [
    "PROVENANCE",
    "ResultState",
    "RunResult",
    "inherited_states",
    "plain_text",
    "result_of",
    "state_of",
]

PROVENANCE = ("host", "device", "precision", "commit")
"""Columns of /runs with the origin of a record."""


class ResultState(StrEnum):
    """The result of a run: the column `state` of /runs.

    It follows from records and failures alone. `lthsweep.launch.disk_status.RunStatus` is another concept: where a run
    stands in its queue (running, waiting, pending, ...).
    """

    DONE = "done"  # has a record with a finite test accuracy
    DIVERGED = "diverged"  # training became non-finite: a result without an accuracy
    FAILED = "failed"
    DAMAGED = "damaged"  # was finished, but the bytes of its record have changed since
    MISSING = "missing"


@dataclass(frozen=True)
class RunResult:
    """The data of one record that the tables need: all except the masks.

    Attributes:
        key, kind, outcome: as in the record.
        digest: sha256 of the record file; decides whether rows made from it earlier can be reused.
        metrics: of the record; NaN where it has none.
        provenance: one text per name of `PROVENANCE`; "" where the record has none.
        audit_ok: whether the run passed its audit; None if it had none (dense runs).
        curves, layers: as in the record.
        manifest: the settings that the key hashes; empty if the result comes from a table.
    """

    key: str
    kind: RunKind
    outcome: RunOutcome
    digest: str
    metrics: Metrics
    provenance: tuple[str, ...]
    audit_ok: bool | None
    curves: NDArray[np.void]
    layers: NDArray[np.void]
    manifest: Mapping[str, object] = field(default_factory=dict)

    @property
    def diverged(self) -> bool:
        """True if training became non-finite: such a run has no accuracy to compare."""
        return self.outcome == "diverged" or not math.isfinite(self.metrics.test_accuracy)

    @property
    def weights_remaining(self) -> float:
        """Fraction of the prunable weights that remains; NaN if not measured."""
        if self.kind == "dense":
            return 1.0
        prunable = self.metrics.params_prunable
        return self.metrics.params_remaining / prunable if prunable else math.nan

    @property
    def dead_layers(self) -> tuple[str, ...]:
        """Names of the layers without weights or output, in the order of the model."""
        names = self.layers["name"][self.layers["dead"]]
        return tuple(plain_text(name) for name in names.tolist())


def result_of(summary: Summary) -> RunResult:
    """Return the part of a record that the tables need."""
    ok = summary.audit.get("ok")
    return RunResult(
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


def state_of(key: str, results: Mapping[str, RunResult], failures: Mapping[str, Failure]) -> ResultState:
    """Return the state of one run. A run with a record is never failed: an earlier attempt failed."""
    if key in results:
        return ResultState.DIVERGED if results[key].diverged else ResultState.DONE
    if key not in failures:
        return ResultState.MISSING
    return ResultState.DAMAGED if failures[key].kind == DAMAGED else ResultState.FAILED


def inherited_states(
    plan: Plan, results: Mapping[str, RunResult], failures: Mapping[str, Failure]
) -> dict[str, ResultState]:
    """Return the state of each run; without a record, it takes over that its parent failed, diverged or is damaged."""
    states: dict[str, ResultState] = {}
    for key, run in plan.runs.items():  # parents come first
        states[key] = state_of(key, results, failures)
        parent = states[run.parent] if run.parent else ResultState.DONE
        if parent is ResultState.DIVERGED and key not in results:
            states[key] = ResultState.DIVERGED
        elif parent in (ResultState.FAILED, ResultState.DAMAGED) and states[key] is ResultState.MISSING:
            states[key] = parent
    return states


def plain_text(value: object) -> str:
    """Return text that survives a fixed-length HDF5 string: bytes decoded, nothing after a NUL."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text.split("\0", 1)[0]
