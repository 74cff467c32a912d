"""Learning-rate schedules as pure functions of the step.

A ticket that starts at step k continues the schedule of the dense run from k, so a schedule has no state.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["SCHEDULES", "Schedule", "ScheduleStretch", "learning_rate_factor"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule(ABC):
    """A schedule after its warm-up, which takes `warmup` epochs (may be a fraction)."""

    warmup: float

    @abstractmethod
    def factor(self, epoch: float, start: float, epochs: int) -> float:
        """The factor on the base learning rate.

        Args:
            epoch: position in the schedule.
            start: end of the warm-up, in epochs.
            epochs: length of the schedule.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant(Schedule):
    """The full learning rate throughout."""

    def factor(self, epoch: float, start: float, epochs: int) -> float:
        """1."""
        return 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDecay(Schedule):
    """Multiplied by `gamma` at each of the `milestones` (epochs)."""

    milestones: Sequence[int]
    gamma: float

    def factor(self, epoch: float, start: float, epochs: int) -> float:
        """`gamma` to the number of milestones passed."""
        return math.pow(self.gamma, sum(epoch >= milestone for milestone in self.milestones))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosine(Schedule):
    """Half a cosine from 1 at the end of the warm-up to `final` at the end of training.

    Source: Loshchilov & Hutter, ICLR 2017, arXiv:1608.03983, equation 5, one period, no restart.
    """

    final: float

    def factor(self, epoch: float, start: float, epochs: int) -> float:
        """The cosine at this epoch."""
        if epoch >= epochs:
            return self.final
        progress = (epoch - start) / (epochs - start)
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * progress))


SCHEDULES: Mapping[str, type[Schedule]] = {"constant": Constant, "cosine": Cosine, "step": StepDecay}


def learning_rate_factor(schedule: Schedule, step: float, *, steps_per_epoch: int, epochs: int) -> float:
    """The factor on the base learning rate for one optimizer step.

    Args:
        schedule: during its warm-up of W steps the factor rises linearly from 1/W to 1.
        step: number of steps before this one, 0 for the first; a fraction where the schedule is stretched.
        steps_per_epoch: length of an epoch in steps.
        epochs: length of the whole schedule.
    """
    warmup_steps = round(schedule.warmup * steps_per_epoch)
    if step < warmup_steps:
        return min(1.0, (step + 1) / warmup_steps)
    # The warm-up is rounded to steps here as well, so that it always ends at the full rate.
    return schedule.factor(step / steps_per_epoch, warmup_steps / steps_per_epoch, epochs)


@dataclass(frozen=True, slots=True)
class ScheduleStretch:
    """Follows the rest of a schedule in fewer steps than it has: a straight line from here to its end.

    A training with less time than its schedule needs does not end at a high learning rate: it passes through the whole
    schedule, faster. The stretch can change on the way.

    Attributes:
        start: the step at which this stretch begins.
        position_at_start: position in the schedule at that step, in steps of the schedule.
        stop: the step at which the training ends, above `start`.
        end: length of the schedule in steps, the position at `stop`.
    """

    start: int
    position_at_start: float
    stop: int
    end: int

    def position(self, step: int) -> float:
        """The position in the schedule at a step; exactly the step where nothing is shortened."""
        made, left = step - self.start, self.stop - self.start
        whole = self.end - self.position_at_start
        return self.position_at_start + (made if whole == left else made * whole / left)
