"""Progress and time left of a running sweep, from events of its workers."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from lthsweep.commands.live_progress import LiveProgress
from lthsweep.launch.events import Failed, Finished, RunProgress
from lthsweep.launch.work import work_left
from lthsweep.store.layout import SweepDir
from tests.plan.cases import make_plan

EPOCHS = 4


@dataclass
class Clock:
    """A clock that the test sets."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def started(tmp_path, prune, **grid):
    plan = make_plan({"sparsity": [0.5, 0.8], **grid}, train={"epochs": EPOCHS}, prune=prune)
    clock = Clock()
    return plan, LiveProgress(plan, work_left(plan, SweepDir(tmp_path / "sweep")), clock), clock


def trained(live, clock, run, *, seconds, to=1.0, epochs=EPOCHS):
    """Send the events of a run up to a fraction of its epochs."""
    live.note(RunProgress(run.key, 0.0, epochs))
    clock.now += seconds
    live.note(RunProgress(run.key, to * epochs, epochs))
    if to == 1:
        live.note(Finished(run.key))


def test_remaining_work_is_extrapolated(tmp_path):
    """The rest takes as long per epoch as the finished work."""
    plan, live, clock = started(tmp_path, {})

    assert live.seconds_left() is None
    trained(live, clock, plan.dense[0], seconds=40)
    assert live.fraction() == pytest.approx(1 / 3)
    assert live.seconds_left() == pytest.approx(80)
    for run in plan.tickets:
        trained(live, clock, run, seconds=40)
    assert live.fraction() == 1
    assert live.seconds_left() is None


def test_a_run_with_budget_takes_all_of_it(tmp_path):
    """Its epochs must not be multiplied by a time per epoch, which would make hours of minutes."""
    plan, live, clock = started(tmp_path, {"schedule": "budget", "time": "20m"})

    trained(live, clock, plan.dense[0], seconds=60)

    assert live.seconds_left() == pytest.approx(2 * 1200)
    trained(live, clock, plan.tickets[0], seconds=300, to=0.01, epochs=60)
    assert live.fraction_of(plan.tickets[0].key) == pytest.approx(0.25)
    assert live.seconds_left() == pytest.approx(900 + 1200)


def test_a_started_run_times_the_epochs(tmp_path):
    """Epochs and seconds can be added before a run has finished."""
    plan, live, clock = started(tmp_path, {"schedule": "budget", "time": "20m"})
    trained(live, clock, plan.dense[0], seconds=10, to=0.25)

    assert live.fraction() == pytest.approx(10 / (40 + 2400))


def test_a_short_run_reports_its_time_per_epoch(tmp_path):
    """The start-up time of workers does not count as training."""
    plan, live, clock = started(tmp_path, {"schedule": "budget", "time": "20m"})

    clock.now += 30
    live.note(Finished(plan.dense[0].key, seconds_per_epoch=1.0))

    assert live.seconds_left() == pytest.approx(2400)


def test_a_failed_run_counts_as_work_left(tmp_path):
    """It is retried from the start or a checkpoint."""
    plan, live, clock = started(tmp_path, {})
    trained(live, clock, plan.dense[0], seconds=40)
    trained(live, clock, plan.tickets[0], seconds=30, to=0.75)
    before = live.fraction()

    live.note(Failed(plan.tickets[0].key, retry=True))

    assert before == pytest.approx(7 / 12)
    assert live.fraction() == pytest.approx(1 / 3)
