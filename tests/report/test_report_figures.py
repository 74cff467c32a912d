"""Figures of every shape of sweep, by their content."""

from __future__ import annotations

import math
from functools import cache

import pandas as pd
import pytest
from report_frames import sweep

from lthsweep.report.content import ReportInput
from lthsweep.report.figures import KINDS, OVERLAYS, drawings, rendered
from lthsweep.report.heatmap import heatmap
from lthsweep.report.panels import ticks_of
from lthsweep.report.style import paper_style

_GRID = [(s, k) for s in (0.5, 0.9) for k in (0, 2)]
_SMALL = {"sparsities": (0.5, 0.9), "rewinds": (0, 2), "epochs": 3}


def _blank(report: ReportInput) -> ReportInput:
    """The tickets without numbers, as after a sweep that diverged everywhere."""
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


@cache
def _odd(name: str) -> ReportInput:
    return ODD[name]()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ODD)
def test_unfinished_sweeps_have_figures(name, kind):
    """A report can be made at any time of a sweep, so no kind can rely on finished grid points."""
    report = _odd(name)

    for one in report.combinations():
        assert KINDS[kind].draw(one, report).axes


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_a_layout(kind):
    """Matplotlib formats ticks and places legends only when it renders; no file is needed to find errors there."""
    report = sweep(**_SMALL)

    KINDS[kind].draw(report.combinations()[0], report).draw_without_rendering()


def test_figures_render_to_both_formats():
    """PNG for slides, SVG for papers; neither holds a date or version, which would change equal figures."""
    drawing = next(drawing for drawing in drawings(sweep(**_SMALL)) if drawing.name == "accuracy")

    (image,) = rendered([drawing])

    assert image.png.startswith(b"\x89PNG")
    assert image.svg.rstrip().endswith(b"</svg>")
    assert b"<dc:date>" not in image.svg
    assert b"Matplotlib v" not in image.svg
    assert b"Software" not in image.png


def test_each_combination_is_drawn_once():
    """Two initializations in one heatmap would look like one."""
    axes = {"model.init": ["default", "kaiming_normal"], "prune.scope": ["layer"]}
    report = sweep(sparsities=(0.5,), rewinds=(0,), seeds=1, epochs=1, further=axes)

    names = [drawing.name for drawing in drawings(report)]

    assert names[:2] == ["by-value-1-init=all-scope=layer", "by-value-epochs-1-init=all-scope=layer"]
    assert names[2:4] == ["heatmap-1-init=default-scope=layer", "heatmap-2-init=kaiming_normal-scope=layer"]
    assert len(names) == len(set(names)) == len(OVERLAYS) + 2 * len(KINDS)


def test_figures_stop_at_the_requested_combinations():
    """A hundred combinations would take minutes; the page counts those without figure."""
    report = sweep(sparsities=(0.5,), rewinds=(0,), seeds=1, epochs=1, further={"train.epochs": [1, 2]})

    assert len(drawings(report, max_combinations=1)) == len(OVERLAYS) + len(KINDS)


def _words(report: ReportInput) -> list[str]:
    figure = heatmap(report.combinations()[0], report)
    return [text.get_text() for text in figure.axes[0].texts]


def test_missing_and_failed_cells_are_labeled():
    """A missing cell will still be trained; a failed one needs a user."""
    words = _words(sweep(**_SMALL, missing=[(0.5, 0)], failed=[(0.9, 2)]))

    assert words.count("missing") == 1
    assert words.count("failed") == 1


def test_missing_and_failed_cells_differ_in_hatching():
    """Cells of a large grid are too small for words."""
    report = sweep(**_SMALL, missing=[(0.5, 0)], failed=[(0.9, 2)])

    plot = heatmap(report.combinations()[0], report).axes[0]
    hatched = {c.get_hatch() for c in plot.collections if c.get_hatch() and len(c.get_paths())}

    assert hatched == {"////", "xxxx"}


def test_a_cell_counts_its_dead_layers():
    """Dead layers explain an accuracy at chance."""
    words = _words(sweep(sparsities=(0.98,), rewinds=(0,), epochs=1))

    assert "2 dead" in words


def test_a_cell_with_a_missing_seed_prints_n():
    """A mean over two of three seeds is not a mean over three."""
    words = _words(sweep(**_SMALL, one_missing=[(0.5, 2)]))

    assert "n 2/3" in words


def test_large_heatmaps_have_no_text():
    """Text makes a large figure slow and heavy; the colors remain."""
    report = sweep(sparsities=[i / 1000 for i in range(1, 42)], rewinds=range(15), seeds=1, epochs=1)

    assert len(report.tickets) == 615
    assert _words(report) == []


def test_records_of_another_grid_are_not_drawn():
    """A directory keeps the runs of an earlier recipe; they are not results of this sweep."""
    report = sweep(**_SMALL)
    runs = pd.concat([report.runs.assign(in_plan=True), report.runs.assign(in_plan=False, test_accuracy=0.0)])
    both = ReportInput(report.name, 0.002, 0.95, report.tickets, runs, report.curves, report.layers)

    assert len(both.combinations()[0].runs) == len(report.combinations()[0].runs)


def test_drawing_restores_matplotlib_settings():
    """A notebook that makes a report keeps its own style."""
    import matplotlib

    before = dict(matplotlib.rcParams)

    with paper_style():
        assert dict(matplotlib.rcParams) != before

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
def test_ticks_are_values_of_the_sweep(remaining, ticks):
    """As many as fit apart; the lowest and the highest always."""
    assert ticks_of(pd.Series(remaining, dtype=float)) == ticks
