"""The point to which weights return, in the unit in which it was written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lthsweep.errors import SpecError
from lthsweep.plan.rewind import RewindPoint

WRITTEN = st.integers(0, 10**6) | st.floats(0, 1e6) | st.integers(0, 10**6).map(lambda n: f"{n}it")


@pytest.mark.parametrize(
    ("written", "step", "epochs", "shown"),
    [
        (0, 0, 0, "0"),
        ("0it", 0, 0, "0"),
        (2, 26, 2, "2"),
        (0.5, 6, 0.5, "0.5"),  # 6.5: halves go to the even step
        (1.5, 20, 1.5, "1.5"),  # 19.5
        (0.04, 1, 0.04, "0.04"),
        ("500it", 500, 500 / 13, "500it"),
    ],
)
def test_rewind_points_have_steps_and_epochs(written, step, epochs, shown):
    """With 13 steps an epoch. An iteration is exact, an epoch goes to the nearest step."""
    point = RewindPoint.parse(written)

    assert point.step(13) == step
    assert point.epochs(13) == epochs
    assert str(point) == shown
    assert point.at_initialization == (step == 0)


def test_iterations_need_a_known_epoch_length():
    """A plan over a folder of images then states the upper bound."""
    assert RewindPoint.parse("500it").epochs(None) == 0
    assert RewindPoint.parse(2).epochs(None) == 2


@given(WRITTEN)
def test_a_printed_rewind_point_parses_to_itself(written):
    """The printed form can be parsed, to the six digits that are shown."""
    point = RewindPoint.parse(written)
    shown = str(point)

    again = RewindPoint.parse(shown if shown.endswith("it") else float(shown))

    assert again.value == pytest.approx(point.value, rel=1e-5)
    assert again.in_iterations == point.in_iterations


@pytest.mark.parametrize(
    "written",
    [-1, -0.5, float("nan"), float("inf"), True, "5", "it", "-5it", "5 it", "1.5it", "5it ", "٥it", ""],
)
def test_what_is_no_point_is_refused(written):
    """With the two ways to write one."""
    with pytest.raises(SpecError, match="rewind point"):
        RewindPoint.parse(written)


def test_equal_points_are_one_snapshot():
    """A dense run keeps each point once, however it was written."""
    assert len({RewindPoint.parse(written) for written in (0, 0.0, "0it")}) == 1
    assert len({RewindPoint.parse(written) for written in (1, 1.0, "1it")}) == 2
