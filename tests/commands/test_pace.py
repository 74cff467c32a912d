"""How far a running sweep is, and how long the rest takes, from what its workers say."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from lthsweep.commands.pace import Pace
from lthsweep.launch.events import Failed, Finished, RunProgress
from lthsweep.launch.work import work_left
from lthsweep.store.layout import SweepDir
from tests.plan.cases import make_plan

EPOCHS = 4


@dataclass
class Clock:
    """A clock that is set by hand."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def started(tmp_path, prune, **grid):
    plan = make_plan({"sparsity": [0.5, 0.8], **grid}, train={"epochs": EPOCHS}, prune=prune)
    clock = Clock()
    return plan, Pace(plan, work_left(plan, SweepDir(tmp_path / "sweep")), clock), clock


def trained(pace, clock, run, *, seconds, to=1.0, epochs=EPOCHS):
    """A run is heard of from its first epoch to a part of its last."""
    pace.note(RunProgress(run.key, 0.0, epochs))
    clock.now += seconds
    pace.note(RunProgress(run.key, to * epochs, epochs))
    if to == 1:
        pace.note(Finished(run.key))


def test_the_rest_goes_as_fast_as_what_was_done(tmp_path):
    plan, pace, clock = started(tmp_path, {})

    assert pace.seconds_left() is None
    trained(pace, clock, plan.dense[0], seconds=40)
    assert pace.part() == pytest.approx(1 / 3)
    assert pace.seconds_left() == pytest.approx(80)
    for run in plan.tickets:
        trained(pace, clock, run, seconds=40)
    assert pace.part() == 1
    assert pace.seconds_left() is None


def test_a_run_with_a_time_of_its_own_lasts_it_from_the_beginning(tmp_path):
    """Whether its epochs were timed before or not: a second each would make hours of minutes."""
    plan, pace, clock = started(tmp_path, {"schedule": "budget", "time": "20m"})

    trained(pace, clock, plan.dense[0], seconds=60)

    assert pace.seconds_left() == pytest.approx(2 * 1200)
    trained(pace, clock, plan.tickets[0], seconds=300, to=0.01, epochs=60)
    assert pace.part_of(plan.tickets[0].key) == pytest.approx(0.25)
    assert pace.seconds_left() == pytest.approx(900 + 1200)


def test_a_part_of_a_run_is_enough_to_add_up_epochs_and_seconds(tmp_path):
    plan, pace, clock = started(tmp_path, {"schedule": "budget", "time": "20m"})
    trained(pace, clock, plan.dense[0], seconds=10, to=0.25)

    assert pace.part() == pytest.approx(10 / (40 + 2400))


def test_a_run_that_was_over_at_once_tells_how_long_its_epochs_took(tmp_path):
    """That workers took long to start does not make the rest slower."""
    plan, pace, clock = started(tmp_path, {"schedule": "budget", "time": "20m"})

    clock.now += 30
    pace.note(Finished(plan.dense[0].key, seconds_per_epoch=1.0))

    assert pace.seconds_left() == pytest.approx(2400)


def test_a_run_that_failed_is_to_be_made_again(tmp_path):
    plan, pace, clock = started(tmp_path, {})
    trained(pace, clock, plan.dense[0], seconds=40)
    trained(pace, clock, plan.tickets[0], seconds=30, to=0.75)
    before = pace.part()

    pace.note(Failed(plan.tickets[0].key, retry=True))

    assert before == pytest.approx(7 / 12)
    assert pace.part() == pytest.approx(1 / 3)
