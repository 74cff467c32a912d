"""Learning rates against values worked out by hand."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lthsweep.errors import UnknownNameError
from lthsweep.training.schedule import learning_rate_factor


def factors(options, *, steps_per_epoch=4, epochs=3):
    return [
        learning_rate_factor(options, step, steps_per_epoch=steps_per_epoch, epochs=epochs)
        for step in range(steps_per_epoch * epochs)
    ]


def test_constant_is_the_full_rate_all_the_time():
    """Its only key is the warm-up."""
    assert factors({"name": "constant", "warmup": 0.0}) == [1.0] * 12


@pytest.mark.parametrize("name", ["constant", "step", "cosine"])
def test_warm_up_rises_linearly_and_ends_at_the_full_rate(name):
    """W steps: 1/W for the first, 1 for the last, so no step is lost to a rate of zero."""
    options = {"name": name, "warmup": 1.0, "milestones": [2], "gamma": 0.1, "final": 0.0}

    assert factors(options)[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_step_decay_multiplies_at_the_first_step_of_each_milestone():
    """A milestone of 1 means that one epoch was made at the full rate."""
    found = factors({"name": "step", "warmup": 0.0, "milestones": [1, 2], "gamma": 0.5})

    assert found == [1.0] * 4 + [0.5] * 4 + [0.25] * 4


def test_a_milestone_inside_the_warm_up_waits_for_its_end():
    """Warm-up goes to the full rate whatever else is written."""
    found = factors({"name": "step", "warmup": 2.0, "milestones": [1], "gamma": 0.1})

    assert found == [step / 8 for step in range(1, 9)] + [0.1] * 4


def test_cosine_falls_from_one_to_the_final_fraction():
    """Half a cosine over 4 epochs: 1, then (1 + cos 45°)/2, one half, … of what is above the final value."""
    options = {"name": "cosine", "warmup": 0.0, "final": 0.2}

    found = factors(options, steps_per_epoch=1, epochs=4)

    expected = [1.0, 0.5 * (1 + math.sqrt(0.5)), 0.5, 0.5 * (1 - math.sqrt(0.5))]
    assert found == pytest.approx([0.2 + 0.8 * value for value in expected], abs=1e-15)
    assert learning_rate_factor(options, 4, steps_per_epoch=1, epochs=4) == pytest.approx(0.2, abs=1e-15)


def test_cosine_after_warm_up_spends_the_rest_on_the_whole_half_wave():
    """One epoch of warm-up, two of cosine: halfway is the end of epoch 2."""
    found = factors({"name": "cosine", "warmup": 1.0, "final": 0.0})

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
def test_a_factor_is_never_outside_of_zero_to_one_and_has_no_memory(name, warmup, steps, step, final):
    """A ticket that starts at step k continues the trunk's schedule: asking twice, or late, changes nothing."""
    options = {"name": name, "warmup": warmup, "milestones": [1, 2], "gamma": 0.1, "final": final}

    found = learning_rate_factor(options, step, steps_per_epoch=steps, epochs=3)

    assert 0 <= found <= 1
    assert found == learning_rate_factor(options, step, steps_per_epoch=steps, epochs=3)
    if step == round(warmup * steps) and name == "cosine":
        assert found == (1 if step < 3 * steps else final)


def test_a_warm_up_that_ends_between_steps_is_followed_by_the_full_rate():
    """Half an epoch and a bit is rounded to a step, down or up, and the cosine begins where that ends."""
    for warmup in (0.7, 0.3):
        found = factors({"name": "cosine", "warmup": warmup, "final": 0.0}, steps_per_epoch=2, epochs=3)

        assert found[:2] == [1.0, 1.0]
        assert found[2] == pytest.approx(0.5 * (1 + math.cos(math.pi / 5)), abs=1e-15)


def test_an_unknown_schedule_is_named_with_the_known_ones():
    """The file is checked before, but a record of another version may say anything."""
    with pytest.raises(UnknownNameError, match="constant, cosine, step"):
        learning_rate_factor({"name": "cosin", "warmup": 0}, 1, steps_per_epoch=2, epochs=2)
