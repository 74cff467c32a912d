"""The identity of runs as columns of /runs: kind, ancestors, and the axes that have a value for a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lthsweep.plan.prune_step import PruneStep
from lthsweep.reduce.points import CONTROL_AXIS, axis_names, method_of, role_of
from lthsweep.reduce.pooling import manifest_source
from lthsweep.reduce.rewind_axis import EpochLengths, in_epochs, measured_length, written_point
from lthsweep.reduce.run_result import RunResult, plain_text

if TYPE_CHECKING:
    from lthsweep.plan.run import Plan, Run, RunKind

__all__ = ["RunIdentity", "other_runs", "planned_runs"]

_OWN_AXES = ("sparsity", "threshold", "rewind_epoch", "seed")
"""Axes that a run carries itself; all others are dotted names of the file."""

_ROUNDS_AXIS = "prune.rounds"

_OF_THE_RUN = (CONTROL_AXIS, _ROUNDS_AXIS)
"""Dotted axes whose value an intermediate level does not take from the cells above it."""


@dataclass(frozen=True)
class RunIdentity:
    """The identity of a run, by the plan or by its manifest; `source` is the digest of the files of its data."""

    key: str
    kind: RunKind
    in_plan: bool
    trunk: str
    parent: str
    level: int
    method: str
    control: str
    source: str
    rewind_point: str
    axes: Mapping[str, object]


def planned_runs(plan: Plan, lengths: EpochLengths) -> list[RunIdentity]:
    """Return the runs of a plan, in its order."""
    dotted, rewinds = _dotted_values(plan), _rewind_epochs(plan)
    runs = []
    for key, run in plan.runs.items():
        axes = {**dotted[key], **_step_values(run.prune), "seed": run.seed, **_of_cells(run, rewinds)}
        runs.append(
            RunIdentity(
                key,
                run.kind,
                in_plan=True,
                trunk=run.trunk,
                parent=run.parent or "",
                level=run.level,
                method=method_of(run),
                control=role_of(run),
                source=manifest_source(plan[run.trunk].manifest),
                rewind_point=written_point(axes),
                axes=lengths.numbered(run, axes),
            )
        )
    return runs


def _step_values(step: PruneStep | None) -> dict[str, object]:
    """Return the axes that the pruning step sets; a dense run has sparsity 0 and no rewind epoch."""
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
    """Return the rewind epoch of fresh weights: that of the cells which the run answers, if these agree."""
    if run.prune is None or not run.prune.fresh_weights:
        return {}
    found = rewinds.get(run.key, set())
    return {"rewind_epoch": next(iter(found)) if len(found) == 1 else None}


def _rewind_epochs(plan: Plan) -> dict[str, set[object]]:
    """Return run → rewind epochs of the cells that it answers, as written."""
    found: dict[str, set[object]] = {}
    for cell in plan.cells:
        found.setdefault(cell.run, set()).add(cell["rewind_epoch"])
    return found


def _dotted_values(plan: Plan) -> dict[str, dict[str, object]]:
    """Return run → values of the dotted axes on which all cells that need the run agree.

    A dense run can serve cells of several values (`"prune.scope" = ["global", "layer"]` prunes the same dense run);
    then the axis has no value for it. Two axes are exceptions: a level whose mask a control uses is a ticket, and
    level i of a chain of rounds is the result of i rounds.
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
            for own_axis in of_run.keys() & set(axis_names(plan)) - seen[key].keys():
                seen[key][own_axis] = of_run[own_axis]
    return {
        key: {axis: value for axis, value in values.items() if axis not in clash[key]}
        for key, values in seen.items()
    }


def other_runs(plan: Plan, results: Mapping[str, RunResult]) -> list[RunIdentity]:
    """Return the runs of records outside the plan, by key; manifests describe them as far as they can be read."""
    axes = axis_names(plan)
    runs = []
    for key in sorted(results.keys() - plan.runs.keys()):
        manifest = results[key].manifest
        dense_run, parent = plain_text(manifest.get("trunk", key)), plain_text(manifest.get("parent", ""))
        step = _step_in(manifest)
        own = _step_values(step) | {"seed": _seed_of(dense_run, plan, results)}
        runs.append(
            RunIdentity(
                key,
                results[key].kind,
                in_plan=False,
                trunk=dense_run,
                parent=parent,
                level=_level_of(key, plan, results),
                method="" if step is None else plain_text(step.method),
                control="" if step is None else step.role,
                source=plain_text(manifest_source(_manifest_of(dense_run, plan, results))),
                rewind_point=written_point(own),
                axes=in_epochs({axis: own.get(axis) for axis in axes}, measured_length(results[key])),
            )
        )
    return runs


def _step_in(manifest: Mapping[str, object]) -> PruneStep | None:
    """Return the pruning step of a record outside the plan; None for a dense run, or if it cannot be read."""
    try:
        return PruneStep.of_manifest(manifest["prune"]) if "prune" in manifest else None
    except ValueError:
        return None


def _manifest_of(key: str, plan: Plan, results: Mapping[str, RunResult]) -> Mapping[str, object]:
    if key in plan.runs:
        return plan[key].manifest
    return results[key].manifest if key in results else {}


def _seed_of(dense_run: str, plan: Plan, results: Mapping[str, RunResult]) -> object:
    return _number(_manifest_of(dense_run, plan, results).get("seed"))


def _level_of(key: str, plan: Plan, results: Mapping[str, RunResult]) -> int:
    """Return the length of the chain to the dense run, at most the number of records: hostile ones can form a ring."""
    level = 0
    while (
        key not in plan.runs and key in results and "parent" in results[key].manifest and level < len(results)
    ):
        level, key = level + 1, str(results[key].manifest["parent"])
    return level + (plan.runs[key].level if key in plan.runs else 0)


def _number(value: object) -> int | float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
