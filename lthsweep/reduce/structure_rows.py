"""Rows of /structures: size, cost and accuracy of the network before and after pruning by filters or weights.

A mask removes no parameter from the network that runs: it has the size, the operations and the time of the dense one,
and only a file can leave its zeros out. Removing whole filters reduces all of these. Each row compares one grid
point with its trunks.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lthsweep.pruning.registry import criterion_of
from lthsweep.reduce.columns import Column, compound, text_array
from lthsweep.reduce.run_result import ResultState, RunResult, inherited_states, plain_text
from lthsweep.reduce.run_rows import axis_names, method_of, role_of

if TYPE_CHECKING:
    from lthsweep.plan.run import Plan, Run
    from lthsweep.store.failures import Failure

__all__ = ["structure_rows"]

_Pairs = Sequence[tuple[RunResult, RunResult]]
"""(trunk, ticket) of each seed that has both."""


def structure_rows(
    plan: Plan, results: Mapping[str, RunResult], failures: Mapping[str, Failure]
) -> NDArray[np.void]:
    """One row per grid point except trunks, in the order of the plan; none if the grid removes no whole filters.

    Columns: the axes except the seed, `method` and `control`, n and n_planned (seeds with both runs finished, and
    all), weights_remaining; then for each of these the trunk's (`_dense`) and the point's: test accuracy and loss,
    parameters, multiply-accumulates, bytes of the network as it runs, seconds of an epoch and of the test; then
    bytes_sparse and layer_sparsity. Means over the seeds, and for seconds medians.
    """
    axes = [axis for axis in axis_names(plan) if axis != "seed"]
    points = _points(plan, axes)
    states = inherited_states(plan, results, failures)
    pairs: list[_Pairs] = [
        [
            (results[run.trunk], results[run.key])
            for run in runs
            if states[run.key] is states[run.trunk] is ResultState.DONE
        ]
        for runs in points.values()
    ]
    columns: dict[str, Column] = {axis: [point[i] for point in points] for i, axis in enumerate(axes)}
    columns["method"] = text_array([method_of(runs[0]) for runs in points.values()])
    columns["control"] = text_array([role_of(runs[0]) for runs in points.values()])
    columns["n"] = np.array([len(found) for found in pairs], dtype="<i8")
    columns["n_planned"] = np.array([len(runs) for runs in points.values()], dtype="<i8")
    columns["weights_remaining"] = [_mean(ticket.weights_remaining for _, ticket in found) for found in pairs]
    for name, (read, over) in _COMPARED.items():
        columns[f"{name}_dense"] = [over(read(trunk) for trunk, _ in found) for found in pairs]
        columns[name] = [over(read(ticket) for _, ticket in found) for found in pairs]
    columns["bytes_sparse"] = [_mean(ticket.metrics.bytes_sparse for _, ticket in found) for found in pairs]
    columns["layer_sparsity"] = text_array([_layer_sparsity(found) for found in pairs])
    return compound(columns)


def _points(plan: Plan, axes: Sequence[str]) -> dict[tuple[Any, ...], list[Run]]:
    points: dict[tuple[Any, ...], list[Run]] = {}
    if any(criterion_of(method_of(run)).structured for run in plan.tickets):
        for cell in plan.cells:
            run = plan.runs[cell.run]
            if run.kind == "ticket":
                points.setdefault(tuple(cell[axis] for axis in axes), []).append(run)
    return points


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return math.fsum(known) / len(known) if known else math.nan


def _median(values: Iterable[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return statistics.median(known) if known else math.nan


def _of(metric: str) -> Callable[[RunResult], float]:
    return lambda result: float(getattr(result.metrics, metric))


def _epoch_seconds(result: RunResult) -> float:
    """Of the median epoch: the first one warms up, and one that begins at an iteration is shorter."""
    return _median(result.curves["seconds"].tolist())


_COMPARED: Mapping[str, tuple[Callable[[RunResult], float], Callable[[Iterable[float]], float]]] = {
    "accuracy": (_of("test_accuracy"), _mean),
    "loss": (_of("test_loss"), _mean),
    "params": (_of("params_model"), _mean),
    "macs": (_of("macs_model"), _mean),
    "bytes": (_of("bytes_model"), _mean),
    "epoch_seconds": (_epoch_seconds, _median),
    "test_seconds": (_of("seconds_test"), _median),
}
"""Column → (function that reads it from a run, function that combines the seeds)."""


def _layer_sparsity(pairs: _Pairs) -> str:
    """Layer → mean sparsity, as JSON in the order of the network."""
    found: dict[str, list[float]] = {}
    for _, ticket in pairs:
        for name, sparsity in zip(
            ticket.layers["name"].tolist(), ticket.layers["sparsity"].tolist(), strict=True
        ):
            found.setdefault(plain_text(name), []).append(sparsity)
    return json.dumps({name: round(_mean(values), 4) for name, values in found.items()}) if found else ""
