"""Rows of /runs: one per run that is planned or recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lthsweep.plan.prune_step import PruneStep
from lthsweep.reduce.columns import (
    Column,
    axis_columns,
    flag,
    integer,
    known_flag,
    number,
    table_array,
    text,
)
from lthsweep.reduce.points import CONTROL_AXIS, axis_names, method_of, role_of
from lthsweep.reduce.run_result import PROVENANCE, RunResult, plain_text, state_of
from lthsweep.store.metrics import METRICS, MetricInfo, Metrics

if TYPE_CHECKING:
    from lthsweep.plan.run import Plan, Run, RunKind
    from lthsweep.store.failures import Failure

__all__ = ["RUN_COLUMNS", "run_rows"]

_OWN_AXES = ("sparsity", "threshold", "rewind_epoch", "seed")
"""Axes that a run carries itself; all others are dotted names of the file."""

_ROUNDS_AXIS = "prune.rounds"

_OF_THE_RUN = (CONTROL_AXIS, _ROUNDS_AXIS)
"""Dotted axes whose value an intermediate level does not take from the cells above it."""

_CAUSE_LENGTH = 300
_NO_METRICS = Metrics()


@dataclass(frozen=True)
class _Identity:
    """The identity of a run, by the plan or by its manifest."""

    key: str
    kind: RunKind
    in_plan: bool
    trunk: str
    parent: str
    level: int
    method: str
    control: str
    axes: Mapping[str, object]


@dataclass(frozen=True)
class _Row:
    """A row. A run has a result or a failure, or neither."""

    run: _Identity
    state: str
    result: RunResult | None
    failure: Failure | None

    @property
    def metrics(self) -> Metrics:
        return _NO_METRICS if self.result is None else self.result.metrics


def run_rows(
    plan: Plan, results: Mapping[str, RunResult], failures: Mapping[str, Failure]
) -> NDArray[np.void]:
    """Return one row per run of the plan, in its order, then one per other record of the directory, by key.

    A record that is not in the plan belongs to another grid or recipe in the same directory: `in_plan` is false, and
    it answers no grid point. Columns: `RUN_COLUMNS` with the axes in between.

    Args:
        plan: the expanded grid.
        results: key → record.
        failures: key → last failure; used only for runs without a record.
    """
    axes = axis_names(plan)
    rows = [
        _Row(
            run=run,
            state=state_of(run.key, results, failures),
            result=results.get(run.key),
            failure=None if run.key in results else failures.get(run.key),
        )
        for run in (*_planned(plan), *_others(plan, axes, results))
    ]
    before, after = RUN_COLUMNS
    return table_array([*before, *axis_columns(axes, "run.axes"), *after], rows)


def _planned(plan: Plan) -> list[_Identity]:
    dotted, rewinds = _dotted_values(plan), _rewind_epochs(plan)
    return [
        _Identity(
            key,
            run.kind,
            in_plan=True,
            trunk=run.trunk,
            parent=run.parent or "",
            level=run.level,
            method=method_of(run),
            control=role_of(run),
            axes={**dotted[key], **_step_values(run.prune), "seed": run.seed, **_of_cells(run, rewinds)},
        )
        for key, run in plan.runs.items()
    ]


def _step_values(step: PruneStep | None) -> dict[str, object]:
    """Axes that the pruning step gives; a dense run has sparsity 0 and no rewind epoch."""
    if step is None:
        return {"sparsity": 0.0}
    point = step.point
    written = int(point.value) if float(point.value).is_integer() else point.value
    return {
        "sparsity": step.sparsity,
        "threshold": step.threshold,
        "rewind_epoch": str(point) if point.in_iterations else written,
    }


def _of_cells(run: Run, rewinds: Mapping[str, set[object]]) -> dict[str, object]:
    """Fresh weights rewind to nowhere: their rewind epoch is that of the cells they answer, if these agree."""
    if run.prune is None or not run.prune.fresh_weights:
        return {}
    found = rewinds.get(run.key, set())
    return {"rewind_epoch": next(iter(found)) if len(found) == 1 else None}


def _rewind_epochs(plan: Plan) -> dict[str, set[object]]:
    """Run → rewind epochs of the cells that it answers, as written."""
    found: dict[str, set[object]] = {}
    for cell in plan.cells:
        found.setdefault(cell.run, set()).add(cell["rewind_epoch"])
    return found


def _dotted_values(plan: Plan) -> dict[str, dict[str, object]]:
    """Run → values of the dotted axes, for each run those that all cells which need it agree on.

    A trunk may serve cells of several values (`"prune.scope" = ["global", "layer"]` prunes the same trunk),
    then the axis has no value for it. Two axes are exceptions: a level on whose mask a control hangs is a ticket, and
    level i of a chain of rounds is what i rounds make.
    """
    seen: dict[str, dict[str, object]] = {key: {} for key in plan.runs}
    clash: dict[str, set[str]] = {key: set() for key in plan.runs}

    def note(key: str, axis: str, value: object) -> None:
        if seen[key].setdefault(axis, value) != value:
            clash[key].add(axis)

    for cell in plan.cells:
        for axis, value in cell.values:
            if axis not in _OWN_AXES:
                note(cell.run, axis, value)
    for key in reversed(list(plan.runs)):  # children before parents
        parent = plan.runs[key].parent
        if parent is not None:
            own = _OF_THE_RUN if plan.runs[parent].kind == "ticket" else ()
            for axis, seen_value in seen[key].items():
                if axis not in own:
                    note(parent, axis, seen_value)
            clash[parent] |= clash[key] - set(own)
    for key, run in plan.runs.items():
        if run.prune is None:
            seen[key].pop(_ROUNDS_AXIS, None)
        else:
            of_run = {CONTROL_AXIS: run.prune.role, _ROUNDS_AXIS: run.level}
            for axis in of_run.keys() & set(axis_names(plan)) - seen[key].keys():
                seen[key][axis] = of_run[axis]
    return {
        key: {axis: value for axis, value in values.items() if axis not in clash[key]}
        for key, values in seen.items()
    }


def _others(plan: Plan, axes: Sequence[str], results: Mapping[str, RunResult]) -> list[_Identity]:
    """Rows of records outside the plan, described by their manifests as far as these can be followed."""
    rows = []
    for key in sorted(results.keys() - plan.runs.keys()):
        manifest = results[key].manifest
        trunk, parent = plain_text(manifest.get("trunk", key)), plain_text(manifest.get("parent", ""))
        step = _step_in(manifest)
        own = _step_values(step) | {"seed": _seed_of(trunk, plan, results)}
        rows.append(
            _Identity(
                key,
                results[key].kind,
                in_plan=False,
                trunk=trunk,
                parent=parent,
                level=_level_of(key, plan, results),
                method="" if step is None else plain_text(step.method),
                control="" if step is None else step.role,
                axes={axis: own.get(axis) for axis in axes},
            )
        )
    return rows


def _step_in(manifest: Mapping[str, object]) -> PruneStep | None:
    """The pruning step of a record outside the plan; None for a dense run, or if it cannot be read."""
    try:
        return PruneStep.of_manifest(manifest["prune"]) if "prune" in manifest else None
    except ValueError:
        return None


def _seed_of(trunk: str, plan: Plan, results: Mapping[str, RunResult]) -> object:
    if trunk in plan.runs:
        return plan.runs[trunk].seed
    return _number(results[trunk].manifest.get("seed")) if trunk in results else None


def _level_of(key: str, plan: Plan, results: Mapping[str, RunResult]) -> int:
    """Length of the chain to the trunk; no longer than there are records, should they form a ring."""
    level = 0
    while (
        key not in plan.runs and key in results and "parent" in results[key].manifest and level < len(results)
    ):
        level, key = level + 1, str(results[key].manifest["parent"])
    return level + (plan.runs[key].level if key in plan.runs else 0)


def _number(value: object) -> int | float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _metric(name: str, info: MetricInfo) -> Column[_Row]:
    suffix = {"all": "", "tickets": " (tickets)", "budget": " (budget runs)"}[info.runs]
    return Column(name, f"{info.description}{suffix}", number, attrgetter(f"metrics.{name}"))


def _provenance(name: str, meaning: str) -> Column[_Row]:
    place = PROVENANCE.index(name)
    return Column(name, meaning, text, lambda row: row.result.provenance[place] if row.result else "")


def _host(row: _Row) -> str:
    if row.failure is not None:
        return row.failure.host
    return "" if row.result is None else row.result.provenance[PROVENANCE.index("host")]


def _cause(row: _Row) -> str:
    return "" if row.failure is None else plain_text(row.failure.cause)[:_CAUSE_LENGTH]


RUN_COLUMNS: tuple[Sequence[Column[_Row]], Sequence[Column[_Row]]] = (
    (
        Column(
            "key",
            "the [hash that names the run](protocol.md#the-key), 20 hexadecimal digits",
            text,
            attrgetter("run.key"),
        ),
        Column("kind", "`dense` or `ticket`", text, attrgetter("run.kind")),
        Column("state", "`done`, `diverged`, `failed` or `missing`", text, attrgetter("state")),
        Column(
            "in_plan",
            "false for a record of another grid or recipe in the same directory",
            known_flag,
            attrgetter("run.in_plan"),
        ),
        Column(
            "trunk",
            "key of the dense run it descends from; its own if it is the dense run",
            text,
            attrgetter("run.trunk"),
        ),
        Column(
            "parent",
            "key of the run whose final weights were ranked; empty for a dense run",
            text,
            attrgetter("run.parent"),
        ),
        Column("level", "as in `tickets`", integer, attrgetter("run.level")),
        Column("method", "as in `tickets`", text, attrgetter("run.method")),
        Column("control", "as in `tickets`", text, attrgetter("run.control")),
    ),
    (
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
        _provenance("commit", "commit of the software; a `+` means that files were changed since"),
        Column("cause", "cause of the failure; empty otherwise", text, _cause),
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
