"""Rows of /controls: each control of a grid point against the ticket of that point, paired over seeds.

`/tickets` compares everything with the dense run. Whether a ticket is more than its mask, or more than its number of
weights, is another question: ticket minus control of the same seed, decided by `lthsweep.reduce.decision`. The verdict
is about the ticket: better, equal (the interval lies within the margin), worse or undecided. A seed in which either
run diverged has no difference: undecided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lthsweep.plan.prune_step import TICKET
from lthsweep.reduce.columns import Column, compound, text_array
from lthsweep.reduce.decision import PairedDifference, Verdict, mean_and_sd
from lthsweep.reduce.run_result import ResultState, RunResult, inherited_states
from lthsweep.reduce.run_rows import CONTROL_AXIS, axis_names

if TYPE_CHECKING:
    from lthsweep.plan.run import Plan, Run
    from lthsweep.store.failures import Failure

__all__ = ["control_rows", "control_verdict"]


def control_rows(
    plan: Plan, results: Mapping[str, RunResult], failures: Mapping[str, Failure]
) -> NDArray[np.void]:
    """One row per grid point of a control, in the order of the plan; none if the grid has no axis of controls.

    A point needs its ticket: "ticket" must be on the axis. Points that the trunk answers are left out.

    Columns: the axes except seed and control, `control`, n and n_planned (seeds with both accuracies, and
    all), weights_remaining of the control, ticket_accuracy, control_accuracy, difference (ticket − control), its
    interval, `verdict`.
    """
    axes = [axis for axis in axis_names(plan) if axis not in ("seed", CONTROL_AXIS)]
    points = _points(plan, axes)
    states = inherited_states(plan, results, failures)
    margin, confidence = plan.spec.verdict.margin, plan.spec.verdict.confidence
    n, tickets, controls, gaps, verdicts, remaining = [], [], [], [], [], []
    for pairs in points.values():
        done = [
            (results[ticket.key].metrics.test_accuracy, results[control.key].metrics.test_accuracy)
            for ticket, control in pairs
            if states[ticket.key] is states[control.key] is ResultState.DONE
        ]
        gap = PairedDifference.of([ticket - control for ticket, control in done], confidence)
        n.append(gap.n)
        tickets.append(mean_and_sd([ticket for ticket, _ in done])[0])
        controls.append(mean_and_sd([control for _, control in done])[0])
        gaps.append(gap)
        found = {states[run.key] for pair in pairs for run in pair}
        verdicts.append(control_verdict(gap, found, margin))
        left = [results[control.key].weights_remaining for _, control in pairs if control.key in results]
        remaining.append(mean_and_sd(left)[0])
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
    columns["verdict"] = text_array(verdicts)
    return compound(columns)


def control_verdict(gap: PairedDifference, states: set[ResultState], margin: float) -> Verdict:
    """Decide whether the ticket is better than, equal to or worse than its control.

    Args:
        gap: ticket minus control.
        states: of all runs of the point, tickets and controls.
        margin: a difference within it counts as none, >= 0.
    """
    if ResultState.DIVERGED in states:
        return Verdict.UNDECIDED
    if not gap.n:
        return Verdict.FAILED if ResultState.FAILED in states else Verdict.MISSING
    return gap.verdict(margin)


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
