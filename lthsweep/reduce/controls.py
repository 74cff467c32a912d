"""Rows of /controls: each control of a grid point beside the ticket of that point, paired over seeds.

The table of tickets compares everything with the dense run. Whether a ticket is more than its mask, or more than its
number of weights, is another question: ticket minus control, of the same seed. Its interval is Student's, as in
`lthsweep.reduce.verdict`, and the margin is the same:

    interval inside of ±margin    alike
    lower end > 0                 ticket better
    upper end < 0                 control better
    else                          undecided

One seed has no interval, two seeds that agree exactly are a coincidence of counting images, and a seed in which either
run diverged has no difference: undecided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from lthsweep.plan.prune_step import TICKET
from lthsweep.reduce.columns import Column, compound, text_array
from lthsweep.reduce.facts import Facts, FailureFacts
from lthsweep.reduce.runs import CONTROL_AXIS, axis_names
from lthsweep.reduce.tickets import inherited_states, weights_remaining
from lthsweep.reduce.verdict import Interval, t_interval

if TYPE_CHECKING:
    from lthsweep.plan.run import Plan, Run

__all__ = ["FINDINGS", "Finding", "control_rows", "finding_of"]

Finding = Literal["ticket better", "control better", "alike", "undecided", "failed", "missing"]

FINDINGS: tuple[Finding, ...] = (
    "ticket better",
    "control better",
    "alike",
    "undecided",
    "failed",
    "missing",
)


def control_rows(
    plan: Plan, facts: Mapping[str, Facts], failures: Mapping[str, FailureFacts]
) -> NDArray[np.void]:
    """One row per grid point of a control, in the order of the plan; none if the grid has no axis of controls.

    A point needs its ticket: "ticket" must be on the axis. Points that the trunk answers are left out.

    Columns: the axes but for the seed and the control, `control`, n and n_planned (seeds with both accuracies, and
    all), weights_remaining of the control, ticket_accuracy, control_accuracy, difference (ticket − control), its
    interval, `finding`.
    """
    axes = [axis for axis in axis_names(plan) if axis not in ("seed", CONTROL_AXIS)]
    points = _points(plan, axes)
    states = inherited_states(plan, facts, failures)
    margin, confidence = plan.spec.verdict.margin, plan.spec.verdict.confidence
    n, tickets, controls, gaps, findings, remaining = [], [], [], [], [], []
    for pairs in points.values():
        done = sorted(
            (facts[ticket.key].metrics.test_accuracy, facts[control.key].metrics.test_accuracy)
            for ticket, control in pairs
            if states[ticket.key] == states[control.key] == "done"
        )
        gap = t_interval(sorted(t - c for t, c in done), confidence)
        n.append(len(done))
        tickets.append(t_interval([t for t, _ in done], confidence).mean)
        controls.append(t_interval(sorted(c for _, c in done), confidence).mean)
        gaps.append(gap)
        seen = {states[run.key] for pair in pairs for run in pair}
        findings.append(finding_of(gap, len(done), seen, margin))
        left = [weights_remaining(facts[control.key]) for _, control in pairs if control.key in facts]
        remaining.append(t_interval(sorted(left), confidence).mean)
    columns: dict[str, Column] = {axis: [point[i] for point in points] for i, axis in enumerate(axes)}
    columns["control"] = text_array([str(point[-1]) for point in points])
    columns["n"] = np.array(n, dtype="<i8")
    columns["n_planned"] = np.array([len(pairs) for pairs in points.values()], dtype="<i8")
    columns |= {"weights_remaining": remaining, "ticket_accuracy": tickets, "control_accuracy": controls}
    columns |= {
        "difference": [gap.mean for gap in gaps],
        "ci_low": [gap.low for gap in gaps],
        "ci_high": [gap.high for gap in gaps],
    }
    columns["finding"] = text_array(findings)
    return compound(columns)


def finding_of(gap: Interval, n: int, states: set[str], margin: float) -> Finding:
    """What the differences ticket − control of one grid point say.

    Args:
        gap: their interval; NaN where undefined.
        n: how many there are.
        states: of all runs of the point, of tickets and controls.
        margin: a difference within it is none, ≥ 0.
    """
    if not n and "diverged" not in states:
        return "failed" if "failed" in states else "missing"
    if "diverged" in states or (n == 2 and gap.sd == 0):
        return "undecided"
    if -margin <= gap.low and gap.high <= margin:
        return "alike"
    if gap.low > 0:
        return "ticket better"
    return "control better" if gap.high < 0 else "undecided"


def _points(plan: Plan, axes: Sequence[str]) -> dict[tuple[Any, ...], list[tuple[Run, Run]]]:
    """(values of the axes, control) → (ticket, control) of each seed."""
    if CONTROL_AXIS not in axis_names(plan):
        return {}
    tickets: dict[tuple[Any, ...], Run] = {}
    for cell in plan.cells:
        if cell[CONTROL_AXIS] == TICKET:
            tickets[_but_control(cell.values)] = plan.runs[cell.run]
    points: dict[tuple[Any, ...], list[tuple[Run, Run]]] = {}
    for cell in plan.cells:
        ticket, run = tickets.get(_but_control(cell.values)), plan.runs[cell.run]
        if cell[CONTROL_AXIS] == TICKET or ticket is None or run.kind == "dense":
            continue
        point = (*(cell[axis] for axis in axes), cell[CONTROL_AXIS])
        points.setdefault(point, []).append((ticket, run))
    return points


def _but_control(values: Sequence[tuple[str, Any]]) -> tuple[Any, ...]:
    return tuple(value for name, value in values if name != CONTROL_AXIS)
