"""Lengths of time, as they are written and as numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lthsweep.spec import load_spec
from lthsweep.spec.text_forms import as_duration, in_seconds
from tests.plan.cases import make_plan, make_spec


@pytest.mark.parametrize(("written", "seconds"), [("90s", 90), ("20m", 1200), ("1.5h", 5400), ("0.5s", 0.5)])
def test_a_time_is_a_number_and_a_unit(written, seconds):
    """Seconds, minutes and hours."""
    assert in_seconds(written) == seconds


@pytest.mark.parametrize("written", ["", "20", "m", "-1m", "0s", "1 m", "1d", "1e3s", "20M", ".5h", "nans"])
def test_anything_else_is_none(written):
    """No unit is guessed, and a time of zero is not a budget."""
    assert in_seconds(written) is None


@given(st.integers(1, 10**6) | st.floats(0.01, 1e6))
def test_what_is_written_is_read_back(seconds):
    """A message has a time that can be copied into the file."""
    assert in_seconds(as_duration(seconds)) == pytest.approx(seconds)


def test_durations_use_the_largest_whole_unit():
    """As people do."""
    assert [as_duration(seconds) for seconds in (90, 1200, 3600, 5400, 0.5)] == [
        "90s",
        "20m",
        "1h",
        "90m",
        "0.5s",
    ]


def test_time_is_an_axis_under_its_short_name():
    """And itself sets the time of a run."""
    prune = {"schedule": "budget"}
    plan = make_plan({"sparsity": [0.5], "time": ["5m", "90s"]}, prune=prune)

    assert plan.spec.grid.dotted == {"prune.time": ("5m", "90s")}
    assert [run.describe() for run in plan.tickets] == [
        "ticket within 5m sparsity 0.5 rewind 0 seed 0",
        "ticket within 90s sparsity 0.5 rewind 0 seed 0",
    ]


def test_a_time_can_be_combined_with_other_schedules():
    """A budget run next to the one-shot ticket that it is compared with."""
    grid = {"sparsity": [0.5], "prune.schedule": ["one-shot", "budget"]}
    plan = make_plan(grid, prune={"time": "5m"})

    assert [run.budget and run.budget.seconds for run in plan.tickets] == [None, 300]
    assert make_spec(grid, prune={"time": "5m"}).prune.time == "5m"


@pytest.mark.parametrize("name", ["digits", "cifar10"])
def test_budget_presets_have_several_times(name):
    """The same network, once for each time limit."""
    spec = load_spec(f"{name}-budget")

    assert spec.prune.schedule == "budget"
    assert len(spec.grid.dotted["prune.time"]) >= 3
