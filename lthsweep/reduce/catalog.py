"""The tables by name: the columns of each, and why one can be empty."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from lthsweep.plan.prune_step import CONTROLS, TICKET
from lthsweep.reduce.columns import ColumnInfo
from lthsweep.reduce.control_rows import CONTROL_COLUMNS
from lthsweep.reduce.detail import CURVE_COLUMNS, LAYER_COLUMNS
from lthsweep.reduce.points import CONTROL_AXIS, axis_names
from lthsweep.reduce.run_rows import RUN_COLUMNS
from lthsweep.reduce.structure_rows import STRUCTURE_COLUMNS
from lthsweep.reduce.ticket_rows import TICKET_COLUMNS

if TYPE_CHECKING:
    from lthsweep.plan.run import Plan

__all__ = ["COLUMNS", "columns_markdown", "why_empty"]

COLUMNS: Mapping[str, Sequence[ColumnInfo]] = {
    "tickets": TICKET_COLUMNS,
    "controls": CONTROL_COLUMNS,
    "structures": STRUCTURE_COLUMNS,
    "runs": [column for part in RUN_COLUMNS for column in part],
    "curves": CURVE_COLUMNS,
    "layers": LAYER_COLUMNS,
}
"""The columns of each table, without the axes."""

_OF_DENSE = "every point of this grid is answered by its dense run; add a sparsity above 0"


def columns_markdown(columns: Sequence[ColumnInfo]) -> str:
    """Return a Markdown table with one row per column, for docs/the-table.md."""
    rows = [f"| `{column.name}` | {column.meaning} |" for column in columns]
    return "\n".join(["| column | meaning |", "|---|---|", *rows])


def why_empty(plan: Plan, table: str) -> str:
    """Return why a table has no rows and which change of the grid would add some.

    Args:
        plan: the grid.
        table: one of `COLUMNS`.
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
    return _OF_DENSE


def _of_structures(plan: Plan) -> str:
    if not plan.tickets:
        return _OF_DENSE
    return 'this sweep prunes no whole filters; set prune.method = "filter", or add "prune.method" to [grid]'


def _nothing_yet(plan: Plan) -> str:
    return "no run has a record yet; `lthsweep run` trains them"


_REASONS: Mapping[str, Callable[[Plan], str]] = {"controls": _of_controls, "structures": _of_structures}
