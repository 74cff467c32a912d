"""The `[train]` table becomes types in one place."""

from __future__ import annotations

import pytest

from lthsweep.errors import UnknownNameError
from lthsweep.training.optimizers import AdamW
from lthsweep.training.schedule import Cosine
from lthsweep.training.train_options import TrainOptions
from tests.training.cases import train_options, train_table


def test_optimizer_and_schedule_become_their_types():
    """`name` chooses the type, the other keys are its fields."""
    options = train_options("adamw")

    assert isinstance(options.optimizer, AdamW)
    assert options.schedule == Cosine(warmup=0.5, final=0.0)


def test_last_rate_is_that_of_last_step():
    """Fine-tuning continues with it."""
    options = train_options(schedule={"name": "step", "warmup": 0.0, "milestones": [1, 2], "gamma": 0.1})

    assert options.last_learning_rate(5) == pytest.approx(0.05 * 0.01)


@pytest.mark.parametrize(
    ("key", "name", "known"),
    [("optimizer", "adamww", "did you mean 'adamw'"), ("schedule", "cosin", "constant, cosine, step")],
)
def test_unknown_name_is_refused_with_known_ones(key, name, known):
    """The file is checked before, but a record of another version can contain anything."""
    with pytest.raises(UnknownNameError, match=known):
        TrainOptions.of({**train_table(), key: {"name": name}})
