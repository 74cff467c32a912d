"""Rows of /runs: one per run that is planned or recorded."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lthsweep.reduce.columns import (
    Column,
    ColumnType,
    axis_columns,
    flag,
    integer,
    known_flag,
    number,
    table_array,
    text,
)
from lthsweep.reduce.points import axis_names
from lthsweep.reduce.rewind_axis import EpochLengths
from lthsweep.reduce.run_identity import RunIdentity, other_runs, planned_runs
from lthsweep.reduce.run_result import RunResult, plain_text, state_of
from lthsweep.store.metrics import METRICS, MetricInfo, Metrics

if TYPE_CHECKING:
    from lthsweep.plan.run import Plan
    from lthsweep.store.failures import Failure

__all__ = ["RUN_COLUMNS", "run_rows"]

_CAUSE_LENGTH = 300
_NO_METRICS = Metrics()


@dataclass(frozen=True)
class _RunRow:
    """A row. A run has a result or a failure, or neither."""

    run: RunIdentity
    state: str
    result: RunResult | None
    failure: Failure | None

    @property
    def metrics(self) -> Metrics:
        return _NO_METRICS if self.result is None else self.result.metrics


def run_rows(
    plan: Plan,
    results: Mapping[str, RunResult],
    failures: Mapping[str, Failure],
    set_aside: Collection[str] = frozenset(),
) -> NDArray[np.void]:
    """Return one row per run of the plan, in its order, then one per other record of the directory, by key.

    A record that is not in the plan belongs to another grid or recipe in the same directory: `in_plan` is false, and
    it answers no grid point. Columns: `RUN_COLUMNS` with the axes in between.

    Args:
        plan: the expanded grid.
        results: key → record.
        failures: key → last failure; used only for runs without a record.
        set_aside: keys of runs that are not pooled with the others.
    """
    axes, lengths = axis_names(plan), EpochLengths.of(plan, results)
    rows = [
        _RunRow(
            run=run,
            state=state_of(run.key, results, failures, set_aside),
            result=results.get(run.key),
            failure=None if run.key in results else failures.get(run.key),
        )
        for run in (*planned_runs(plan, lengths), *other_runs(plan, results))
    ]
    before, after = RUN_COLUMNS
    return table_array([*before, *axis_columns(axes, "run.axes"), *after], rows)


def _identity(name: str, meaning: str, type_: ColumnType = text) -> Column[_RunRow]:
    return Column(name, meaning, type_, attrgetter(f"run.{name}"))


def _metric(name: str, info: MetricInfo) -> Column[_RunRow]:
    suffix = {"all": "", "tickets": " (tickets)", "budget": " (budget runs)"}[info.runs]
    return Column(name, f"{info.description}{suffix}", number, attrgetter(f"metrics.{name}"))


def _provenance(name: str, meaning: str) -> Column[_RunRow]:
    return Column(name, meaning, text, lambda row: row.result.origin(name) if row.result else "")


def _host(row: _RunRow) -> str:
    if row.failure is not None:
        return row.failure.host
    return "" if row.result is None else row.result.origin("host")


def _cause(row: _RunRow) -> str:
    return "" if row.failure is None else plain_text(row.failure.cause)[:_CAUSE_LENGTH]


RUN_COLUMNS: tuple[Sequence[Column[_RunRow]], Sequence[Column[_RunRow]]] = (
    (
        _identity("key", "the [hash that names the run](protocol.md#the-key), 20 hexadecimal digits"),
        _identity("kind", "`dense` or `ticket`"),
        Column(
            "state",
            "`done`, `diverged`, `failed`, `damaged`, `missing` or [`set aside`](protocol.md#runs-that-are-set-aside); "
            "`lthsweep status` has more for runs without a record",
            text,
            attrgetter("state"),
        ),
        _identity(
            "in_plan", "false for a record of another grid or recipe in the same directory", known_flag
        ),
        _identity("trunk", "key of the dense run it descends from; its own if it is the dense run"),
        _identity("parent", "key of the run whose final weights were ranked; empty for a dense run"),
        _identity("level", "as in `tickets`", integer),
        _identity("method", "as in `tickets`"),
        _identity("control", "as in `tickets`"),
        _identity("source", "digest of the source files of its data"),
    ),
    (
        _identity("rewind_point", "as in `tickets`; empty for a dense run"),
        Column(
            "outcome",
            "`finished` or `diverged`; empty without a record",
            text,
            lambda row: "" if row.result is None else row.result.outcome,
        ),
        *(_metric(name, info) for name, info in METRICS.items()),
        Column(
            "dead_layers",
            "layers without remaining weights, separated by commas",
            text,
            lambda row: "" if row.result is None else ",".join(row.result.dead_layers),
        ),
        Column(
            "audit_ok",
            "whether the ticket passed its [audit](protocol.md#the-audit); unknown without a record",
            flag,
            lambda row: None if row.result is None else row.result.audit_ok,
        ),
        Column("host", "name of the machine that trained it, or on which it failed", text, _host),
        _provenance("device", "device of the training, such as `cpu`"),
        _provenance("precision", "number format of the training"),
        _provenance(
            "data_fingerprint",
            "sha256 of the decoded data; runs that differ in it are never pooled",
        ),
        _provenance("library", "library of the network, such as `torchvision`; empty for other networks"),
        _provenance("library_version", "its version"),
        _provenance(
            "network_hash",
            "of parameter names, shapes and a forward pass of that network; versions that share it are pooled",
        ),
        _provenance("commit", "commit of the software; a `+` means that files were changed since"),
        Column("cause", "cause of the failure, or the damage of the record; empty otherwise", text, _cause),
        Column(
            "attempts_failed",
            "attempts that failed, for a run without a record",
            integer,
            lambda row: 0 if row.failure is None else row.failure.attempt,
        ),
        Column(
            "record",
            "sha256 of its record",
            text,
            lambda row: "" if row.result is None else row.result.digest,
        ),
    ),
)
"""The columns before and after the axes."""
