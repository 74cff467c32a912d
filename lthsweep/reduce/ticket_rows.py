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
from lthsweep.reduce.run_result import ResultState, RunResult, inherited_states
from lthsweep.reduce.run_rows import axis_names, method_of, role_of
from lthsweep.reduce.ticket_verdict import PointSummary, SeedPair, summarize_point
from lthsweep.store.metrics import METRICS

if TYPE_CHECKING:
    from lthsweep.plan.run import Plan, Run
    from lthsweep.store.failures import Failure

__all__ = ["ticket_rows"]


def ticket_rows(
    plan: Plan, results: Mapping[str, RunResult], failures: Mapping[str, Failure]
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
    states = inherited_states(plan, results, failures)
    margin, confidence = plan.spec.verdict.margin, plan.spec.verdict.confidence
    summaries = [
        summarize_point(
            [_pair(run, results, states) for run in runs],
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
    recorded = [[results[run.key] for run in runs if run.key in results] for runs in points.values()]
    return compound(columns | _means(recorded))


def _means(recorded: Sequence[Sequence[RunResult]]) -> dict[str, Column]:
    columns: dict[str, Column] = {
        "weights_remaining": [_mean(one.weights_remaining for one in results) for results in recorded],
        "compression": [_mean(map(_compression, results)) for results in recorded],
        "pruned_accuracy": [_mean(map(_pruned_accuracy, results)) for results in recorded],
    }
    for name, info in METRICS.items():
        if info.over_seeds is not None:
            combine = _mean if info.over_seeds == "mean" else _median
            columns[name] = [combine(getattr(one.metrics, name) for one in results) for results in recorded]
    columns["n_reached"] = [sum(one.metrics.steps_to_dense >= 0 for one in results) for results in recorded]
    columns["dead_layers"] = [
        ",".join(dict.fromkeys(name for one in results for name in one.dead_layers)) for results in recorded
    ]
    audits = [[one.audit_ok for one in results if one.audit_ok is not None] for results in recorded]
    columns["audit_ok"] = tristate([all(found) if found else None for found in audits])
    return columns


def _pair(run: Run, results: Mapping[str, RunResult], states: Mapping[str, ResultState]) -> SeedPair:
    ticket, trunk = states[run.key], states[run.trunk]
    if trunk is ResultState.DIVERGED:
        return SeedPair(ResultState.DIVERGED, dense_diverged=True)
    for state in (ResultState.FAILED, ResultState.MISSING, ResultState.DIVERGED):
        if state in (ticket, trunk):
            return SeedPair(state)
    dense, pruned = results[run.trunk].metrics, results[run.key].metrics
    return SeedPair(ResultState.DONE, dense.test_accuracy, pruned.test_accuracy)


def _at_initialization(run: Run) -> bool:
    """Whether the run can win: a ticket whose survivors returned to initialization. A control cannot."""
    return role_of(run) == TICKET and run.prune is not None and run.prune.point.at_initialization


def _compression(result: RunResult) -> float:
    if result.kind == "dense":
        return 1.0
    total, prunable = result.metrics.params_total, result.metrics.params_prunable
    return _ratio(total, total - prunable + result.metrics.params_remaining)


def _pruned_accuracy(result: RunResult) -> float:
    return result.metrics.test_accuracy if result.kind == "dense" else result.metrics.pruned_test_accuracy


def _ratio(above: float, below: float) -> float:
    return above / below if below else math.nan


def _mean(values: Iterable[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return math.fsum(finite) / len(finite) if finite else math.nan


def _median(values: Iterable[float]) -> float:
    known = [value for value in values if value >= 0]  # NaN: not measured; negative: never
    return statistics.median(known) if known else math.nan
