"""What the reducer keeps of one record, and the state of a run by its record and its failure."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
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

PROVENANCE = (
    "host",
    "device",
    "precision",
    "commit",
    "data_fingerprint",
    "library",
    "library_version",
    "network_hash",
)
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
    SET_ASIDE = "set aside"  # has a record, of other data or of another network than the runs in use


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

    def origin(self, name: str) -> str:
        """Return one of `PROVENANCE`."""
        return self.provenance[PROVENANCE.index(name)]

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
        provenance=_origin(summary.provenance),
        audit_ok=None if ok is None else bool(ok),
        curves=summary.curves,
        layers=summary.layers,
        manifest=summary.manifest,
    )


def _origin(provenance: Mapping[str, object]) -> tuple[str, ...]:
    """Return the values of `PROVENANCE`; those of the network are a table, which only networks of a library have."""
    network = provenance.get("network")
    of_network = network if isinstance(network, Mapping) else {}
    known = {
        **provenance,
        "library": of_network.get("library", ""),
        "library_version": of_network.get("version", ""),
        "network_hash": of_network.get("hash", ""),
    }
    return tuple(plain_text(known.get(name, "")) for name in PROVENANCE)


def state_of(
    key: str,
    results: Mapping[str, RunResult],
    failures: Mapping[str, Failure],
    set_aside: Collection[str] = frozenset(),
) -> ResultState:
    """Return the state of one run. A run with a record is never failed: an earlier attempt failed.

    Args:
        key: of the run.
        results: key → record.
        failures: key → last failure.
        set_aside: runs whose records are not used, see `lthsweep.reduce.pooling`.
    """
    if key in set_aside:
        return ResultState.SET_ASIDE
    if key in results:
        return ResultState.DIVERGED if results[key].diverged else ResultState.DONE
    if key not in failures:
        return ResultState.MISSING
    return ResultState.DAMAGED if failures[key].kind == DAMAGED else ResultState.FAILED


def inherited_states(
    plan: Plan,
    results: Mapping[str, RunResult],
    failures: Mapping[str, Failure],
    set_aside: Collection[str] = frozenset(),
) -> dict[str, ResultState]:
    """Return the state of each run; without a record, it takes over how its parent ended without one in use."""
    states: dict[str, ResultState] = {}
    for key, run in plan.runs.items():  # parents come first
        states[key] = state_of(key, results, failures, set_aside)
        parent = states[run.parent] if run.parent else ResultState.DONE
        if key in results:
            continue
        if parent in (ResultState.SET_ASIDE, ResultState.DIVERGED) or (
            parent in (ResultState.FAILED, ResultState.DAMAGED) and states[key] is ResultState.MISSING
        ):
            states[key] = parent
    return states


def plain_text(value: object) -> str:
    """Return text that survives a fixed-length HDF5 string: bytes decoded, nothing after a NUL."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text.split("\0", 1)[0]
