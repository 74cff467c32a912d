"""A schedule walked through in fewer steps than it was made for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lthsweep.training.schedule import learning_rate_factor
from lthsweep.training.stretch import ScheduleStretch


@given(st.integers(0, 10**6), st.integers(1, 10**6))
def test_at_the_pace_of_the_schedule_its_place_is_the_step(start, length):
    """Exactly: what is not shortened trains as without a stretch, bit for bit."""
    stretch = ScheduleStretch(start, start, start + length, start + length)

    assert all(stretch.position(step) == step for step in (start, start + length // 2, start + length))


@given(st.integers(0, 1000), st.floats(0, 1000), st.integers(1, 1000), st.integers(0, 1000))
def test_it_goes_on_from_where_it_is_and_comes_to_the_end(start, place, steps, left):
    """In a straight line, whatever came before."""
    end = int(place) + 1 + left
    stretch = ScheduleStretch(start, place, start + steps, end)
    places = [stretch.position(step) for step in range(start, start + steps + 1)]

    assert places[0] == place
    assert abs(places[-1] - end) < 1e-6
    assert places == sorted(places)


def test_a_warm_up_that_is_walked_through_faster_never_exceeds_the_full_rate():
    """Between two steps of the schedule its last one may be passed."""
    options = {"name": "constant", "warmup": 1.0}
    stretch = ScheduleStretch(0, 0, 7, 40)

    factors = [
        learning_rate_factor(options, stretch.position(step), steps_per_epoch=10, epochs=4)
        for step in range(7)
    ]

    assert factors[0] == 0.1
    assert max(factors) == 1.0
    assert factors[2:] == [1.0] * 5
