"""How fast a training walks through its learning-rate schedule.

A training that has less time than its schedule was made for is not cut off at a high learning rate: it goes through the
whole schedule in fewer steps. The stretch may change on the way, when it is seen that time runs faster or slower.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ScheduleStretch"]


@dataclass(frozen=True, slots=True)
class ScheduleStretch:
    """A straight line from here to the end of the schedule.

    Attributes:
        start: the step at which this stretch begins.
        position_at_start: the place in the schedule there, in steps of the schedule.
        stop: the step at which the training ends, above `start`.
        end: the length of the schedule in steps, which is its place at `stop`.
    """

    start: int
    position_at_start: float
    stop: int
    end: int

    def position(self, step: int) -> float:
        """The place in the schedule at a step; at the stretch of the schedule itself, exactly the step."""
        made, left = step - self.start, self.stop - self.start
        whole = self.end - self.position_at_start
        return self.position_at_start + (made if whole == left else made * whole / left)
