"""The top of the page: what was swept, the answer in a sentence, the counts, the sparsest tickets."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import pandas as pd

from lthsweep.report.axes import labels, ordered
from lthsweep.report.content import ReportInput
from lthsweep.report.numbers import DASH, interval, percent, plural, points, times
from lthsweep.report.page_table import verdict_badge
from lthsweep.report.summary import Best, totals

__all__ = ["answer", "best_table", "lead", "tiles"]


def lead(report: ReportInput) -> str:
    """What was swept: description and axes with their values."""
    axes, tickets = report.axes, report.axes.normalize(report.tickets)
    swept = []
    for axis in axes.names:
        values = ordered(tickets[axis], report.steps_per_epoch)
        short = labels(values)
        listed = ", ".join(short[v] for v in values[:12]) + (", …" if len(values) > 12 else "")
        swept.append(f"{'rewind epoch' if axis == 'rewind_epoch' else axis} ({listed or 'none'})")
    described = f"<p>{escape(report.description)}</p>" if report.description else ""
    return f'{described}<p class="lead">Swept: {escape(" × ".join(swept))}</p>'


def answer(report: ReportInput, best: Sequence[Best]) -> str:
    """The result of the sweep in a sentence or two."""
    found = [one.row for one in best if one.row is not None]
    winning = [row for row in found if row["_verdict"] == "winning"]
    if not found:
        undecided = totals(report.tickets).verdicts["undecided"]
        more = f" {plural(undecided, 'grid point')} may still be decided by more seeds." if undecided else ""
        return f"No ticket matches its dense run so far.{more}"

    def told(row: pd.Series) -> str:
        return (
            f"<strong>{percent(row['_remaining'], 1)} %</strong> of the weights "
            f"({times(row.get('compression'))} smaller), rewound to k = {escape(str(row['rewind_epoch']))}"
        )

    sparsest = min(found, key=lambda row: row["_remaining"])
    text = f"The sparsest matching ticket keeps {told(sparsest)}."
    if not winning:
        return f"{text} No ticket wins from initialization (k = 0)."
    first = min(winning, key=lambda row: row["_remaining"])
    if first is sparsest:
        return (
            f"The sparsest winning ticket keeps {told(first)}; no later rewind gives a sparser matching one."
        )
    return f"{text} From initialization, the sparsest winning ticket keeps {told(first)}."


def tiles(report: ReportInput) -> str:
    """The counts: grid points by verdict, cells by state."""
    counted = totals(report.tickets)
    matching = counted.verdicts["winning"] + counted.verdicts["matching"]
    shown = [
        ("Grid points", f"{counted.points:,}", ""),
        ("Matching", f"{matching:,}", f"{counted.verdicts['winning']} winning"),
        ("Undecided", f"{counted.verdicts['undecided']:,}", ""),
        ("Cells finished", f"{counted.finished:,}", f"of {counted.cells:,}"),
        ("Cells missing", f"{counted.missing:,}", ""),
        ("Cells failed", f"{counted.failed:,}", ""),
    ]
    if counted.diverged:
        shown.append(("Cells diverged", f"{counted.diverged:,}", "a result too"))
    inner = "".join(f"<div><dt>{a}</dt><dd>{b} <small>{c}</small></dd></div>" for a, b, c in shown)
    return f'<dl class="tiles">{inner}</dl>'


def best_table(report: ReportInput, best: Sequence[Best]) -> str:
    """The sparsest matching ticket per rewind epoch, also where there is none."""
    axes = report.axes
    heads = [*axes.further, "k", axes.cut, "weights left", "compression", "ticket", "difference", "verdict"]
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    rows = []
    for one in best:
        start = "".join(f"<td>{escape(value) or DASH}</td>" for value in one.combination)
        start += f'<th scope="row">{escape(one.rewind)}</th>'
        if one.row is None:
            hope = f"; {one.undecided} undecided, more seeds may decide" if one.undecided else ""
            rows.append(f'<tr>{start}<td colspan="6" class="lead">none matches{hope}</td></tr>')
            continue
        row = one.row
        sd = percent(row.get("ticket_sd"))
        accuracy = percent(row.get("ticket_accuracy")) + (f" ± {sd}" if sd != DASH else "") + " %"
        bounds = interval(row.get("ci_low"), row.get("ci_high"))
        rows.append(
            f"<tr>{start}<td>{escape(labels([row[axes.cut]])[row[axes.cut]])}</td>"
            f"<td>{percent(row['_remaining'])} %</td><td>{times(row.get('compression'))}</td>"
            f"<td>{accuracy}</td>"
            f'<td>{points(row.get("difference"))} <span class="interval">{bounds}</span></td>'
            f"<td>{verdict_badge(row['_verdict'])}</td></tr>"
        )
    body = "".join(rows)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll">{table}</div>'
