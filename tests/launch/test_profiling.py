"""The seconds of an epoch from its first steps: every step and the validation count once."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from lthsweep.launch import profiling
from lthsweep.training.state import Training
from lthsweep.training.sums import Sums
from tests.lottery.cases import SEED, context_of
from tests.training.cases import small_digits

STEP, VALIDATION = 1.0, 100.0


@pytest.fixture
def clock(monkeypatch):
    """A clock that only steps and validations move."""
    now = [0.0]
    add, validate = Sums.add, Training.validate

    def slow_step(self, *outcome):
        now[0] += STEP
        add(self, *outcome)

    def slow_validation(self):
        now[0] += VALIDATION
        return validate(self)

    monkeypatch.setattr(Sums, "add", slow_step)
    monkeypatch.setattr(Training, "validate", slow_validation)
    monkeypatch.setattr(profiling, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    return now


@pytest.mark.parametrize(("batch", "steps"), [(2, 45), (16, 5), (40, 2), (90, 1)])
@pytest.mark.parametrize("epochs", [1, 3])
def test_an_epoch_is_its_steps_and_one_validation(clock, cache, batch, steps, epochs):
    material = context_of(small_digits(cache), batch_size=batch, epochs=epochs)

    assert profiling.profile(material, SEED) == steps * STEP + VALIDATION


def test_long_epochs_are_profiled_for_a_few_seconds(clock, cache):
    material = context_of(small_digits(cache), batch_size=2)

    found = profiling.profile(material, SEED, seconds=0.0)

    assert found == 45 * STEP + VALIDATION
    assert clock[0] == 4 * STEP + VALIDATION  # three to warm up
