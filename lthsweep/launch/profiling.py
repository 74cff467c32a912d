"""How long an epoch takes, measured on its first steps."""

from __future__ import annotations

import time

from lthsweep.lottery.dense import dense_training
from lthsweep.lottery.material import Material
from lthsweep.training.loop import Training

__all__ = ["profile"]


def profile(material: Material, seed: int, seconds: float = 5.0) -> float:
    """Seconds of one epoch of a recipe, validation included.

    Args:
        material: data and model on their device.
        seed: of the run whose first steps are taken.
        seconds: how long to train at most; a shorter epoch is measured whole.
    """
    training = dense_training(material, seed)
    warm_up = min(3, training.steps_per_epoch // 4)
    times: list[float] = []

    def watch(current: Training) -> bool:
        times.append(time.perf_counter())
        measured = len(times) - 1 - warm_up
        return measured > 0 and (times[-1] - times[0] > seconds or len(times) > training.steps_per_epoch)

    training.run(watch)
    per_step = (times[-1] - times[warm_up]) / (len(times) - 1 - warm_up)
    started = time.perf_counter()
    training.validate()
    return per_step * training.steps_per_epoch + time.perf_counter() - started
