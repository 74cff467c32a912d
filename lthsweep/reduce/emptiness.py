"""Why a table of a sweep has no rows: what its grid would have to ask for. Two tables are of some sweeps only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from lthsweep.plan.prune_step import CONTROLS, TICKET
from lthsweep.pruning.registry import criterion_of
from lthsweep.reduce.runs import CONTROL_AXIS, axis_names, method_of

if TYPE_CHECKING:
    from lthsweep.plan.run import Plan

__all__ = ["why_empty"]

_OF_DENSE = "every point of this grid is answered by its dense run; add a sparsity above 0"
_OF_AGE = (
    "it was made by an older version of lthsweep, which had no such table; `lthsweep merge` makes it anew"
)


def why_empty(plan: Plan, table: str) -> str:
    """What keeps a table without rows from having any, and what would give it some.

    Args:
        plan: the grid.
        table: one of `lthsweep.reduce.table.TABLES`.
    """
    return _REASONS.get(table, _nothing_yet)(plan)


def _of_controls(plan: Plan) -> str:
    if CONTROL_AXIS not in axis_names(plan):
        return 'this sweep has no axis of controls; add `control = ["ticket", "reinit", "random"]` to [grid]'
    values = {cell[CONTROL_AXIS] for cell in plan.cells}
    if TICKET not in values:
        return (
            'controls are compared with tickets, and the axis control of [grid] has none; add "ticket" to it'
        )
    if values == {TICKET}:
        others = ", ".join(f'"{name}"' for name in CONTROLS if name != TICKET)
        return f"the axis control of [grid] has tickets only; add one of {others}"
    return _OF_DENSE if not plan.tickets else _OF_AGE


def _of_structures(plan: Plan) -> str:
    if any(criterion_of(method_of(run)).structured for run in plan.tickets):
        return _OF_AGE
    if not plan.tickets:
        return _OF_DENSE
    return (
        'this sweep takes no whole filters out; set prune.method = "filter", or add "prune.method" to [grid]'
    )


def _nothing_yet(plan: Plan) -> str:
    return "no run has a record yet; `lthsweep run` trains them"


_REASONS: Mapping[str, Callable[[Plan], str]] = {"controls": _of_controls, "structures": _of_structures}
