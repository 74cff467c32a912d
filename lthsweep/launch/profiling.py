"""How long an epoch takes, measured on its first steps."""

from __future__ import annotations

import time

from lthsweep.errors import TrainingError
from lthsweep.lottery.context import TrainingContext
from lthsweep.lottery.dense import dense_training
from lthsweep.training.devices import synchronize
from lthsweep.training.loop import train
from lthsweep.training.training import Ending, Training

__all__ = ["profile"]


def profile(material: TrainingContext, seed: int, seconds: float = 5.0) -> float:
    """Seconds of one epoch of a recipe, validation included.

    Args:
        material: data and model on their device.
        seed: of the run whose first steps are taken.
        seconds: how long to train at most; of a shorter epoch all steps but the last are timed.
    """
    training = dense_training(material, seed)
    last = training.steps_per_epoch - 1  # after its end comes the validation, which has a clock of its own
    warm_up = min(3, last // 4)
    begun = _now(material)
    marks: list[tuple[int, float]] = []

    def watch(current: Training) -> bool:
        step = current.progress.step
        over = step > warm_up and (step >= last or time.perf_counter() - begun > seconds)
        if step == warm_up or over:
            marks.append((step, _now(material)))
        return over

    if train(training, watch) is Ending.DIVERGED:  # before there was anything to time
        raise TrainingError("the first epoch diverged (loss not finite); lower train.optimizer.lr")
    (first, started), (end, ended) = marks
    per_step = (ended - started) / (end - first)
    if end > last:  # an epoch of one step, and its validation with it
        return per_step
    started = _now(material)
    training.validate()
    return per_step * training.steps_per_epoch + _now(material) - started


def _now(material: TrainingContext) -> float:
    """When all that was asked of the device is done."""
    synchronize(material.device)
    return time.perf_counter()
