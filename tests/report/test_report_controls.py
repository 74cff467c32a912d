"""Controls in the report: one shared figure and one section of the page."""

from __future__ import annotations

import dataclasses
import io

import pandas as pd
import pytest
from report_frames import sweep
from rich.console import Console

from lthsweep.report.accuracy import control_accuracy
from lthsweep.report.figures import KINDS, drawings
from lthsweep.report.page import page
from lthsweep.report.terminal import control_table

CONTROLS = ("ticket", "reinit", "reinit-masked", "random", "random-global", "fine-tune", "lr-rewind")


def with_controls(**options):
    report = sweep(
        sparsities=(0.5, 0.9), rewinds=(0, 2), further={"prune.control": CONTROLS}, epochs=2, **options
    )
    rows = [
        {
            "sparsity": s,
            "rewind_epoch": k,
            "control": control,
            "n": 3,
            "n_planned": 3,
            "weights_remaining": 1 - s,
            "ticket_accuracy": 0.96,
            "control_accuracy": 0.95,
            "difference": 0.01,
            "ci_low": 0.005,
            "ci_high": 0.015,
            "verdict": "better",
        }
        for s in (0.5, 0.9)
        for k in (0, 2)
        for control in CONTROLS[1:]
    ]
    return dataclasses.replace(report, controls=pd.DataFrame(rows))


def test_controls_share_one_figure():
    """A figure per control would bury the tickets."""
    names = [drawing.name for drawing in drawings(with_controls())]

    assert names == [*KINDS, "controls"]


def test_controls_are_lines_and_rewind_epochs_panels():
    """The ticket first; the legend counts the seeds."""
    report = with_controls()
    (group,) = report.groups()

    figure = control_accuracy(group, report)

    assert [plot.get_title() for plot in figure.axes] == ["k = 0", "k = 2"]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend[2:] == [f"{control} (n\xa0=\xa03)" for control in CONTROLS]


def test_a_sweep_without_controls_has_no_section():
    """No empty section, no empty figure."""
    report = sweep(sparsities=(0.5,), rewinds=(0,), seeds=1, epochs=1)

    assert "Ticket against controls" not in page(report)
    assert [drawing.name for drawing in drawings(report)] == list(KINDS)


def test_a_control_without_ticket_gets_all_kinds():
    """If the axis has no ticket, its first control takes the place."""
    report = sweep(sparsities=(0.5,), rewinds=(0,), further={"prune.control": ("reinit",)}, epochs=2)

    assert [drawing.name for drawing in drawings(report)] == list(KINDS)
    assert report.groups()[0][0].title == "prune.control = reinit"


def test_unfinished_controls_give_a_reason():
    """A report can be made at any time."""
    report = with_controls(missing=[(s, k) for s in (0.5, 0.9) for k in (0, 2)])

    figure = control_accuracy(report.groups()[0], report)

    assert "finished yet" in figure.axes[0].texts[0].get_text()


def test_the_section_escapes_every_row():
    """Names come from files."""
    report = with_controls()
    hostile = report.controls.assign(control="<b>")

    assert page(report).count("<tr data-control=") == len(report.controls)
    assert "<b>" not in page(dataclasses.replace(report, controls=hostile))


@pytest.mark.parametrize("limit", [None, 5])
def test_the_terminal_table_counts_omitted_rows(limit):
    """Rows are never omitted without notice."""
    frame = with_controls().controls
    out = io.StringIO()
    Console(file=out, width=100).print(control_table(frame, limit=limit))

    text = out.getvalue()
    assert text.count("better") == (limit or len(frame))
    assert "+1.00 [+0.50, +1.50]" in text
    assert ("19 rows more" in text) == (limit is not None)
