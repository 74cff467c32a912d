"""Grid points: their axes, the runs that answer them over the seeds, and means over these runs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lthsweep.plan.run import Plan, Run

__all__ = [
    "CONTROL_AXIS",
    "axis_names",
    "mean",
    "median",
    "method_of",
    "point_axes",
    "role_of",
    "runs_by_point",
]

CONTROL_AXIS = "prune.control"


def axis_names(plan: Plan) -> tuple[str, ...]:
    """Return the axes of a plan in the order of the file, including the seed."""
    return tuple(name for name, _ in plan.cells[0].values) if plan.cells else ()


def point_axes(plan: Plan) -> tuple[str, ...]:
    """Return the axes that make a grid point: all except the seed."""
    return tuple(name for name in axis_names(plan) if name != "seed")


def runs_by_point(plan: Plan) -> dict[tuple[object, ...], list[Run]]:
    """Return values of `point_axes` → the run of each seed, in the order of the plan."""
    points: dict[tuple[object, ...], list[Run]] = {}
    for cell in plan.cells:
        point = tuple(value for axis, value in cell.values if axis != "seed")
        points.setdefault(point, []).append(plan.runs[cell.run])
    return points


def role_of(run: Run) -> str:
    """Return "ticket" or the name of a control, however the file requests it; "" for a dense run."""
    return "" if run.prune is None else run.prune.role


def method_of(run: Run) -> str:
    """Return the criterion that ranked the weights; "" for a dense run."""
    return "" if run.prune is None else run.prune.method


def mean(values: Iterable[float]) -> float:
    """Return the mean of the finite values; NaN without any."""
    finite = [value for value in values if math.isfinite(value)]
    return math.fsum(finite) / len(finite) if finite else math.nan


def median(values: Iterable[float]) -> float:
    """Return the median of the values >= 0; NaN without any. Negative values stand for "never"."""
    known = [value for value in values if value >= 0]  # NaN is not
    return statistics.median(known) if known else math.nan
