"""A ticket within a given time, on machines of any speed: the loop is the real one, the clock is not."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lthsweep.errors import BudgetError, TrainingError
from lthsweep.plan.rounds import next_sparsity
from lthsweep.pruning.counts import kept_count
from lthsweep.spec.text_forms import in_seconds
from tests.lottery.cases import (
    Watch,
    assert_same_arrays,
    assert_same_result,
    dense_of,
    finished,
    measured,
    parent_of,
    prune_step,
    rows,
    ticket_of,
    undisturbed,
)
from tests.lottery.machines import EPOCH, EVALUATION, SAVING, Machine, on

FEW = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def account(result):
    return result.notes["budget"]


def lengths(result):
    """Epochs of each round, the ticket's last."""
    return [one["epochs"] for one in account(result)["rounds"]]


def test_ample_time_equals_the_iterative_ticket(packed):
    """A dense round, then rounds from the snapshot of the dense run: the same as a chain of separate levels."""
    dense = dense_of(packed)
    first = undisturbed(dense, prune_step(next_sparsity(0.0, 0.8, 2), 0))
    second = ticket_of(dense, prune_step(0.8, 0), parent=parent_of(first))

    ticket = finished(on(Machine(), packed, 10_000, max_rounds=2))

    assert_same_arrays(ticket.weights, finished(second).weights)
    assert_same_arrays(ticket.masks, finished(second).masks)
    assert rows(ticket) == rows(finished(second))
    assert ticket.audit == finished(second).audit
    assert ticket.metrics.pruned_test_accuracy == finished(second).metrics.pruned_test_accuracy


@pytest.mark.parametrize(("point", "rewind"), [(0, "weights"), (1, "weights+optimizer"), ("7it", "weights")])
def test_one_round_equals_the_one_shot_ticket(packed, point, rewind):
    """Also late in training, in the middle of an epoch, and with momenta."""
    one_shot = undisturbed(dense_of(packed), prune_step(0.8, point, rewind=rewind))

    ticket = finished(on(Machine(), packed, 10_000, max_rounds=1, point=point, rewind=rewind))

    assert_same_arrays(ticket.weights, one_shot.weights)
    assert rows(ticket) == rows(one_shot)
    assert ticket.audit == one_shot.audit
    assert ticket.audit["ok"]
    for name in (
        "test_accuracy",
        "steps_to_dense",
        "before_val_accuracy",
        "pruned_val_accuracy",
        "rewind_step",
    ):
        assert getattr(ticket.metrics, name) == getattr(one_shot.metrics, name), name


@pytest.mark.parametrize("seconds", [40, 60, 80, 100, 150])
def test_on_a_steady_machine_the_prediction_comes_true(packed, seconds):
    """To the second; within the budget, with the sparsity that was asked, as many rounds as fit."""
    ticket = finished(on(Machine(), packed, seconds))

    recorded = account(ticket)
    end = (
        3 * EVALUATION + SAVING
    )  # the scores after pruning and at the end; best epoch last: one test is spared
    rounds = int((seconds - end) / (3 * EPOCH)) - 1
    assert ticket.metrics.rounds == recorded["rounds_planned"] == rounds
    assert lengths(ticket) == [3] * (rounds + 1)
    assert recorded["spent"] <= recorded["predicted"] <= seconds
    assert recorded["predicted"] - recorded["spent"] <= 2 * EVALUATION + 1e-6
    assert recorded["replanned"] == 0
    kept = sum(int(mask.sum()) for mask in ticket.masks.values())
    assert kept == kept_count(int(ticket.metrics.params_prunable), 0.8)
    assert ticket.metrics.epochs_trained == 3 * (rounds + 1)


def test_rounds_prune_equal_shares(packed):
    """p = 1 − (1 − S)^(1/n), recorded for each round."""
    ticket = finished(on(Machine(), packed, 100))

    recorded = account(ticket)["rounds"]
    count = len(recorded) - 1
    assert count == 4
    for before, after in pairwise(recorded):
        assert after["rate"] == pytest.approx(1 - 0.2 ** (1 / count))
        assert 1 - after["sparsity"] == pytest.approx((1 - before["sparsity"]) * (1 - after["rate"]))
    assert (recorded[0]["rate"], recorded[0]["sparsity"], recorded[-1]["sparsity"]) == (0, 0, 0.8)
    assert all(one["seconds"] > 0 and 0 <= one["val_accuracy"] <= 1 for one in recorded)


def test_shortened_rounds_end_at_a_low_rate(packed):
    """Twelve epochs would not fit, so the schedule of twelve is walked through in four."""
    ticket = finished(on(Machine(), packed, 50, epochs=12, min_round_epochs=3))
    whole = finished(on(Machine(), packed, 10_000, epochs=12, max_rounds=1))

    assert lengths(ticket) == [4, 4]
    assert account(ticket)["spent"] <= 50
    rates = [row.lr for row in ticket.curves]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.05 * rates[0]
    assert [row.epoch for row in ticket.curves] == [1, 2, 3, 4]
    assert [row.epoch for row in whole.curves] == list(range(1, 13))


def test_refusal_names_a_budget_that_suffices(packed):
    """The run is refused after the profiled epoch, with a budget that suffices."""
    machine = Machine()

    with pytest.raises(
        BudgetError, match=r"prune.time = 30s is too short here: an epoch takes 5.5 s"
    ) as refused:
        on(machine, packed, 30, min_round_epochs=3)

    assert machine.steps == 5
    named = re.search(r"would do is (\S+)$", str(refused.value))
    assert named
    ticket = finished(on(Machine(), packed, in_seconds(named[1]), min_round_epochs=3))
    assert lengths(ticket) == [3, 3]
    assert account(ticket)["spent"] <= in_seconds(named[1])


