"""Controls in the report: one figure and one section, and the figures of the tickets stay theirs."""

from __future__ import annotations

import dataclasses
import io

import pandas as pd
import pytest
from report_frames import sweep
from rich.console import Console

from lthsweep.report.controls import controls_figure, controls_section
from lthsweep.report.figures import KINDS, draw_figures
from lthsweep.report.style import paper_style
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


def test_controls_share_one_figure_and_tickets_keep_theirs():
    """Six controls in figures of their own would bury the tickets."""
    names = [drawing.name for drawing in draw_figures(with_controls())]

    assert names == [*KINDS, "controls"]


def test_each_control_is_a_line_and_each_rewind_epoch_a_panel():
    """The ticket first; the legend counts the seeds."""
    report = with_controls()
    (group,) = report.groups()
    with paper_style():
        figure = controls_figure(group, report)

    assert [plot.get_title() for plot in figure.axes] == ["", ""] or len(figure.axes) == 2
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend[2:] == [f"{control} (n = 3)" for control in CONTROLS]


def test_a_sweep_without_controls_shows_nothing_of_them():
    """No empty section, no empty figure."""
    report = sweep(sparsities=(0.5,), rewinds=(0,), seeds=1, epochs=1)

    assert controls_section(report) == ""
    assert [drawing.name for drawing in draw_figures(report)] == list(KINDS)


def test_controls_alone_have_figures_of_their_own():
    """Where no ticket is on the axis, the first control stands in its place."""
    report = sweep(sparsities=(0.5,), rewinds=(0,), further={"prune.control": ("reinit",)}, epochs=2)

    assert [drawing.name for drawing in draw_figures(report)] == list(KINDS)
    assert report.groups()[0][0].title == "prune.control = reinit"


def test_nothing_finished_is_said_and_not_drawn():
    """A report may be made at any time."""
    report = with_controls(missing=[(s, k) for s in (0.5, 0.9) for k in (0, 2)])
    with paper_style():
        figure = controls_figure(report.groups()[0], report)

    assert "finished yet" in figure.axes[0].texts[0].get_text()


def test_the_section_holds_every_row_escaped():
    """Names come from files."""
    report = with_controls()
    hostile = report.controls.assign(control="<b>")

    assert controls_section(report).count("<tr>") == 1 + len(report.controls)
    assert "<b>" not in controls_section(dataclasses.replace(report, controls=hostile))


@pytest.mark.parametrize("limit", [None, 5])
def test_the_terminal_table_says_what_it_leaves_out(limit):
    """As the table of tickets."""
    frame = with_controls().controls
    out = io.StringIO()
    Console(file=out, width=100).print(control_table(frame, limit=limit))

    text = out.getvalue()
    assert text.count("better") == (limit or len(frame))
    assert "+1.00 [+0.50, +1.50]" in text
    assert ("19 rows more" in text) == (limit is not None)
