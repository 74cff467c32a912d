"""Rows of /runs: one per run that is planned or recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lthsweep.plan.prune_step import PruneStep
from lthsweep.reduce.columns import Column, compound, tristate
from lthsweep.reduce.run_result import PROVENANCE, RunResult, plain_text, state_of
from lthsweep.store.metrics import METRICS, Metrics

if TYPE_CHECKING:
    from lthsweep.plan.run import Plan, Run
    from lthsweep.store.failures import Failure

__all__ = ["CONTROL_AXIS", "OWN_AXES", "axis_names", "method_of", "role_of", "run_rows"]

OWN_AXES = ("sparsity", "threshold", "rewind_epoch", "seed")
"""Axes that a run carries itself; all others are dotted names of the file."""

CONTROL_AXIS = "prune.control"

ROUNDS_AXIS = "prune.rounds"

_OF_THE_RUN = (CONTROL_AXIS, ROUNDS_AXIS)
"""Dotted axes whose value a level in between does not take from the cells above it: it has its own."""

_CAUSE_LENGTH = 300


@dataclass(frozen=True)
class _Row:
    """The identity of one row of /runs."""

    key: str
    kind: str
    in_plan: bool
    trunk: str
    parent: str
    level: int
    method: str
    control: str
    axes: Mapping[str, Any]


def axis_names(plan: Plan) -> tuple[str, ...]:
    """The axes of a plan in the order of the file, the seed among them."""
    return tuple(name for name, _ in plan.cells[0].values) if plan.cells else ()


def role_of(run: Run) -> str:
    """ "ticket" or the name of a control, however the file requests it; "" for a dense run."""
    return "" if run.prune is None else run.prune.role


def method_of(run: Run) -> str:
    """How its weights were chosen; "" for a dense run."""
    return "" if run.prune is None else run.prune.method


def run_rows(
    plan: Plan, results: Mapping[str, RunResult], failures: Mapping[str, Failure]
) -> NDArray[np.void]:
    """One row per run of the plan, in its order, then one per other record of the directory, by key.

    A record that the plan does not know is the trace of another grid or recipe in the same directory:
    `in_plan` is false, and no grid point is ever answered by it.

    Args:
        plan: the expanded grid.
        results: key → record.
        failures: key → last failure; only looked at for runs without a record.
    """
    axes = axis_names(plan)
    rows = [*_planned(plan, axes), *_others(plan, axes, results)]
    found = [results.get(row.key) for row in rows]
    failed = [failures.get(row.key) if one is None else None for row, one in zip(rows, found, strict=True)]
    columns: dict[str, Column] = {
        "key": [row.key for row in rows],
        "kind": [row.kind for row in rows],
        "state": [state_of(row.key, results, failures) for row in rows],
        "in_plan": [row.in_plan for row in rows],
        "trunk": [row.trunk for row in rows],
        "parent": [row.parent for row in rows],
        "level": [row.level for row in rows],
        "method": [row.method for row in rows],
        "control": [row.control for row in rows],
    }
    columns |= {axis: [row.axes.get(axis) for row in rows] for axis in axes}
    columns["outcome"] = ["" if one is None else one.outcome for one in found]
    metrics = [Metrics() if one is None else one.metrics for one in found]
    columns |= {name: np.array([getattr(one, name) for one in metrics], dtype="<f8") for name in METRICS}
    columns["dead_layers"] = ["" if one is None else ",".join(one.dead_layers) for one in found]
    columns["audit_ok"] = tristate([None if one is None else one.audit_ok for one in found])
    for i, name in enumerate(PROVENANCE):
        columns[name] = ["" if one is None else one.provenance[i] for one in found]
    columns["host"] = [one.host if one else host for one, host in zip(failed, columns["host"], strict=True)]
    columns["cause"] = ["" if one is None else plain_text(one.cause)[:_CAUSE_LENGTH] for one in failed]
    columns["attempts_failed"] = [0 if one is None else one.attempt for one in failed]
    columns["record"] = ["" if one is None else one.digest for one in found]
    return compound(columns)


def _planned(plan: Plan, axes: Sequence[str]) -> list[_Row]:
    dotted, rewinds = _dotted_values(plan), _rewind_epochs(plan)
    return [
        _Row(
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


def _step_values(step: PruneStep | None) -> dict[str, Any]:
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


def _of_cells(run: Run, rewinds: Mapping[str, set[Any]]) -> dict[str, Any]:
    """Fresh weights rewind to nowhere: their rewind epoch is that of the cells they answer, if these agree."""
    if run.prune is None or not run.prune.fresh_weights:
        return {}
    found = rewinds.get(run.key, set())
    return {"rewind_epoch": next(iter(found)) if len(found) == 1 else None}


def _rewind_epochs(plan: Plan) -> dict[str, set[Any]]:
    """Run → rewind epochs of the cells that it answers, as written."""
    found: dict[str, set[Any]] = {}
    for cell in plan.cells:
        found.setdefault(cell.run, set()).add(cell["rewind_epoch"])
    return found


def _dotted_values(plan: Plan) -> dict[str, dict[str, Any]]:
    """Run → values of the dotted axes, for each run those that all cells which need it agree on.

    A trunk may serve cells of several values (`"prune.scope" = ["global", "layer"]` prunes the same trunk),
    then the axis has no value for it. Two axes are exceptions: a level on whose mask a control hangs is a ticket, and
    level i of a chain of rounds is what i rounds make.
    """
    seen: dict[str, dict[str, Any]] = {key: {} for key in plan.runs}
    clash: dict[str, set[str]] = {key: set() for key in plan.runs}

    def note(key: str, axis: str, value: Any) -> None:
        if seen[key].setdefault(axis, value) != value:
            clash[key].add(axis)

    for cell in plan.cells:
        for axis, value in cell.values:
            if axis not in OWN_AXES:
                note(cell.run, axis, value)
    for key in reversed(list(plan.runs)):  # children before parents
        parent = plan.runs[key].parent
        if parent is not None:
            own = _OF_THE_RUN if plan.runs[parent].kind == "ticket" else ()
            for axis, value in seen[key].items():
                if axis not in own:
                    note(parent, axis, value)
            clash[parent] |= clash[key] - set(own)
    for key, run in plan.runs.items():
        if run.prune is None:
            seen[key].pop(ROUNDS_AXIS, None)
        else:
            of_run = {CONTROL_AXIS: run.prune.role, ROUNDS_AXIS: run.level}
            for axis in of_run.keys() & set(axis_names(plan)) - seen[key].keys():
                seen[key][axis] = of_run[axis]
    return {
        key: {axis: value for axis, value in values.items() if axis not in clash[key]}
        for key, values in seen.items()
    }


def _others(plan: Plan, axes: Sequence[str], results: Mapping[str, RunResult]) -> list[_Row]:
    """Rows of records outside the plan, described by their manifests as far as these can be followed."""
    rows = []
    for key in sorted(results.keys() - plan.runs.keys()):
        manifest = results[key].manifest
        trunk, parent = plain_text(manifest.get("trunk", key)), plain_text(manifest.get("parent", ""))
        step = _step_in(manifest)
        own = _step_values(step) | {"seed": _seed_of(trunk, plan, results)}
        rows.append(
            _Row(
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


def _step_in(manifest: Mapping[str, Any]) -> PruneStep | None:
    """The pruning step of a record outside the plan; None for a dense run, or if it cannot be read."""
    try:
        return PruneStep.of_manifest(manifest["prune"]) if "prune" in manifest else None
    except ValueError:
        return None


def _seed_of(trunk: str, plan: Plan, results: Mapping[str, RunResult]) -> Any:
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
