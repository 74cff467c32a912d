"""Figures with a line per value of a further axis, for every shape of sweep."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from report_frames import sweep

from lthsweep.report.accuracy import accuracy_by_value
from lthsweep.report.content import ReportInput
from lthsweep.report.curves import curves_by_value

INITS = {"model.init": ["kaiming_normal", "xavier_normal"]}
_SMALL = {"sparsities": (0.5, 0.9), "rewinds": (0,), "seeds": 2, "epochs": 3, "further": INITS}
_GRID = [(s, 0) for s in (0.5, 0.9)]


def iterative(report: ReportInput) -> ReportInput:
    """The same tickets as levels of one chain."""
    order = {
        sparsity: level for level, sparsity in enumerate(sorted(set(report.tickets["sparsity"])), start=1)
    }
    levels = [
        0 if kind == "dense" else order[s]
        for kind, s in zip(report.runs["kind"], report.runs["sparsity"], strict=True)
    ]
    return replace(report, runs=report.runs.assign(level=levels))


def without(report: ReportInput, *names: str) -> ReportInput:
    return replace(report, **dict.fromkeys(names, pd.DataFrame()))


SHAPES = {
    "one-shot": lambda: sweep(**_SMALL),
    "iterative": lambda: iterative(sweep(**_SMALL)),
    "several rewind epochs": lambda: iterative(sweep(**{**_SMALL, "rewinds": (0, 1, "7it", 2, "9it")})),
    "all missing": lambda: sweep(**_SMALL, missing=_GRID),
    "all failed": lambda: iterative(sweep(**_SMALL, failed=_GRID)),
    "one point missing": lambda: iterative(sweep(**_SMALL, missing=_GRID[:1], one_missing=_GRID[1:])),
    "threshold": lambda: sweep(**{**_SMALL, "sparsities": (0.001, 0.01)}, cut="threshold"),
    "no runs and no curves": lambda: without(sweep(**_SMALL), "runs", "curves"),
    "no curves": lambda: without(sweep(**_SMALL), "curves"),
    "many levels": lambda: iterative(sweep(**{**_SMALL, "sparsities": tuple(i / 16 for i in range(1, 16))})),
}


def lines_of(plot):
    return [line for line in plot.get_lines() if len(line.get_xdata())]


@pytest.mark.parametrize("draw", [accuracy_by_value, curves_by_value])
@pytest.mark.parametrize("shape", SHAPES)
def test_unfinished_sweeps_have_lines_or_a_reason(shape, draw):
    """A report can be made at any time of a sweep."""
    report = SHAPES[shape]()
    (overlay,) = report.overlays()

    figure = draw(overlay, report)

    assert any(lines_of(plot) or plot.texts for plot in figure.axes)


def test_an_axis_of_one_value_has_no_overlay():
    """One line needs no comparison."""
    assert not sweep(**{**_SMALL, "further": {"model.init": ["default"]}}).overlays()
    assert not sweep(**{**_SMALL, "further": None}).overlays()


def test_axes_are_compared_per_combination_of_others():
    """Averaging over another axis would mix its effects in."""
    report = sweep(**{**_SMALL, "further": {**INITS, "prune.scope": ["global", "layer"]}})

    found = [(one.axis, tuple(one.others.values()), list(one.by_value)) for one in report.overlays()]

    inits = INITS["model.init"]
    assert found == [
        ("model.init", ("global",), inits),
        ("model.init", ("layer",), inits),
        *(("prune.scope", (init,), ["global", "layer"]) for init in inits),
    ]


def test_lines_are_means_starting_at_the_dense_runs():
    """All weights remaining is the dense network."""
    report = sweep(**_SMALL)
    (overlay,) = report.overlays()

    figure = accuracy_by_value(overlay, report)

    runs = report.runs[report.runs["model.init"] == "kaiming_normal"]
    expected = [
        100 * runs["test_accuracy"][runs["kind"] == "dense"].mean(),
        *(100 * runs["test_accuracy"][runs["sparsity"] == s].mean() for s in (0.5, 0.9)),
    ]
    line = figure.axes[0].get_lines()[0]
    assert line.get_xdata() == pytest.approx([100, 50, 10])
    assert line.get_ydata() == pytest.approx(expected)


def test_levels_of_a_chain_follow_one_another():
    """Three epochs dense, then three of each of two levels, as in plots of iterative pruning."""
    report = iterative(sweep(**_SMALL))
    (overlay,) = report.overlays()

    figure = curves_by_value(overlay, report)

    (plot,) = figure.axes
    means = [line for line in plot.get_lines() if len(line.get_xdata()) == 9]
    assert len(means) == len(INITS["model.init"])
    assert list(means[0].get_xdata()) == list(range(1, 10))
    ends = [line for line in plot.get_lines() if list(line.get_xdata()) == [3, 6, 9]]
    assert len(ends) == len(INITS["model.init"])


def test_separate_chains_have_separate_panels():
    """With rounds, all sparsities of the grid are at the same level, so they are not one chain."""
    report = sweep(**{**_SMALL, "further": {"prune.rounds": [1, 4]}})
    rounds = [
        0 if kind == "dense" else int(n)
        for kind, n in zip(report.runs["kind"], report.runs["prune.rounds"].replace("", 0), strict=True)
    ]
    report = replace(report, runs=report.runs.assign(level=rounds))
    (overlay,) = report.overlays()

    figure = curves_by_value(overlay, report)

    titles = [plot.get_title() for plot in figure.axes]
    assert [title for title in titles if title.startswith("sparsity")] == ["sparsity 0.5", "sparsity 0.9"]
