"""Rows of /structures: size, cost and accuracy of the network before and after pruning by filters or weights.

A mask removes no parameter from the network that runs: it has the size, the operations and the time of the dense one,
and only a file can leave its zeros out. Removing whole filters reduces all of these. Each row compares one grid
point with its dense runs.

These are not columns of /tickets: each value stands next to that of the dense runs over the same seeds, those with
both results, while the means in /tickets are over all seeds with a record; and the sparsities of the layers would
widen every table for the few sweeps that remove filters.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lthsweep.pruning.registry import criterion_of
from lthsweep.reduce.columns import Column, axis_columns, integer, number, table_array, text
from lthsweep.reduce.points import mean, median, method_of, point_axes, role_of, runs_by_point
from lthsweep.reduce.rewind_axis import EpochLengths, written_point
from lthsweep.reduce.run_result import ResultState, RunResult, inherited_states, plain_text

if TYPE_CHECKING:
    from lthsweep.plan.run import Plan, Run
    from lthsweep.store.failures import Failure

__all__ = ["STRUCTURE_COLUMNS", "structure_rows"]


@dataclass(frozen=True)
class _StructureRow:
    """A row.

    Attributes:
        axes: axis → value.
        rewind_point: as the file has it.
        runs: of all seeds.
        n_set_aside: seeds whose ticket or dense run is set aside.
        dense runs, tickets: results of the seeds that have both, in the same order.
    """

    axes: Mapping[str, object]
    rewind_point: str
    runs: Sequence[Run]
    n_set_aside: int
    dense_runs: Sequence[RunResult]
    tickets: Sequence[RunResult]


def structure_rows(
    plan: Plan,
    results: Mapping[str, RunResult],
    failures: Mapping[str, Failure],
    set_aside: Collection[str] = frozenset(),
) -> NDArray[np.void]:
    """Return one row per grid point except dense runs, in the order of the plan; none if the grid removes no filters.

    Columns: the axes except the seed, then `STRUCTURE_COLUMNS`.
    """
    axes, lengths = point_axes(plan), EpochLengths.of(plan, results)
    states = inherited_states(plan, results, failures, set_aside)
    points = []
    for values, runs in _tickets_by_point(plan).items():
        done = [run for run in runs if states[run.key] is states[run.trunk] is ResultState.DONE]
        points.append(
            _StructureRow(
                axes=lengths.numbered(runs[0], dict(zip(axes, values, strict=True))),
                rewind_point=written_point(dict(zip(axes, values, strict=True))),
                runs=runs,
                n_set_aside=sum(
                    ResultState.SET_ASIDE in (states[run.key], states[run.trunk]) for run in runs
                ),
                dense_runs=[results[run.trunk] for run in done],
                tickets=[results[run.key] for run in done],
            )
        )
    return table_array([*axis_columns(axes, "axes"), *STRUCTURE_COLUMNS], points)


def _tickets_by_point(plan: Plan) -> dict[tuple[object, ...], list[Run]]:
    if not any(criterion_of(method_of(run)).structured for run in plan.tickets):
        return {}
    return {point: runs for point, runs in runs_by_point(plan).items() if runs[0].kind == "ticket"}


def _metric(name: str) -> Callable[[RunResult], float]:
    return lambda result: float(getattr(result.metrics, name))


def _epoch_seconds(result: RunResult) -> float:
    """Return the median over the epochs: the first one warms up, and one that begins at an iteration is shorter."""
    return median(result.curves["seconds"].tolist())


def _compared(
    name: str,
    meaning: str,
    value: Callable[[RunResult], float],
    combine: Callable[[Iterable[float]], float] = mean,
) -> Iterator[Column[_StructureRow]]:
    """Yield the columns of the dense runs and of the grid point."""
    yield Column(
        f"{name}_dense",
        f"`{name}` of the dense runs, over the same seeds",
        number,
        lambda point: combine(map(value, point.dense_runs)),
    )
    yield Column(name, meaning, number, lambda point: combine(map(value, point.tickets)))


def _layer_sparsity(point: _StructureRow) -> str:
    """Return layer → mean sparsity, as JSON in the order of the network."""
    found: dict[str, list[float]] = {}
    for ticket in point.tickets:
        layers = zip(ticket.layers["name"].tolist(), ticket.layers["sparsity"].tolist(), strict=True)
        for name, sparsity in layers:
            found.setdefault(plain_text(name), []).append(sparsity)
    return json.dumps({name: round(mean(values), 4) for name, values in found.items()}) if found else ""


STRUCTURE_COLUMNS: Sequence[Column[_StructureRow]] = (
    Column("method", "as in `tickets`", text, lambda point: method_of(point.runs[0])),
    Column("control", "as in `tickets`", text, lambda point: role_of(point.runs[0])),
    Column("rewind_point", "as in `tickets`", text, attrgetter("rewind_point")),
    Column("n", "seeds with a result of ticket and dense run", integer, lambda point: len(point.tickets)),
    Column("n_planned", "seeds in the grid", integer, lambda point: len(point.runs)),
    Column("n_set_aside", "as in `tickets`", integer, attrgetter("n_set_aside")),
    Column(
        "weights_remaining",
        "fraction of the prunable weights that remains; for filters the nearest possible to the requested one",
        number,
        lambda point: mean(one.weights_remaining for one in point.tickets),
    ),
    *_compared("accuracy", "mean test accuracy, 0..1, last epoch", _metric("test_accuracy")),
    *_compared("loss", "mean test loss, last epoch", _metric("test_loss")),
    *_compared(
        "params",
        "parameters of the network that runs, including biases and BatchNorm",
        _metric("params_model"),
    ),
    *_compared("macs", "multiply-accumulates of that network for one image", _metric("macs_model")),
    *_compared("bytes", "size of that network as a safetensors file", _metric("bytes_model")),
    *_compared(
        "epoch_seconds",
        "training and validation of an epoch: median over the epochs, then over the seeds",
        _epoch_seconds,
        median,
    ),
    *_compared("test_seconds", "one pass over the test set, median", _metric("seconds_test"), median),
    Column(
        "bytes_sparse",
        "size of the stored ticket: survivors and compressed mask",
        number,
        lambda point: mean(one.metrics.bytes_sparse for one in point.tickets),
    ),
    Column("layer_sparsity", "layer → fraction removed, mean over the seeds, as JSON", text, _layer_sparsity),
)
"""The columns after the axes."""
