"""Rows of /tickets: one per grid point over its seeds, with the verdict. This is the winning-ticket table."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lthsweep.plan.prune_step import TICKET
from lthsweep.reduce.columns import Column, compound, tristate
from lthsweep.reduce.facts import Facts, FailureFacts
from lthsweep.reduce.run_rows import axis_names, method_of, role_of, state_of
from lthsweep.reduce.ticket_verdict import PointSummary, SeedPair, summarize_point
from lthsweep.store.metrics import METRICS

if TYPE_CHECKING:
    from lthsweep.plan.run import Plan, Run

__all__ = ["inherited_states", "ticket_rows", "weights_remaining"]


def ticket_rows(
    plan: Plan, facts: Mapping[str, Facts], failures: Mapping[str, FailureFacts]
) -> NDArray[np.void]:
    """One row per grid point, in the order of the plan, whether or not anything is known of it.

    Columns: the axes except the seed, then `kind` ("dense" if the trunk answers), `level`, `method` and
    `control` (both "" for a trunk), the statistics of `lthsweep.reduce.ticket_verdict.PointSummary`, and means over the
    seeds that have a record, diverged ones included:

    - weights_remaining: fraction of the prunable weights;
    - compression: all parameters over those left (biases and BatchNorm count in both);
    - pruned_accuracy: on the test set, before any retraining;
    - each metric that is combined over seeds (`lthsweep.store.metrics`), and n_reached, the number of seeds behind
      steps_to_dense;
    - dead_layers: named if dead in any seed; audit_ok: unknown without a ticket's record, false if any
      failed.
    """
    axes = [axis for axis in axis_names(plan) if axis != "seed"]
    points: dict[tuple[Any, ...], list[Run]] = {}
    for cell in plan.cells:
        point = tuple(value for axis, value in cell.values if axis != "seed")
        points.setdefault(point, []).append(plan.runs[cell.run])
    states = inherited_states(plan, facts, failures)
    margin, confidence = plan.spec.verdict.margin, plan.spec.verdict.confidence
    summaries = [
        summarize_point(
            [_pair(run, facts, states) for run in runs],
            margin=margin,
            confidence=confidence,
            at_initialization=_at_initialization(runs[0]),
            is_dense=runs[0].kind == "dense",
        )
        for runs in points.values()
    ]
    columns: dict[str, Column] = {axis: [point[i] for point in points] for i, axis in enumerate(axes)}
    columns["kind"] = [runs[0].kind for runs in points.values()]
    columns["level"] = [runs[0].level for runs in points.values()]
    columns["method"] = [method_of(runs[0]) for runs in points.values()]
    columns["control"] = [role_of(runs[0]) for runs in points.values()]
    for name in PointSummary.__dataclass_fields__:
        columns[name] = [getattr(one, name) for one in summaries]
    recorded = [[facts[run.key] for run in runs if run.key in facts] for runs in points.values()]
    return compound(columns | _means(recorded))


def _means(recorded: Sequence[Sequence[Facts]]) -> dict[str, Column]:
    columns: dict[str, Column] = {
        "weights_remaining": [_mean(map(weights_remaining, facts)) for facts in recorded],
        "compression": [_mean(map(_compression, facts)) for facts in recorded],
        "pruned_accuracy": [_mean(map(_pruned_accuracy, facts)) for facts in recorded],
    }
    for name, info in METRICS.items():
        if info.over_seeds is not None:
            combine = _mean if info.over_seeds == "mean" else _median
            columns[name] = [combine(getattr(one.metrics, name) for one in facts) for facts in recorded]
    columns["n_reached"] = [sum(one.metrics.steps_to_dense >= 0 for one in facts) for facts in recorded]
    columns["dead_layers"] = [
        ",".join(dict.fromkeys(name for one in facts for name in one.dead_layers)) for facts in recorded
    ]
    audits = [[one.audit_ok for one in facts if one.audit_ok is not None] for facts in recorded]
    columns["audit_ok"] = tristate([all(found) if found else None for found in audits])
    return columns


def inherited_states(
    plan: Plan, facts: Mapping[str, Facts], failures: Mapping[str, FailureFacts]
) -> dict[str, str]:
    """State of each run; one without a record whose parent failed or diverged shares its parent's fate."""
    states: dict[str, str] = {}
    for key, run in plan.runs.items():  # parents come first
        states[key] = state_of(key, facts, failures)
        parent = states[run.parent] if run.parent else "done"
        if parent == "diverged" and key not in facts:
            states[key] = "diverged"
        elif parent == "failed" and states[key] == "missing":
            states[key] = "failed"
    return states


def _pair(run: Run, facts: Mapping[str, Facts], states: Mapping[str, str]) -> SeedPair:
    ticket, trunk = states[run.key], states[run.trunk]
    if trunk == "diverged":
        return SeedPair("dense diverged")
    if ticket == trunk == "done":
        dense = facts[run.trunk].metrics.test_accuracy
        return SeedPair("done", dense, facts[run.key].metrics.test_accuracy)
    if "failed" in (ticket, trunk):
        return SeedPair("failed")
    if "missing" in (ticket, trunk):
        return SeedPair("missing")
    return SeedPair("diverged")


def _at_initialization(run: Run) -> bool:
    """Whether the run can win: a ticket whose survivors returned to initialization. A control cannot."""
    return role_of(run) == TICKET and run.prune is not None and run.prune.point.at_initialization


def weights_remaining(facts: Facts) -> float:
    """Fraction of the prunable weights that a run has left."""
    if facts.kind == "dense":
        return 1.0
    return _ratio(facts.metrics.params_remaining, facts.metrics.params_prunable)


def _compression(facts: Facts) -> float:
    if facts.kind == "dense":
        return 1.0
    total, prunable = facts.metrics.params_total, facts.metrics.params_prunable
    return _ratio(total, total - prunable + facts.metrics.params_remaining)


def _pruned_accuracy(facts: Facts) -> float:
    return facts.metrics.test_accuracy if facts.kind == "dense" else facts.metrics.pruned_test_accuracy


def _ratio(above: float, below: float) -> float:
    return above / below if below else math.nan


def _mean(values: Iterable[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return math.fsum(finite) / len(finite) if finite else math.nan


def _median(values: Iterable[float]) -> float:
    known = [value for value in values if value >= 0]  # NaN: not measured; negative: never
    return statistics.median(known) if known else math.nan
