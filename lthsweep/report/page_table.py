"""The winning-ticket table of the page: a row per grid point, whole without scripts, sortable with them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from lthsweep.report.axes import labels
from lthsweep.report.content import ReportInput
from lthsweep.report.numbers import (
    DASH,
    as_float,
    count,
    flag,
    interval,
    percent,
    plural,
    points,
    seconds,
    size,
    times,
)
from lthsweep.report.summary import dead_layers, remaining, verdict_of
from lthsweep.report.verdicts import VERDICTS

__all__ = ["MAX_ROWS", "filters", "ticket_rows", "verdict_badge"]

MAX_ROWS = 5000
"""Rows of the page; a browser still sorts so many at once, and the table of the sweep has them all."""

_Row = Mapping[Any, Any]


@dataclass(frozen=True)
class _Column:
    """A column of numbers: its heading, what it means, its text, the number it sorts by."""

    heading: str
    meaning: str
    text: Callable[[_Row], str]
    sort: str


def _with_sd(row: _Row) -> str:
    accuracy, sd = percent(row.get("ticket_accuracy")), percent(row.get("ticket_sd"))
    return accuracy if sd == DASH else f"{accuracy} ± {sd}"


def _difference(row: _Row) -> str:
    bounds = interval(row.get("ci_low"), row.get("ci_high"))
    return points(row.get("difference")) + (f' <span class="interval">{bounds}</span>' if bounds else "")


def _share(part: str, whole: str, form: Callable[[Any], str]) -> Callable[[_Row], str]:
    def text(row: _Row) -> str:
        share = percent(as_float(row.get(part)) / (as_float(row.get(whole)) or float("nan")), 0)
        told = form(row.get(part))
        return told if share == DASH else f'{told} <span class="interval">({share} %)</span>'

    return text


def _steps(row: _Row) -> str:
    steps = as_float(row.get("steps_to_dense"))
    return "never" if steps < 0 else f"{steps:,.0f}" if steps >= 0 else DASH


_FIRST = (
    _Column(
        "ticket %",
        "test accuracy of the tickets, last epoch, mean ± standard deviation over seeds",
        _with_sd,
        "ticket_accuracy",
    ),
    _Column(
        "difference",
        "ticket − dense, paired over seeds, percentage points, with its interval",
        _difference,
        "difference",
    ),
    _Column(
        "dense %",
        "test accuracy of the dense runs, last epoch, mean over seeds",
        lambda r: percent(r.get("dense_accuracy")),
        "dense_accuracy",
    ),
    _Column(
        "n",
        "seeds with a result, of those planned",
        lambda r: "/".join(count(r.get(c)) for c in ("n", "n_planned")),
        "n",
    ),
    _Column(
        "left %",
        "weights remaining, of those that may be pruned",
        lambda r: percent(r["_remaining"], 2),
        "_remaining",
    ),
)

_LATER = (
    _Column(
        "compression",
        "parameters before over parameters after",
        lambda r: times(r.get("compression")),
        "compression",
    ),
    _Column(
        "pruned %",
        "test accuracy after pruning, before any retraining",
        lambda r: percent(r.get("pruned_accuracy")),
        "pruned_accuracy",
    ),
    _Column(
        "steps to dense",
        "retraining steps until the dense run's validation accuracy was reached",
        _steps,
        "steps_to_dense",
    ),
    _Column(
        "MACs",
        "multiply-accumulates left per image, and their share of the dense network's",
        _share("macs_remaining", "macs_dense", count),
        "macs_remaining",
    ),
    _Column(
        "bytes",
        "size stored sparse, and its share of the dense size",
        _share("bytes_sparse", "bytes_dense", size),
        "bytes_sparse",
    ),
    _Column(
        "training",
        "seconds of training, mean over seeds",
        lambda r: seconds(r.get("seconds_train")),
        "seconds_train",
    ),
)


def ticket_rows(report: ReportInput) -> str:
    """The whole `<table>`; every text from outside is escaped."""
    axes = report.axes
    rows = axes.normalize(report.tickets).iloc[:MAX_ROWS]
    rows = rows.assign(_remaining=remaining(rows))
    short = {axis: labels(rows[axis]) for axis in axes.names}
    heads = [
        _head("k" if axis == "rewind_epoch" else axis, "an axis of the grid", number=True)
        for axis in axes.names
    ]
    heads += [_head("verdict", "see the definitions below", number=False)]
    heads += [_head(column.heading, column.meaning, number=True) for column in _FIRST]
    heads += [_head("remarks", "dead layers, audit, seeds without a result", number=False)]
    heads += [_head(column.heading, column.meaning, number=True) for column in _LATER]
    body = "\n".join(_row(row, axes.names, short) for row in rows.to_dict("records"))
    return (
        '<table id="tickets"><caption class="lead" hidden>One row per grid point over its seeds</caption>\n'
        f"<thead><tr>{''.join(heads)}</tr></thead>\n<tbody>\n{body}\n</tbody></table>"
    )


def filters(report: ReportInput) -> str:
    """The form over the table, hidden until the script shows it."""
    axes = report.axes
    rows = axes.normalize(report.tickets).iloc[:MAX_ROWS]
    boxes = "".join(
        f'<label><input type="checkbox" name="verdict" value="{name}">{verdict_badge(name)}</label>'
        for name in VERDICTS
        if any(verdict_of(v) == name for v in rows.get("verdict", []))
    )
    chosen = ""
    for column, axis in enumerate(axes.names):
        short = labels(dict.fromkeys(rows[axis]))
        if 1 < len(short) <= 200:
            name = "k" if axis == "rewind_epoch" else escape(axis)
            # The marker before the value keeps a value that is "" apart from "any".
            options = "".join(
                f'<option value="={escape(v)}">{escape(s) or "none"}</option>' for v, s in short.items()
            )
            chosen += (
                f'<label>{name} <select data-column="{column}"><option value="">any</option>'
                f"{options}</select></label>"
            )
    return (
        '<form id="filters" class="filters" hidden>'
        '<label>find <input type="search" name="words" autocomplete="off"></label>'
        f'{chosen}<fieldset aria-label="verdict">{boxes}</fieldset>'
        '<label><input type="checkbox" name="odd">with remarks</label>'
        '<button type="reset">clear</button><span id="shown" role="status"></span></form>'
    )


def verdict_badge(verdict: str) -> str:
    """A verdict with its mark, as in the figures."""
    mark = VERDICTS[verdict].mark
    kind = verdict.replace(" ", "-")
    return f'<span class="verdict {kind}"><span aria-hidden="true">{mark}</span> {verdict}</span>'


def _head(heading: str, meaning: str, *, number: bool) -> str:
    kind = ' class="number"' if number else ""
    button = f'<button type="button" title="{escape(meaning)}">{escape(heading)}</button>'
    return f'<th scope="col"{kind}>{button}</th>'


def _row(row: _Row, axes: tuple[str, ...], short: Mapping[str, Mapping[str, str]]) -> str:
    verdict = verdict_of(row.get("verdict"))
    said = _remarks(row)
    cells = [
        f'<td class="number" data-value="{escape(row[axis])}" data-sort="{escape(row[axis])}">'
        f"{escape(short[axis][row[axis]]) or DASH}</td>"
        for axis in axes
    ]
    order = list(VERDICTS).index(verdict)
    cells.append(f'<td data-sort="{order}">{verdict_badge(verdict)}</td>')
    cells += [_number(row, column) for column in _FIRST]
    cells.append(f"<td>{said}</td>")
    cells += [_number(row, column) for column in _LATER]
    odd = "1" if said else "0"
    return f'<tr data-verdict="{verdict}" data-odd="{odd}">{"".join(cells)}</tr>'


def _number(row: _Row, column: _Column) -> str:
    number = as_float(row.get(column.sort))
    key = "" if math.isnan(number) else f"{number:.10g}"
    return f'<td class="number" data-sort="{key}">{column.text(row)}</td>'


def _remarks(row: _Row) -> str:
    said = []
    if flag(row.get("audit_ok")) is False:
        said.append('<span class="alarm">audit failed</span>')
    if dead := dead_layers(row.get("dead_layers")):
        names = "<br>".join(escape(name) for name in dead)
        said.append(
            f'<details><summary class="alarm">{plural(len(dead), "dead layer")}</summary>{names}</details>'
        )
    for column, word in (("n_failed", "failed"), ("n_missing", "missing"), ("n_diverged", "diverged")):
        if as_float(row.get(column)) > 0:
            said.append(f"{count(row.get(column))} {word}")
    return "; ".join(said).replace("</details>; ", "</details>")
