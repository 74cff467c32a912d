"""report.html: one self-contained file for light, dark, and paper, made from the template `page.html`.

This module collects the values; headings, sentences, and tables are in the template, which escapes every value.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from operator import itemgetter

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lthsweep.reduce.decision import Verdict
from lthsweep.reduce.run_result import ResultState
from lthsweep.report import numbers
from lthsweep.report.axes import FrameRow, as_written, canonical, labels, ordered
from lthsweep.report.content import ReportInput
from lthsweep.report.figures import Drawing
from lthsweep.report.inline_svg import inline_svg
from lthsweep.report.page_table import columns, filters, table_rows
from lthsweep.report.summary import dead_layers, ready_rows, sparsest_matching, totals
from lthsweep.report.verdicts import TICKET_VERDICTS, definitions, points_of
from lthsweep.spec.names import folder_name
from lthsweep.wording import plural

__all__ = ["MAX_ROWS", "page"]

MAX_ROWS = 5000
"""Rows of the table on the page, as many as a browser still sorts at once; the table of the sweep has all."""

_MAX_CONTROLS = 400
_SHORT = {"rewind_epoch": "k"}


@dataclass(frozen=True)
class NoticeEntry:
    """One entry of a notice.

    Attributes:
        where: the grid point or run, in words.
        run, kind: key and kind of a failed run, "" for a grid point.
        detail: cause or layers, "" if there are none to name.
    """

    where: str
    run: str = ""
    kind: str = ""
    detail: str = ""


@dataclass(frozen=True)
class _Controls:
    """The table of differences ticket − control.

    Attributes:
        axes: names of its first columns.
        rows: labels of the axes, and the row.
        left_out: number of rows without space on the page.
    """

    axes: list[str]
    rows: list[tuple[list[str], FrameRow]]
    left_out: int


def page(
    report: ReportInput, figures: Sequence[tuple[Drawing, bytes]] = (), *, without_figure: int = 0
) -> str:
    """The whole document.

    Args:
        report: what to show.
        figures: each with its SVG, put inline in this order.
        without_figure: combinations of the further axes that have no figure.
    """
    rows = ready_rows(report.tickets).to_dict("records")
    best = sparsest_matching(report.tickets, report.steps_per_epoch)
    matching = [one.row for one in best if one.row is not None]
    winning = [row for row in matching if row["verdict"] == Verdict.WINNING]
    short = {axis: labels(row[axis] for row in rows) for axis in report.axes.names}
    places = {
        axis: {value: place for place, value in enumerate(ordered(values, report.steps_per_epoch))}
        for axis, values in short.items()
    }
    template = _environment().get_template("page.html")
    return template.render(
        report=report,
        axes=report.axes,
        short=short,
        places=places,
        swept=_swept(report),
        totals=totals(report.tickets),
        best=best,
        sparsest=min(matching, key=itemgetter("weights_remaining"), default=None),
        sparsest_winning=min(winning, key=itemgetter("weights_remaining"), default=None),
        notices=_notices(report, rows),
        figures=[
            (drawing, inline_svg(svg, prefix=f"f{number}", alt=drawing.alt))
            for number, (drawing, svg) in enumerate(figures, start=1)
        ],
        without_figure=without_figure,
        controls=_controls(report),
        filters=filters(rows[:MAX_ROWS], short),
        columns=columns(),
        rows=table_rows(rows[:MAX_ROWS]),
        rows_left_out=max(len(rows) - MAX_ROWS, 0),
        definitions=definitions(report.margin, report.confidence),
        margin=points_of(report.margin).replace("point", "percentage point"),
        commands=_commands(report.folder or f"results/{folder_name(report.name)}"),
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("lthsweep.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for form in (
        numbers.percent,
        numbers.percent_left,
        numbers.points,
        numbers.interval,
        numbers.times,
        plural,
    ):
        environment.filters[form.__name__] = form
    environment.globals["TICKET_VERDICTS"] = TICKET_VERDICTS
    environment.globals["asset"] = _asset
    return environment


def _asset(name: str) -> Markup:
    """The style sheet or the script of the package, to be put inline."""
    return Markup(resources.files("lthsweep.report").joinpath(name).read_text(encoding="utf-8"))


def _swept(report: ReportInput) -> str:
    """The axes with their values, in words."""
    tickets = report.axes.normalize(report.tickets)
    parts = []
    for axis in report.axes.names:
        values = ordered(tickets[axis], report.steps_per_epoch)
        short = labels(values)
        listed = ", ".join(short[value] for value in values[:12]) + (", …" if len(values) > 12 else "")
        parts.append(f"{'rewind epoch' if axis == 'rewind_epoch' else axis} ({listed or 'none'})")
    return " × ".join(parts)


def _notices(report: ReportInput, rows: Sequence[FrameRow]) -> dict[str, list[NoticeEntry]]:
    """Kind of notice → its entries."""

    def place(row: FrameRow) -> str:
        return ", ".join(
            f"{_SHORT.get(axis, axis)} = {row[axis]}" for axis in report.axes.names if row.get(axis)
        )

    with_verdict = {
        name: [NoticeEntry(place(row)) for row in rows if row["verdict"] == name]
        for name in (Verdict.FAILED, Verdict.MISSING)
    }
    return {
        "audit": [NoticeEntry(place(row)) for row in rows if numbers.flag(row.get("audit_ok")) is False],
        "dead": [
            NoticeEntry(place(row), detail=", ".join(layers))
            for row in rows
            if (layers := dead_layers(row.get("dead_layers")))
        ],
        "failed": _runs_in(ResultState.FAILED, report, place) or with_verdict[Verdict.FAILED],
        "damaged": _runs_in(ResultState.DAMAGED, report, place),
        "missing": with_verdict[Verdict.MISSING],
    }


def _runs_in(state: ResultState, report: ReportInput, place: Callable[[FrameRow], str]) -> list[NoticeEntry]:
    runs = report.runs
    if "state" not in runs or "key" not in runs:
        return []
    return [
        NoticeEntry(
            where=f"{place(row)}, seed {row.get('seed', numbers.DASH)}",
            run=str(row["key"]),
            kind=str(row.get("kind", "run")),
            detail=str(row.get("cause") or "") or "cause in its log",
        )
        for row in report.axes.normalize(runs[runs["state"] == state]).to_dict("records")
    ]


def _controls(report: ReportInput) -> _Controls:
    """Return the differences ticket − control; no rows for a sweep without controls."""
    frame = as_written(report.controls)
    names = [str(name) for name in frame.columns]
    axes = names[: names.index("control")] if "control" in names else []
    texts = {axis: labels(canonical(value) for value in frame[axis]) for axis in axes}
    rows = frame.head(_MAX_CONTROLS).to_dict("records")
    return _Controls(
        axes=axes,
        rows=[([texts[axis][canonical(row[axis])] for axis in axes], row) for row in rows],
        left_out=len(frame) - len(rows),
    )


def _commands(folder: str) -> str:
    """Shell commands that make the results and this page again."""
    quoted = shlex.quote(folder)
    program = f"import lthsweep; print(lthsweep.load({json.dumps(folder, ensure_ascii=False)}).tickets)"
    return (
        f"lthsweep run {quoted}        # trains missing runs only\n"
        f"lthsweep merge {quoted}      # records → table.h5\n"
        f"lthsweep query {quoted} \"verdict = 'matching'\" --sort weights_remaining\n"
        f"lthsweep report {quoted}     # this page\n\n"
        f"python -c {shlex.quote(program)}"
    )
