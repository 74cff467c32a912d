"""A training that was stopped after any step and continued equals, bit for bit, one that never was."""

from __future__ import annotations

import functools

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lthsweep.training.loop import train
from lthsweep.training.state import Training
from tests.training.cases import (
    OPTIMIZERS,
    STEPS,
    assert_same_state,
    convolutional,
    data_of,
    half_masks,
    perceptron,
    state_of,
    train_options,
)

EPOCHS = 3
MODELS = {"perceptron": perceptron, "convolutional": convolutional}

SETTINGS = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def new_training(packed, case, *, weights=0):
    """A training of one case; `weights` chooses the initialization, which restoring must overwrite."""
    model_name, optimizer, masked, precision, start = case
    model = MODELS[model_name](weights, dropout=0.3)
    table = train_options(optimizer, epochs=EPOCHS, precision=precision, label_smoothing=0.1)
    masks = half_masks(model) if masked else None
    data = data_of(packed, seed=5, augment="crop-flip")
    return Training(model, data, table, seed=5, start_step=start, masks=masks)


def interrupted(packed, case, stops):
    """Stop at each of `stops`, each time going on in a new training with other weights and a spoiled generator."""
    training = new_training(packed, case)
    for number, stop in enumerate(stops, start=1):
        ending = train(training, lambda current, stop=stop: current.progress.step >= stop)
        assert ending == "stopped"
        saved = state_of(training)
        training = new_training(packed, case, weights=number)
        training.restore(*saved)
        assert_same_state(state_of(training), saved)
        torch.rand(number)
    assert train(training) == "finished"
    return state_of(training)


@functools.cache
def uninterrupted(packed, case):
    training = new_training(packed, case)
    assert train(training) == "finished"
    return state_of(training)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("masked", [False, True])
@given(stops=st.lists(st.integers(0, EPOCHS * STEPS), min_size=1, max_size=3).map(sorted))
@SETTINGS
def test_a_stop_at_any_step_changes_no_bit(packed, model, optimizer, masked, stops):
    """With dropout, BatchNorm, augmentation, smoothing; before the first step, at borders, after the last."""
    case = (model, optimizer, masked, "fp32", 0)

    assert_same_state(interrupted(packed, case, stops), uninterrupted(packed, case))


@pytest.mark.slow
@pytest.mark.parametrize("start", [1, STEPS, STEPS + 2])
@given(offset=st.integers(0, 2 * STEPS - 2))
@SETTINGS
def test_late_ticket_is_resumed_exactly(packed, start, offset):
    """Its steps are counted from initialization, in the middle of an epoch or not."""
    case = ("convolutional", "sgd", True, "fp32", start)

    assert_same_state(interrupted(packed, case, [start + offset]), uninterrupted(packed, case))


@pytest.mark.parametrize("stop", [0, 3, STEPS, 2 * STEPS + 1, EPOCHS * STEPS])
def test_bfloat16_is_resumed_as_well(packed, stop):
    """Weights stay float32; only forward passes are rough, and they are equally rough twice."""
    case = ("convolutional", "adamw", False, "bf16", 0)

    assert_same_state(interrupted(packed, case, [stop]), uninterrupted(packed, case))


def test_stopping_does_not_depend_on_being_watched(packed):
    """Reading the state between steps, as checkpoints do, changes nothing."""
    case = ("convolutional", "adam", True, "fp32", 0)
    training = new_training(packed, case)

    train(training, lambda current: state_of(current) == ())

    assert_same_state(state_of(training), uninterrupted(packed, case))


def test_finished_training_stays_finished(packed):
    """A worker may die after the last step and before the record."""
    case = ("perceptron", "sgd", False, "fp32", 0)
    training = new_training(packed, case, weights=3)
    training.restore(*uninterrupted(packed, case))

    assert train(training) == "finished"
    assert_same_state(state_of(training), uninterrupted(packed, case))
