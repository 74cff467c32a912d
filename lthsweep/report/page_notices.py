"""What a reader of the page must not overlook: failed audits, dead layers, failed runs, missing cells."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from lthsweep.report.content import ReportInput
from lthsweep.report.numbers import DASH, flag
from lthsweep.report.summary import dead_layers, verdict_of

__all__ = ["notices"]

_LISTED = 40
_OPEN = 6  # a longer list starts folded


def notices(report: ReportInput) -> str:
    """The section that names each of them; "" if there is nothing to be aware of."""
    rows = report.axes.normalize(report.tickets).to_dict("records")
    audits = [_where(report, row) for row in rows if flag(row.get("audit_ok")) is False]
    dead = [
        f"{_where(report, row)}: {escape(', '.join(layers))}"
        for row in rows
        if (layers := dead_layers(row.get("dead_layers")))
    ]
    failed = _failed_runs(report) or [
        _where(report, row) for row in rows if verdict_of(row.get("verdict")) == "failed"
    ]
    missing = [_where(report, row) for row in rows if verdict_of(row.get("verdict")) == "missing"]
    blocks = [
        _notice("Audit problems", "These tickets are not what they should be: do not trust them.", audits),
        _notice("Dead layers", "Every weight of these layers is gone, so nothing passes through them.", dead),
        _notice("Failed", "Training crashed as often as it may; that is no result.", failed),
        _notice("Missing", "Planned, and not trained so far.", missing, kind="notice open"),
    ]
    shown = "".join(blocks)
    return f"<h2>To be aware of</h2>{shown}" if shown else ""


def _notice(title: str, meaning: str, items: Sequence[str], kind: str = "notice") -> str:
    if not items:
        return ""
    listed = "".join(f"<li>{item}</li>" for item in items[:_LISTED])
    if len(items) > _LISTED:
        listed += f"<li>and {len(items) - _LISTED:,} more: see the table</li>"
    opened = " open" if len(items) <= _OPEN else ""
    return (
        f'<div class="{kind}"><details{opened}><summary><strong>{title} ({len(items):,})</strong> '
        f"{meaning}</summary><ul>{listed}</ul></details></div>"
    )


def _failed_runs(report: ReportInput) -> list[str]:
    runs = report.runs
    if "state" not in runs or "key" not in runs:
        return []
    axes = report.axes
    told = []
    for row in axes.normalize(runs[runs["state"] == "failed"]).to_dict("records"):
        cause = str(row.get("cause") or "") or "cause in its log"
        told.append(
            f"<code>{escape(str(row['key']))}</code> {escape(str(row.get('kind', 'run')))}, "
            f"{_where(report, row)}, seed {escape(str(row.get('seed', DASH)))}: {escape(cause)}"
        )
    return told


def _where(report: ReportInput, row: dict[Any, Any]) -> str:
    short = {"rewind_epoch": "k"}
    return escape(
        ", ".join(f"{short.get(axis, axis)} = {row[axis]}" for axis in report.axes.names if row.get(axis))
    )
