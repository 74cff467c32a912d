"""Rows of /controls: each control of a grid point against the ticket of that point, paired over seeds.

`/tickets` compares everything with the dense run. Whether a ticket is more than its mask, or more than its number of
weights, is another question: ticket minus control of the same seed, decided by `lthsweep.reduce.decision`. The verdict
is about the ticket: better, equal (the interval lies within the margin), worse or undecided. A seed in which either
run diverged has no difference: undecided.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lthsweep.plan.prune_step import TICKET
from lthsweep.reduce.columns import Column, axis_columns, integer, number, table_array, text
from lthsweep.reduce.decision import PairedDifference, Verdict, mean_and_sd
from lthsweep.reduce.points import CONTROL_AXIS, point_axes, runs_by_point
from lthsweep.reduce.rewind_axis import EpochLengths, written_point
from lthsweep.reduce.run_result import ResultState, RunResult, inherited_states
from lthsweep.reduce.ticket_verdict import verdict_without_results

if TYPE_CHECKING:
    from lthsweep.plan.run import Plan, Run
    from lthsweep.store.failures import Failure

__all__ = ["CONTROL_COLUMNS", "control_rows", "control_verdict"]

_Pairs: TypeAlias = Sequence[tuple["Run", "Run"]]
"""(ticket, control) of each seed."""


@dataclass(frozen=True)
class _ControlRow:
    """A row: a control of a grid point compared with its ticket. Accuracies are means over the same seeds."""

    axes: Mapping[str, object]
    rewind_point: str
    control: str
    n_planned: int
    n_set_aside: int
    weights_remaining: float
    ticket_accuracy: float
    control_accuracy: float
    difference: PairedDifference
    verdict: Verdict


def control_rows(
    plan: Plan,
    results: Mapping[str, RunResult],
    failures: Mapping[str, Failure],
    set_aside: Collection[str] = frozenset(),
) -> NDArray[np.void]:
    """Return one row per grid point of a control, in the order of the plan; none without an axis of controls.

    A point needs its ticket: "ticket" must be on the axis. Points that the dense run answers are left out. Columns: the
    axes except seed and control, then `CONTROL_COLUMNS`.
    """
    axes = [axis for axis in point_axes(plan) if axis != CONTROL_AXIS]
    states = inherited_states(plan, results, failures, set_aside)
    lengths = EpochLengths.of(plan, results)
    rows = [
        _compared(plan, dict(zip(axes, values, strict=True)), control, pairs, results, states, lengths)
        for (values, control), pairs in _points(plan).items()
    ]
    return table_array([*axis_columns(axes, "axes"), *CONTROL_COLUMNS], rows)


def control_verdict(difference: PairedDifference, states: set[ResultState], margin: float) -> Verdict:
    """Decide whether the ticket is better than, equal to or worse than its control.

    Args:
        difference: ticket minus control.
        states: of all runs of the point, tickets and controls.
        margin: a difference within it counts as none, >= 0.
    """
    if ResultState.DIVERGED in states:
        return Verdict.UNDECIDED
    if not difference.n:
        return verdict_without_results(states)
    return difference.verdict(margin)


def _compared(
    plan: Plan,
    axes: Mapping[str, object],
    control: str,
    pairs: _Pairs,
    results: Mapping[str, RunResult],
    states: Mapping[str, ResultState],
    lengths: EpochLengths,
) -> _ControlRow:
    done = [
        (results[ticket.key].metrics.test_accuracy, results[other.key].metrics.test_accuracy)
        for ticket, other in pairs
        if states[ticket.key] is states[other.key] is ResultState.DONE
    ]
    rule = plan.spec.verdict
    difference = PairedDifference.of([ticket - other for ticket, other in done], rule.confidence)
    recorded = [results[other.key] for _, other in pairs if other.key in results]
    return _ControlRow(
        axes=lengths.numbered(pairs[0][0], axes),
        rewind_point=written_point(axes),
        control=control,
        n_planned=len(pairs),
        n_set_aside=sum(
            ResultState.SET_ASIDE in (states[ticket.key], states[other.key]) for ticket, other in pairs
        ),
        weights_remaining=mean_and_sd([one.weights_remaining for one in recorded])[0],
        ticket_accuracy=mean_and_sd([ticket for ticket, _ in done])[0],
        control_accuracy=mean_and_sd([other for _, other in done])[0],
        difference=difference,
        verdict=control_verdict(difference, {states[run.key] for pair in pairs for run in pair}, rule.margin),
    )


def _points(plan: Plan) -> dict[tuple[tuple[object, ...], str], _Pairs]:
    """Return (values of the other axes, control) → (ticket, control) of each seed."""
    axes = point_axes(plan)
    if CONTROL_AXIS not in axes:
        return {}
    place = axes.index(CONTROL_AXIS)
    runs = runs_by_point(plan)
    points: dict[tuple[tuple[object, ...], str], _Pairs] = {}
    for values, controls in runs.items():
        tickets = runs.get((*values[:place], TICKET, *values[place + 1 :]))
        if tickets is None or values[place] == TICKET or controls[0].kind == "dense":
            continue
        by_seed = {run.seed: run for run in tickets}
        others = (*values[:place], *values[place + 1 :])
        points[others, str(values[place])] = [(by_seed[run.seed], run) for run in controls]
    return points


CONTROL_COLUMNS: Sequence[Column[_ControlRow]] = (
    Column("control", "name of the control", text, attrgetter("control")),
    Column("rewind_point", "as in `tickets`", text, attrgetter("rewind_point")),
    Column("n", "seeds with an accuracy of ticket and control", integer, attrgetter("difference.n")),
    Column("n_planned", "seeds in the grid", integer, attrgetter("n_planned")),
    Column("n_set_aside", "as in `tickets`, of ticket or control", integer, attrgetter("n_set_aside")),
    Column(
        "weights_remaining",
        "fraction of the prunable weights that remains in the control, mean",
        number,
        attrgetter("weights_remaining"),
    ),
    Column(
        "ticket_accuracy",
        "mean test accuracy of the tickets, 0..1, last epoch, over the seeds of `n`",
        number,
        attrgetter("ticket_accuracy"),
    ),
    Column("control_accuracy", "the same of the controls", number, attrgetter("control_accuracy")),
    Column(
        "difference",
        "mean of ticket minus control, paired by seed",
        number,
        attrgetter("difference.mean"),
    ),
    Column("ci_low", "lower end of the interval of `difference`", number, attrgetter("difference.low")),
    Column("ci_high", "upper end of the interval of `difference`", number, attrgetter("difference.high")),
    Column("verdict", "on the ticket, see below", text, attrgetter("verdict")),
)
"""The columns after the axes."""
