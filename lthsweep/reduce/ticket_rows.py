"""Rows of /tickets: one per grid point over its seeds, with the verdict. This is the winning-ticket table."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lthsweep.plan.prune_step import TICKET
from lthsweep.reduce.columns import Column, ColumnType, axis_columns, flag, integer, number, table_array, text
from lthsweep.reduce.decision import Verdict
from lthsweep.reduce.points import mean, median, method_of, point_axes, role_of, runs_by_point
from lthsweep.reduce.rewind_axis import EpochLengths, written_point
from lthsweep.reduce.run_result import ResultState, RunResult, inherited_states
from lthsweep.reduce.ticket_verdict import PointSummary, SeedPair, summarize_point
from lthsweep.store.metrics import METRICS, MetricInfo

if TYPE_CHECKING:
    from lthsweep.plan.run import Plan, Run
    from lthsweep.store.failures import Failure

__all__ = ["TICKET_COLUMNS", "ticket_rows"]


@dataclass(frozen=True)
class _TicketRow:
    """A row.

    Attributes:
        axes: axis → value.
        rewind_point: as the file has it.
        run: of the first seed; kind, level, method and role are the same for all seeds.
        summary: the statistics over the seeds.
        results: of the seeds that have a record, diverged ones included.
    """

    axes: Mapping[str, object]
    rewind_point: str
    run: Run
    summary: PointSummary
    results: Sequence[RunResult]


def ticket_rows(
    plan: Plan,
    results: Mapping[str, RunResult],
    failures: Mapping[str, Failure],
    set_aside: Collection[str] = frozenset(),
) -> NDArray[np.void]:
    """Return one row per grid point, in the order of the plan, with or without results.

    Columns: the axes except the seed, then `TICKET_COLUMNS`.
    """
    axes, lengths = point_axes(plan), EpochLengths.of(plan, results)
    states = inherited_states(plan, results, failures, set_aside)
    points = [
        _TicketRow(
            axes=lengths.numbered(runs[0], dict(zip(axes, values, strict=True))),
            rewind_point=written_point(dict(zip(axes, values, strict=True))),
            run=runs[0],
            summary=summarize_point(
                [_pair(run, results, states) for run in runs],
                margin=plan.spec.verdict.margin,
                confidence=plan.spec.verdict.confidence,
                success=Verdict.WINNING if _can_win(runs[0]) else Verdict.MATCHING,
                is_dense=runs[0].kind == "dense",
            ),
            results=[results[run.key] for run in runs if run.key in results],
        )
        for values, runs in runs_by_point(plan).items()
    ]
    return table_array([*axis_columns(axes, "axes"), *TICKET_COLUMNS], points)


_WITHOUT_PAIR = (
    ResultState.SET_ASIDE,
    ResultState.DAMAGED,
    ResultState.FAILED,
    ResultState.MISSING,
    ResultState.DIVERGED,
)
"""States in which a seed has no pair; the first one that ticket or dense run has counts."""


def _pair(run: Run, results: Mapping[str, RunResult], states: Mapping[str, ResultState]) -> SeedPair:
    ticket, dense_run = states[run.key], states[run.trunk]
    if dense_run is ResultState.DIVERGED:
        return SeedPair(ResultState.DIVERGED, dense_diverged=True)
    for state in _WITHOUT_PAIR:
        if state in (ticket, dense_run):
            return SeedPair(state)
    dense, pruned = results[run.trunk].metrics, results[run.key].metrics
    return SeedPair(ResultState.DONE, dense.test_accuracy, pruned.test_accuracy)


def _can_win(run: Run) -> bool:
    """True for a ticket whose survivors returned to initialization. A control cannot win."""
    return role_of(run) == TICKET and run.prune is not None and run.prune.point.at_initialization


def _compression(result: RunResult) -> float:
    if result.kind == "dense":
        return 1.0
    total, prunable = result.metrics.params_total, result.metrics.params_prunable
    left = total - prunable + result.metrics.params_remaining
    return total / left if left else math.nan


def _pruned_accuracy(result: RunResult) -> float:
    return result.metrics.test_accuracy if result.kind == "dense" else result.metrics.pruned_test_accuracy


def _dead_layers(point: _TicketRow) -> str:
    return ",".join(dict.fromkeys(name for one in point.results for name in one.dead_layers))


def _audit(point: _TicketRow) -> bool | None:
    found = [one.audit_ok for one in point.results if one.audit_ok is not None]
    return all(found) if found else None


def _metric(name: str, info: MetricInfo) -> Column[_TicketRow]:
    combine = mean if info.over_seeds == "mean" else median
    suffix = "; median over seeds" if info.over_seeds == "median" else ""
    return Column(
        name,
        f"{info.description}{suffix}",
        number,
        lambda point: combine(getattr(one.metrics, name) for one in point.results),
    )


def _statistic(name: str, meaning: str, type_: ColumnType = number) -> Column[_TicketRow]:
    return Column(name, meaning, type_, attrgetter(f"summary.{name}"))


TICKET_COLUMNS: Sequence[Column[_TicketRow]] = (
    Column(
        "kind",
        "`ticket`, or `dense` if the dense run itself answers (sparsity 0)",
        text,
        attrgetter("run.kind"),
    ),
    Column(
        "level",
        "0 for the dense run, 1 for one-shot, 1, 2, … along an iterative chain",
        integer,
        attrgetter("run.level"),
    ),
    Column(
        "method",
        "criterion that ranked the weights, `prune.method`; empty for the dense run",
        text,
        lambda point: method_of(point.run),
    ),
    Column(
        "control",
        "`ticket` or the name of a [control](controls.md), however the file requests it (`prune.rewind = "
        '"none"` is `fine-tune`); empty for the dense run',
        text,
        lambda point: role_of(point.run),
    ),
    Column(
        "rewind_point",
        "the rewind epoch as the file has it, such as `2` or `15it`; `rewind_epoch` is always in epochs",
        text,
        attrgetter("rewind_point"),
    ),
    _statistic("n", "seeds with an accuracy of ticket and dense run; all statistics are over these", integer),
    _statistic("n_planned", "seeds in the grid", integer),
    _statistic("n_failed", "seeds without a result because a run, or one of its ancestors, failed", integer),
    _statistic(
        "n_damaged",
        "seeds without a comparison because the record of the ticket, its dense run or another ancestor is "
        "[damaged](reliability.md#damage-on-disk)",
        integer,
    ),
    _statistic("n_missing", "seeds not trained yet", integer),
    _statistic(
        "n_set_aside",
        "seeds with a run that is [set aside](protocol.md#runs-that-are-set-aside)",
        integer,
    ),
    _statistic(
        "n_diverged",
        "seeds whose ticket or dense run diverged; n and the counts of the other seeds add up to n_planned",
        integer,
    ),
    _statistic("dense_accuracy", "mean test accuracy of the dense runs, 0..1, last epoch"),
    _statistic("ticket_accuracy", "mean test accuracy of the tickets, 0..1, last epoch"),
    _statistic("ticket_sd", "standard deviation over seeds (n − 1) of `ticket_accuracy`"),
    _statistic("difference", "mean of ticket minus dense, paired by seed"),
    _statistic("ci_low", "lower end of the interval of `difference`"),
    _statistic("ci_high", "upper end of the interval of `difference`"),
    _statistic("verdict", "see [the verdict](#the-verdict)", text),
    Column(
        "weights_remaining",
        "fraction of the prunable weights that remains",
        number,
        lambda point: mean(one.weights_remaining for one in point.results),
    ),
    Column(
        "compression",
        "all parameters divided by those that remain; biases and BatchNorm count in both",
        number,
        lambda point: mean(map(_compression, point.results)),
    ),
    Column(
        "pruned_accuracy",
        "test accuracy right after pruning, before any retraining",
        number,
        lambda point: mean(map(_pruned_accuracy, point.results)),
    ),
    *(_metric(name, info) for name, info in METRICS.items() if info.over_seeds is not None),
    Column(
        "n_reached",
        "number of seeds behind `steps_to_dense`",
        integer,
        lambda point: sum(one.metrics.steps_to_dense >= 0 for one in point.results),
    ),
    Column(
        "dead_layers",
        "layers without remaining weights in at least one seed, separated by commas",
        text,
        _dead_layers,
    ),
    Column(
        "audit_ok",
        "whether all tickets passed their [audit](protocol.md#the-audit); unknown without a record",
        flag,
        _audit,
    ),
)
"""The columns after the axes. Those from `weights_remaining` on are means over the seeds that have a record."""