def test_budget_below_one_epoch_is_refused_early(packed):
    """A budget of a minute is not refused only after an epoch of an hour."""
    machine = Machine()

    with pytest.raises(BudgetError, match="too short here: an epoch takes 5 s"):
        on(machine, packed, 1.5)

    assert machine.steps == 2


def test_slow_machine_gets_fewer_rounds(packed):
    """Three times slower from the fourth epoch on: the plan changes, the deadline does not."""
    machine = Machine(lambda step: 1.0 if step < 15 else 3.0)

    ticket = finished(on(machine, packed, 120))

    recorded = account(ticket)
    assert recorded["replanned"] > 0
    assert recorded["rounds_planned"] == 6
    assert ticket.metrics.rounds < 6
    assert recorded["spent"] <= 120
    assert ticket.audit["ok"]


@pytest.mark.slow
def test_a_machine_that_becomes_fast_gets_more_rounds(packed):
    """Four times faster from the third epoch on."""
    machine = Machine(lambda step: 1.0 if step < 10 else 0.25)

    ticket = finished(on(machine, packed, 80))

    recorded = account(ticket)
    assert recorded["rounds_planned"] == 3
    assert ticket.metrics.rounds > 3
    assert recorded["spent"] <= 80
    assert ticket.audit["ok"]


def test_stuck_epoch_is_stopped(packed):
    """The dense round stops in the middle of an epoch, while there is time for a ticket at this speed."""
    machine = Machine(lambda step: 1.0 if step < 12 else 20.0)

    ticket = finished(on(machine, packed, 200, epochs=8))

    dense, last = account(ticket)["rounds"]
    assert dense["epochs"] % 1 != 0
    assert last["epochs"] == 1
    assert account(ticket)["spent"] <= 200
    assert ticket.audit["ok"]


@pytest.mark.slow
@FEW
@given(
    seconds=st.floats(30, 90),  # up to five rounds of three epochs: more only take longer
    when=st.integers(0, 40),
    factor=st.floats(0.1, 20),
    until=st.integers(1, 60),
    epochs=st.integers(1, 4),
)
def test_budget_is_exceeded_by_one_epoch_at_most(packed, seconds, when, factor, until, epochs):
    """It is slow or fast for a while. What comes out is a sound ticket of exactly the sparsity, or a refusal."""
    machine = Machine(lambda step: factor if when <= step < when + until else 1.0)

    try:
        ticket = finished(on(machine, packed, seconds, epochs=epochs))
    except BudgetError:
        assert machine.steps <= 5
        return

    slowest = 5 * max(1.0, factor) + EVALUATION
    assert account(ticket)["spent"] <= seconds + slowest + 3 * EVALUATION
    assert ticket.audit["ok"]
    assert ticket.audit["exact"]
    assert lengths(ticket)[-1] >= 1


@pytest.mark.parametrize("stop", [1, 5, 8, 15, 17, 22, 30, 31, 44])
def test_interrupted_run_equals_uninterrupted_run(packed, stop):
    """In any round; time between two attempts does not count, time before the stop does."""
    undisturbed = finished(on(Machine(), packed, 60, epochs=4, min_round_epochs=2))
    assert lengths(undisturbed) == [4, 4]
    machine, calls = Machine(), 0
    watch = Watch()

    def between(training):
        nonlocal calls
        calls += 1
        if calls == stop:
            watch._stop = training.progress.step
            return watch(training)
        return False

    assert (
        on(machine, packed, 60, epochs=4, min_round_epochs=2, between_steps=between) is None
        if stop < 40
        else True
    )
    if stop >= 40:
        return
    machine.now += 100_000.0

    resumed = finished(on(machine, packed, 60, epochs=4, min_round_epochs=2, resume=watch.checkpoint))

    assert_same_result(resumed, undisturbed)
    assert account(resumed)["spent"] == pytest.approx(account(undisturbed)["spent"])
    assert account(resumed)["predicted"] == pytest.approx(account(undisturbed)["predicted"])
    assert lengths(resumed) == lengths(undisturbed)


def test_progress_spans_all_rounds(packed):
    """A display shows the round and the epochs of all rounds together, which never decrease."""
    seen = []

    finished(
        on(
            Machine(),
            packed,
            60,
            between_steps=lambda training: bool(seen.append(training.report())),
        )
    )

    phases = list(dict.fromkeys(one.phase for one in seen))
    assert phases == ["profile", "round 1 of 2", "round 2 of 2", "ticket"]
    epochs = [one.epoch for one in seen]
    assert epochs == sorted(epochs)
    assert {one.epochs for one in seen[5:]} == {9}


def test_a_round_that_diverges_is_a_clear_failure(packed):
    """There are no weights to rank."""
    with pytest.raises(TrainingError, match="round 1 diverged"):
        on(
            Machine(),
            packed,
            100,
            train={"optimizer": replace(dense_of(packed).context.train.optimizer, lr=1e9)},
        )


def test_seconds_of_training_are_those_of_all_rounds(packed):
    """The curve is the ticket's alone."""
    ticket = finished(on(Machine(), packed, 60))

    assert len(ticket.curves) == 3
    assert ticket.metrics.seconds_train > sum(row.seconds for row in ticket.curves)
    assert measured(ticket)["rounds"] == 2
    assert np.isfinite(ticket.metrics.test_accuracy)
