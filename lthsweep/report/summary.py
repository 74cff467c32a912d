"""What a sweep says in a few lines: how far it is, and the sparsest matching ticket per rewind epoch."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import pandas as pd

from lthsweep.report.axes import Axes, canonical, labels, ordered
from lthsweep.report.numbers import flag
from lthsweep.report.verdicts import MATCHING, VERDICTS

__all__ = ["Best", "Totals", "dead_layers", "remaining", "sparsest_matching", "totals", "verdict_of"]


@dataclass(frozen=True)
class Totals:
    """Counts over a table of tickets.

    Attributes:
        points: grid points, i.e. rows.
        cells: grid points times seeds.
        finished: cells with a result; diverged ones are among them, for divergence is a result.
        missing, failed, diverged: cells.
        verdicts: verdict → rows, in the order of `VERDICTS`; verdicts that do not occur have 0.
        dead, audit: rows in which a layer died, rows whose audit found a problem.
    """

    points: int
    cells: int
    finished: int
    missing: int
    failed: int
    diverged: int
    verdicts: dict[str, int]
    dead: int
    audit: int


@dataclass(frozen=True)
class Best:
    """The sparsest matching ticket of one rewind epoch and one combination of the further axes.

    Attributes:
        combination: values of the further axes.
        rewind: label of the rewind epoch.
        row: the ticket's row of the table, None if no ticket matches.
        undecided: how many rows might still match with more seeds.
    """

    combination: tuple[str, ...]
    rewind: str
    row: pd.Series | None
    undecided: int


def totals(tickets: pd.DataFrame) -> Totals:
    """Count cells and verdicts."""
    planned, missing, failed, diverged = (
        _sum(tickets, name) for name in ("n_planned", "n_missing", "n_failed", "n_diverged")
    )
    found = [verdict_of(v) for v in tickets.get("verdict", [])]
    audits = [flag(v) for v in tickets.get("audit_ok", [])]
    return Totals(
        points=len(tickets),
        cells=planned,
        finished=planned - missing - failed,
        missing=missing,
        failed=failed,
        diverged=diverged,
        verdicts={name: found.count(name) for name in VERDICTS},
        dead=sum(bool(dead_layers(v)) for v in tickets.get("dead_layers", [])),
        audit=audits.count(False),
    )


def sparsest_matching(tickets: pd.DataFrame, steps_per_epoch: float = math.nan) -> list[Best]:
    """Per combination of further axes and rewind epoch: the matching ticket with fewest weights remaining.

    The dense network (all weights remaining) is no ticket. Of equally sparse ones the more accurate is named.
    """
    axes = Axes.of(tickets)
    rows = axes.normalize(tickets)
    rewinds = ordered(rows["rewind_epoch"], steps_per_epoch)
    label = labels(rewinds)
    rows = rows.assign(_remaining=remaining(rows), _verdict=[verdict_of(v) for v in rows["verdict"]])
    best = []
    for values, rewind in itertools.product(axes.combinations(rows), rewinds):
        here = rows[rows["rewind_epoch"] == rewind]
        for name, value in zip(axes.further, values, strict=True):
            here = here[here[name] == value]
        if here.empty:
            continue
        matching = here[here["_verdict"].isin(MATCHING) & ~(here["_remaining"] >= 1)]
        ranked = matching.sort_values(
            ["_remaining", "ticket_accuracy"], ascending=[True, False], kind="stable"
        )
        best.append(
            Best(
                combination=values,
                rewind=label[rewind],
                row=ranked.iloc[0] if len(ranked) else None,
                undecided=int((here["_verdict"] == "undecided").sum()),
            )
        )
    return best


def remaining(tickets: pd.DataFrame) -> pd.Series:
    """Fraction of weights remaining per row, float; from the sparsity asked where no run has told it."""
    empty = pd.Series(math.nan, index=tickets.index)
    told = pd.to_numeric(tickets.get("weights_remaining", empty), errors="coerce")
    asked = pd.to_numeric(tickets.get("sparsity", empty), errors="coerce")
    return told.fillna(1.0 - asked).astype(float)


def dead_layers(value: object) -> list[str]:
    """The names in a `dead_layers` column, which is text joined by commas; empty for "" and NaN."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else []


def verdict_of(value: object) -> str:
    """A verdict as one of the known words; an empty one reads "missing"."""
    text = canonical(value)
    return text if text in VERDICTS else "missing"


def _sum(tickets: pd.DataFrame, column: str) -> int:
    return int(pd.to_numeric(tickets[column], errors="coerce").fillna(0).sum()) if column in tickets else 0
