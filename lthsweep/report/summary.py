"""The summary of a table of tickets: counts, and the sparsest matching ticket per rewind epoch."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import pandas as pd

from lthsweep.reduce.decision import Verdict
from lthsweep.reduce.run_result import ResultState
from lthsweep.report.axes import Axes, FrameRow, canonical, labels, ordered
from lthsweep.report.numbers import as_float, flag
from lthsweep.report.verdicts import MATCHING, TICKET_VERDICTS

__all__ = [
    "SparsestTicket",
    "Totals",
    "dead_layers",
    "lost_seeds",
    "ready_rows",
    "remaining",
    "sparsest_matching",
    "totals",
    "verdict_of",
]


@dataclass(frozen=True)
class Totals:
    """Counts over a table of tickets.

    Attributes:
        points: grid points, that is rows.
        cells: grid points times seeds.
        finished: cells with a result, diverged ones included: divergence is a result.
        missing, failed, damaged, set_aside, diverged: cells.
        verdicts: verdict → number of rows, for all verdicts in their order.
        dead, audit: rows with dead layers, rows that failed the audit.
    """

    points: int
    cells: int
    finished: int
    missing: int
    failed: int
    damaged: int
    set_aside: int
    diverged: int
    verdicts: dict[Verdict, int]
    dead: int
    audit: int


@dataclass(frozen=True)
class SparsestTicket:
    """The sparsest matching ticket of one rewind epoch and one combination of the further axes.

    Attributes:
        combination: values of the further axes.
        rewind: label of the rewind epoch.
        row: the ticket's row as in `ready_rows`, None if no ticket matches.
        undecided: rows that can still match with more seeds.
    """

    combination: tuple[str, ...]
    rewind: str
    row: FrameRow | None
    undecided: int


def totals(tickets: pd.DataFrame) -> Totals:
    """Count cells and verdicts."""
    planned, missing, failed, damaged, set_aside, diverged = (
        _sum(tickets, f"n_{name}")
        for name in ("planned", "missing", "failed", "damaged", "set_aside", "diverged")
    )
    found = [verdict_of(v) for v in tickets.get("verdict", [])]
    audits = [flag(v) for v in tickets.get("audit_ok", [])]
    return Totals(
        points=len(tickets),
        cells=planned,
        finished=planned - missing - failed - damaged - set_aside,
        missing=missing,
        failed=failed,
        damaged=damaged,
        set_aside=set_aside,
        diverged=diverged,
        verdicts={name: found.count(name) for name in TICKET_VERDICTS},
        dead=sum(bool(dead_layers(v)) for v in tickets.get("dead_layers", [])),
        audit=audits.count(False),
    )


def sparsest_matching(tickets: pd.DataFrame, steps_per_epoch: float = math.nan) -> list[SparsestTicket]:
    """The matching ticket with the fewest weights per combination of further axes and rewind epoch.

    The dense network (all weights remaining) does not count as a ticket. Of two equally sparse tickets, the more
    accurate one is chosen.
    """
    axes = Axes.of(tickets)
    rows = ready_rows(tickets)
    rewinds = ordered(rows["rewind_epoch"], steps_per_epoch)
    label = labels(rewinds)
    best = []
    for values, rewind in itertools.product(axes.combinations(rows), rewinds):
        here = rows[rows["rewind_epoch"] == rewind]
        for name, value in zip(axes.further, values, strict=True):
            here = here[here[name] == value]
        if here.empty:
            continue
        matching = here[here["verdict"].isin(MATCHING) & ~(here["weights_remaining"] >= 1)]
        ranked = matching.sort_values(
            ["weights_remaining", "ticket_accuracy"], ascending=[True, False], kind="stable"
        )
        best.append(
            SparsestTicket(
                combination=values,
                rewind=label[rewind],
                row=ranked.iloc[0].to_dict() if len(ranked) else None,
                undecided=int((here["verdict"] == Verdict.UNDECIDED).sum()),
            )
        )
    return best


def ready_rows(tickets: pd.DataFrame) -> pd.DataFrame:
    """The tickets with canonical axes, known verdicts, and weights remaining where only the sparsity is known."""
    verdicts = [verdict_of(value) for value in tickets.get("verdict", [""] * len(tickets))]
    rows = tickets.assign(weights_remaining=remaining(tickets), verdict=verdicts)
    return Axes.of(tickets).normalize(rows)


def remaining(tickets: pd.DataFrame) -> pd.Series:
    """Fraction of weights remaining per row, from the requested sparsity if no run has finished."""
    empty = pd.Series(math.nan, index=tickets.index)
    measured = pd.to_numeric(tickets.get("weights_remaining", empty), errors="coerce")
    requested = pd.to_numeric(tickets.get("sparsity", empty), errors="coerce")
    return measured.fillna(1.0 - requested).astype(float)


def dead_layers(value: object) -> list[str]:
    """The names in a cell of `dead_layers`, text joined by commas; empty for "" and NaN."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else []


def lost_seeds(row: FrameRow) -> list[str]:
    """Return the numbers of seeds that failed, are damaged, missing or set aside, or diverged, in words, if any."""
    states = (
        ResultState.FAILED,
        ResultState.DAMAGED,
        ResultState.MISSING,
        ResultState.SET_ASIDE,
        ResultState.DIVERGED,
    )
    counted = {state: as_float(row.get(f"n_{state.replace(' ', '_')}")) for state in states}
    return [f"{number:.0f} {state}" for state, number in counted.items() if number > 0]


def verdict_of(value: object) -> Verdict:
    """Return the verdict of a ticket; missing for any other text and for NaN."""
    text = canonical(value)
    return Verdict(text) if text in TICKET_VERDICTS else Verdict.MISSING


def _sum(tickets: pd.DataFrame, column: str) -> int:
    return int(pd.to_numeric(tickets[column], errors="coerce").fillna(0).sum()) if column in tickets else 0
