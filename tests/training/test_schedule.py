"""Learning rates against values worked out by hand."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lthsweep.training.schedule import Constant, Cosine, ScheduleStretch, StepDecay, learning_rate_factor


def schedule_of(name, warmup, *, milestones=(1, 2), final=0.0):
    return {
        "constant": Constant(warmup=warmup),
        "step": StepDecay(warmup=warmup, milestones=milestones, gamma=0.1),
        "cosine": Cosine(warmup=warmup, final=final),
    }[name]


def factors(schedule, *, steps_per_epoch=4, epochs=3):
    return [
        learning_rate_factor(schedule, step, steps_per_epoch=steps_per_epoch, epochs=epochs)
        for step in range(steps_per_epoch * epochs)
    ]


def test_constant_is_the_full_rate_all_the_time():
    """Its only key is the warm-up."""
    assert factors(Constant(warmup=0.0)) == [1.0] * 12


@pytest.mark.parametrize("name", ["constant", "step", "cosine"])
def test_warm_up_rises_linearly_to_full_rate(name):
    """W steps: 1/W for the first, 1 for the last, so no step is lost to a rate of zero."""
    schedule = schedule_of(name, 1.0, milestones=(2,))

    assert factors(schedule)[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_step_decay_begins_at_each_milestone():
    """A milestone of 1 means that one epoch was made at the full rate."""
    found = factors(StepDecay(warmup=0.0, milestones=[1, 2], gamma=0.5))

    assert found == [1.0] * 4 + [0.5] * 4 + [0.25] * 4


def test_milestone_inside_warm_up_is_delayed():
    """Warm-up goes to the full rate whatever else is written."""
    found = factors(StepDecay(warmup=2.0, milestones=[1], gamma=0.1))

    assert found == [step / 8 for step in range(1, 9)] + [0.1] * 4


def test_cosine_falls_from_one_to_the_final_fraction():
    """Half a cosine over 4 epochs: 1, then (1 + cos 45°)/2, one half, … of the range above the final value."""
    schedule = Cosine(warmup=0.0, final=0.2)

    found = factors(schedule, steps_per_epoch=1, epochs=4)

    expected = [1.0, 0.5 * (1 + math.sqrt(0.5)), 0.5, 0.5 * (1 - math.sqrt(0.5))]
    assert found == pytest.approx([0.2 + 0.8 * value for value in expected], abs=1e-15)
    assert learning_rate_factor(schedule, 4, steps_per_epoch=1, epochs=4) == pytest.approx(0.2, abs=1e-15)


def test_cosine_follows_the_warm_up():
    """One epoch of warm-up, two of cosine: halfway is the end of epoch 2."""
    found = factors(Cosine(warmup=1.0, final=0.0))

    assert found[4] == 1.0
    assert found[8] == pytest.approx(0.5, abs=1e-15)
    assert all(later < earlier for earlier, later in itertools.pairwise(found[4:]))


@given(
    st.sampled_from(["constant", "step", "cosine"]),
    st.floats(0, 2.9),
    st.integers(1, 20),
    st.integers(0, 100),
    st.floats(0, 1),
)
def test_factor_is_stateless_and_between_zero_and_one(name, warmup, steps, step, final):
    """A ticket that starts at step k continues the dense run's schedule: asking twice, or late, changes nothing."""
    schedule = schedule_of(name, warmup, final=final)

    found = learning_rate_factor(schedule, step, steps_per_epoch=steps, epochs=3)

    assert 0 <= found <= 1
    assert found == learning_rate_factor(schedule, step, steps_per_epoch=steps, epochs=3)
    if step == round(warmup * steps) and name == "cosine":
        assert found == (1 if step < 3 * steps else final)


def test_warm_up_between_steps_ends_at_full_rate():
    """Half an epoch and a bit is rounded to a step, down or up, and the cosine begins where that ends."""
    for warmup in (0.7, 0.3):
        found = factors(Cosine(warmup=warmup, final=0.0), steps_per_epoch=2, epochs=3)

        assert found[:2] == [1.0, 1.0]
        assert found[2] == pytest.approx(0.5 * (1 + math.cos(math.pi / 5)), abs=1e-15)


@given(st.integers(0, 10**6), st.integers(1, 10**6))
def test_unshortened_stretch_equals_the_step(start, length):
    """Exactly, so that an unshortened training equals one without a stretch bit for bit."""
    stretch = ScheduleStretch(start, start, start + length, start + length)

    assert all(stretch.position(step) == step for step in (start, start + length // 2, start + length))


@given(st.integers(0, 1000), st.floats(0, 1000), st.integers(1, 1000), st.integers(0, 1000))
def test_stretch_leads_from_current_position_to_end(start, place, steps, left):
    """In a straight line."""
    end = int(place) + 1 + left
    stretch = ScheduleStretch(start, place, start + steps, end)
    places = [stretch.position(step) for step in range(start, start + steps + 1)]

    assert places[0] == place
    assert abs(places[-1] - end) < 1e-6
    assert places == sorted(places)


def test_stretched_warm_up_never_exceeds_the_full_rate():
    """Between two steps of the schedule its last one may be passed."""
    schedule = Constant(warmup=1.0)
    stretch = ScheduleStretch(0, 0, 7, 40)

    factors = [
        learning_rate_factor(schedule, stretch.position(step), steps_per_epoch=10, epochs=4)
        for step in range(7)
    ]

    assert factors[0] == 0.1
    assert max(factors) == 1.0
    assert factors[2:] == [1.0] * 5
