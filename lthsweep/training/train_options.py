"""The `[train]` table as types. `TrainOptions.of` builds them from a resolved table, and nothing else does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lthsweep.errors import look_up
from lthsweep.training.optimizers import OPTIMIZERS, OptimizerOptions
from lthsweep.training.schedule import SCHEDULES, Schedule, learning_rate_factor

__all__ = ["TrainOptions"]


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """How a dense run and its tickets are trained; the fields are described in docs/the-file.md.

    Attributes:
        epochs: T, the length of dense training and of the learning-rate schedule.
        precision: "fp32" or "bf16", of forward passes.
        group_lasso: λ of the group lasso over filters; 0 for none.
    """

    epochs: int
    batch_size: int
    precision: str
    label_smoothing: float
    optimizer: OptimizerOptions
    schedule: Schedule
    group_lasso: float = 0.0

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> TrainOptions:
        """The options of a `[train]` table with every default written out.

        Raises:
            UnknownNameError: if the optimizer or the schedule is not registered.
        """
        optimizer, schedule = dict(table["optimizer"]), dict(table["schedule"])
        return cls(
            **{
                **table,
                "optimizer": look_up("optimizer", optimizer.pop("name"), OPTIMIZERS)(**optimizer),
                "schedule": look_up("schedule", schedule.pop("name"), SCHEDULES)(**schedule),
            }
        )

    def learning_rate(self, position: float, steps_per_epoch: int) -> float:
        """The learning rate at a position of the schedule, in steps; a fraction where the schedule is stretched."""
        factor = learning_rate_factor(
            self.schedule, position, steps_per_epoch=steps_per_epoch, epochs=self.epochs
        )
        return self.optimizer.lr * factor

    def last_learning_rate(self, steps_per_epoch: int) -> float:
        """The learning rate of the schedule's last step."""
        return self.learning_rate(self.epochs * steps_per_epoch - 1, steps_per_epoch)
