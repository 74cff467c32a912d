"""Specs in one line, as a user would write the file."""

from __future__ import annotations

from typing import Any

from lthsweep.plan.expand import expand
from lthsweep.plan.run import Plan
from lthsweep.spec import Spec, spec_of

LENET = {"name": "lenet_300_100"}
MNIST = {"name": "mnist"}


def make_spec(
    grid: dict[str, Any],
    *,
    model: dict[str, Any] = LENET,
    data: dict[str, Any] = MNIST,
    train: dict[str, Any] | None = None,
    prune: dict[str, Any] | None = None,
    sources: dict[str, str] | None = None,
    **tables: Any,
) -> Spec:
    """A checked spec of `[grid]` and the given keys; everything else at its default."""
    sweep = {"name": "case", "model": model, "data": data, "sources": sources or {}}
    raw = {"sweep": sweep, "grid": grid, **tables}
    if train is not None:
        raw["train"] = train
    if prune is not None:
        raw["prune"] = prune
    return spec_of(raw)


def make_plan(grid: dict[str, Any], **tables: Any) -> Plan:
    """The plan of `make_spec`."""
    return expand(make_spec(grid, **tables))


def key_at(plan: Plan, **values: Any) -> str:
    """The key of the one run that answers the cells with these values."""
    (key,) = {cell.run for cell in plan.cells if all(cell[axis] == value for axis, value in values.items())}
    return key
