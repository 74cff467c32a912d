"""Learning-rate schedules as pure functions of the step.

A ticket that starts at step k continues the dense run's schedule from k, so a schedule must not have a state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from lthsweep.errors import look_up

__all__ = ["SCHEDULES", "learning_rate_factor"]


def constant(options: Mapping[str, Any], epoch: float, start: float, epochs: int) -> float:
    """The full learning rate all the time."""
    return 1.0


def step_decay(options: Mapping[str, Any], epoch: float, start: float, epochs: int) -> float:
    """Multiplied by `gamma` at each of the `milestones` (epochs)."""
    return math.pow(options["gamma"], sum(epoch >= milestone for milestone in options["milestones"]))


def cosine(options: Mapping[str, Any], epoch: float, start: float, epochs: int) -> float:
    """Half a cosine from 1 at the end of the warm-up to `final` at the end of training.

    Source: Loshchilov & Hutter, ICLR 2017, arXiv:1608.03983, equation 5, one period, no restart.
    """
    final = float(options["final"])
    if epoch >= epochs:
        return final
    progress = (epoch - start) / (epochs - start)
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))


SCHEDULES: Mapping[str, Callable[[Mapping[str, Any], float, float, int], float]] = {
    "constant": constant,
    "cosine": cosine,
    "step": step_decay,
}


def learning_rate_factor(
    options: Mapping[str, Any], step: float, *, steps_per_epoch: int, epochs: int
) -> float:
    """The factor on the base learning rate with which optimizer step number `step` is made.

    Args:
        options: the schedule's table: `name`, its own keys, and `warmup` in epochs (may be a fraction),
            during which the factor rises linearly from 1/W to 1, W being the warm-up's number of steps.
        step: steps made before this one, 0 for the first; a fraction where a schedule is walked through faster.
        steps_per_epoch: length of an epoch in steps.
        epochs: length of the whole training.
    """
    warmup_steps = round(float(options["warmup"]) * steps_per_epoch)
    if step < warmup_steps:
        return min(1.0, (step + 1) / warmup_steps)
    shape = look_up("schedule", options["name"], SCHEDULES)
    # The warm-up as it was rounded to steps, so that its end is the full rate, whatever comes next.
    return shape(options, step / steps_per_epoch, warmup_steps / steps_per_epoch, epochs)
