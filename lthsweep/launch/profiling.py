"""Measure the length of an epoch on its first steps."""

from __future__ import annotations

import time

from lthsweep.errors import TrainingError
from lthsweep.lottery.context import TrainingContext
from lthsweep.lottery.dense import dense_training
from lthsweep.training.devices import synchronize
from lthsweep.training.loop import train
from lthsweep.training.state import Ending, Training

__all__ = ["profile"]


def profile(context: TrainingContext, seed: int, seconds: float = 5.0) -> float:
    """Return the seconds of one epoch of a recipe, validation included.

    Args:
        context: data and model on their device.
        seed: of the run.
        seconds: time limit of the training; of a shorter epoch all steps but the last are timed.
    """
    training = dense_training(context, seed)
    last = (
        training.steps_per_epoch - 1
    )  # the last step is followed by the validation, which is timed separately
    warm_up = min(3, last // 4)
    begun = _now(context)
    marks: list[tuple[int, float]] = []

    def watch(current: Training) -> bool:
        step = current.progress.step
        over = step > warm_up and (step >= last or time.perf_counter() - begun > seconds)
        if step == warm_up or over:
            marks.append((step, _now(context)))
        return over

    if train(training, watch) is Ending.DIVERGED:  # before a step was timed
        raise TrainingError("the first epoch diverged (loss not finite); lower train.optimizer.lr")
    (first, started), (end, ended) = marks
    per_step = (ended - started) / (end - first)
    if end > last:  # an epoch of one step, timed with its validation
        return per_step
    started = _now(context)
    training.validate()
    return per_step * training.steps_per_epoch + _now(context) - started


def _now(context: TrainingContext) -> float:
    """Return the time at which the device has finished all its work."""
    synchronize(context.device)
    return time.perf_counter()
