"""Figures are made for every shape of sweep, and they are the same bytes each time."""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from report_frames import sweep

from lthsweep.report.accuracy import ticks_of
from lthsweep.report.content import ReportInput
from lthsweep.report.figures import KINDS, OVERLAYS, draw_figures
from lthsweep.report.heatmap import heatmap
from lthsweep.report.style import paper_style

_GRID = [(s, k) for s in (0.5, 0.9) for k in (0, 2)]
_SMALL = {"sparsities": (0.5, 0.9), "rewinds": (0, 2), "epochs": 3}


def _blank(report: ReportInput) -> ReportInput:
    """All numbers of the tickets unknown, as a table of a sweep that diverged everywhere may be."""
    tickets = report.tickets.copy()
    numbers = tickets.select_dtypes("float").columns.difference(["sparsity"])
    tickets[numbers] = math.nan
    return ReportInput(report.name, report.margin, report.confidence, tickets)


ODD = {
    "one cell": lambda: sweep(sparsities=(0.5,), rewinds=(0,), seeds=1, epochs=1),
    "all missing": lambda: sweep(**_SMALL, missing=_GRID),
    "all failed": lambda: sweep(**_SMALL, failed=_GRID),
    "no numbers": lambda: _blank(sweep(**_SMALL)),
    "no rows": lambda: ReportInput("empty", 0.0, 0.95, sweep(**_SMALL).tickets.iloc[:0]),
    "iterations and fractions": lambda: sweep(
        sparsities=(0.5,), rewinds=(0, 0.5, "7it", "500it"), seeds=1, epochs=3
    ),
    "threshold": lambda: sweep(sparsities=(0.001, 0.01), rewinds=(0,), cut="threshold", epochs=3),
    "a layer died": lambda: sweep(sparsities=(0.95, 0.98), rewinds=(0, 1), seeds=2, epochs=3),
    "dollar and bracket in a value": lambda: sweep(
        sparsities=(0.5,), rewinds=(0,), seeds=1, further={"data.label": ["$x_{<b>--\x00"]}, epochs=1
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_every_kind_of_figure_is_made_for(name):
    """A report is asked for in the middle of a sweep, so no figure may insist on finished neighbors."""
    drawings = draw_figures(ODD[name]())

    assert {drawing.name.partition("-")[0] for drawing in drawings} == set(KINDS)
    for drawing in drawings:
        assert drawing.png.startswith(b"\x89PNG")
        assert drawing.svg.rstrip().endswith(b"</svg>")


def test_a_report_draws_each_combination_of_further_axes_once():
    """Two initializations side by side in one heatmap would look like one."""
    axes = {"model.init": ["default", "kaiming_normal"], "prune.scope": ["layer"]}
    report = sweep(sparsities=(0.5,), rewinds=(0,), seeds=1, epochs=1, further=axes)

    names = [drawing.name for drawing in draw_figures(report)]

    assert names[:2] == ["by-value-1-init=all-scope=layer", "by-value-epochs-1-init=all-scope=layer"]
    assert names[2:4] == ["heatmap-1-init=default-scope=layer", "heatmap-2-init=kaiming_normal-scope=layer"]
    assert len(names) == len(set(names)) == len(OVERLAYS) + 2 * len(KINDS)


def test_figures_stop_at_the_number_of_combinations_asked_for():
    """A hundred combinations would take minutes; the page says how many have none."""
    report = sweep(sparsities=(0.5,), rewinds=(0,), seeds=1, epochs=1, further={"train.epochs": [1, 2]})

    assert len(draw_figures(report, max_parts=1)) == len(OVERLAYS) + len(KINDS)


def digest() -> str:
    """Of the figures of a small sweep."""
    drawn = draw_figures(sweep(sparsities=(0.5, 0.9), rewinds=(0,), seeds=2, epochs=2))
    return hashlib.sha256(b"".join(drawing.svg + drawing.png for drawing in drawn)).hexdigest()


def test_a_figure_is_the_same_bytes_in_another_process():
    """A figure must only change with its numbers; by default matplotlib salts its ids at random."""
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2])])
    theirs = subprocess.run(
        [sys.executable, "-c", "from test_report_figures import digest; print(digest())"],
        env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert digest() == theirs.strip()


def test_an_svg_file_names_no_date_and_no_version():
    """Both would change the bytes without any number having changed."""
    drawing = draw_figures(sweep(sparsities=(0.5,), rewinds=(0,), seeds=1, epochs=1))[0]

    assert b"<dc:date>" not in drawing.svg
    assert b"Matplotlib v" not in drawing.svg
    assert b"Software" not in drawing.png


def _words(report: ReportInput) -> list[str]:
    with paper_style():
        figure = heatmap(report.parts()[0], report)
        return [text.get_text() for text in figure.axes[0].texts]


def test_a_missing_cell_and_a_failed_cell_say_so():
    """Missing is not failed: one will come by itself, the other needs somebody."""
    words = _words(sweep(**_SMALL, missing=[(0.5, 0)], failed=[(0.9, 2)]))

    assert words.count("missing") == 1
    assert words.count("failed") == 1


def test_missing_and_failed_cells_differ_in_hatching():
    """In a dense grid there is no room for words."""
    report = sweep(**_SMALL, missing=[(0.5, 0)], failed=[(0.9, 2)])

    with paper_style():
        plot = heatmap(report.parts()[0], report).axes[0]
        hatched = {c.get_hatch() for c in plot.collections if c.get_hatch() and len(c.get_paths())}

    assert hatched == {"////", "xxxx"}


def test_a_cell_with_dead_layers_says_how_many():
    """An accuracy at chance with dead layers is a broken network, not a bad ticket."""
    words = _words(sweep(sparsities=(0.98,), rewinds=(0,), epochs=1))

    assert "2 dead" in words


def test_a_cell_that_lacks_a_seed_prints_its_n():
    """A mean over two of three seeds must not pass for one over three."""
    words = _words(sweep(**_SMALL, one_missing=[(0.5, 2)]))

    assert "n 2/3" in words


def test_thousands_of_grid_points_are_drawn_without_text():
    """Text is what makes a large figure slow and heavy; the colors stay."""
    report = sweep(sparsities=[i / 1000 for i in range(1, 61)], rewinds=range(40), seeds=1, epochs=1)

    assert len(report.tickets) == 2400
    assert _words(report) == []


def test_records_of_another_grid_are_in_no_figure():
    """A directory keeps the runs of an earlier recipe; they are not results of this one."""
    report = sweep(**_SMALL)
    runs = pd.concat([report.runs.assign(in_plan=True), report.runs.assign(in_plan=False, test_accuracy=0.0)])
    both = ReportInput(report.name, 0.002, 0.95, report.tickets, runs, report.curves, report.layers)

    assert len(both.parts()[0].runs) == len(report.parts()[0].runs)


def test_drawing_leaves_matplotlib_as_it_was():
    """A notebook that calls the report keeps its own style, and pyplot is not imported behind its back."""
    import matplotlib

    before = dict(matplotlib.rcParams)

    draw_figures(sweep(sparsities=(0.5,), rewinds=(0,), seeds=1, epochs=1))

    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    ("remaining", "ticks"),
    [
        ([70, 50, 40, 30], [30, 40, 50, 70]),
        ([50, 20, 10, 5], [5, 10, 20, 50]),
        ([80, 50.001, 50, 49.99], [50, 80]),
        ([100, 99, 98, 10, 9.9], [9.9, 100]),
        ([20], [20]),
        (
            [100 * 0.8**level for level in range(1, 21)],
            [1.15, 2.25, 4.4, 8.59, 16.8, 32.8, 80],
        ),
    ],
)
def test_the_axis_of_weights_remaining_names_the_weights_remaining(remaining, ticks):
    """Numbers of the table, as many as stand apart; the least and the greatest always."""
    assert ticks_of(pd.Series(remaining, dtype=float)) == ticks
