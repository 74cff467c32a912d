"""Numbers that are derived from a curve."""

from __future__ import annotations

import math

import pytest

from lthsweep.lottery.result import steps_to_reach
from lthsweep.training.progress import CurveRow


def curve(*accuracies):
    return [
        CurveRow(epoch + 2, 10 * (epoch + 2), 1.0, 0.5, 1.0, accuracy, 0.1, 1.0)
        for epoch, accuracy in enumerate(accuracies)
    ]


@pytest.mark.parametrize(
    ("target", "steps"),
    [(0.5, 10), (0.6, 20), (0.61, 30), (0.9, 30), (0.91, -1), (math.nan, -1)],
)
def test_steps_to_reach_end_at_first_sufficient_epoch(target, steps):
    """Counted from where retraining started (step 10 here), to the epoch; falling below again does not matter."""
    assert steps_to_reach(curve(0.5, 0.6, 0.9, 0.2), target, 10) == steps


def test_without_validation_nothing_is_reached():
    """NaN is not at or above anything."""
    assert steps_to_reach(curve(math.nan, math.nan), 0.0, 10) == -1
    assert steps_to_reach([], 0.0, 10) == -1
