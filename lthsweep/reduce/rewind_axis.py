"""The rewind axis as numbers: epochs, also where the file has iterations.

A file can mix both units (`rewind_epoch = [0, 2, "15it"]`). In the tables `rewind_epoch` is a number of epochs, so that
conditions and sorting work, and `rewind_point` is the text of the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from lthsweep.plan.rewind import RewindPoint
from lthsweep.plan.steps import recipe_steps

if TYPE_CHECKING:
    from lthsweep.plan.run import Plan, Run
    from lthsweep.reduce.run_result import RunResult

__all__ = ["EpochLengths", "in_epochs", "measured_length", "written_point"]

_REWIND_AXIS = "rewind_epoch"


@dataclass(frozen=True)
class EpochLengths:
    """Optimizer steps in an epoch, by the identity of a recipe; from records where there are any."""

    steps: Mapping[int, int]

    @classmethod
    def of(cls, plan: Plan, results: Mapping[str, RunResult]) -> Self:
        """Return the lengths that the records of a plan contain."""
        return cls(
            {
                id(run.recipe): length
                for key, run in plan.runs.items()
                if key in results and (length := measured_length(results[key]))
            }
        )

    def numbered(self, run: Run, axes: Mapping[str, object]) -> dict[str, object]:
        """Return the values of the axes with the rewind point in epochs.

        Args:
            run: a run that answers the point.
            axes: axis → value as in the file.
        """
        # The size of own data is known from the first record only.
        length = self.steps.get(id(run.recipe)) or recipe_steps(run.recipe)
        return in_epochs(axes, length)


def measured_length(result: RunResult) -> int | None:
    """Return the optimizer steps in an epoch of a recorded run; None if not measured."""
    steps = result.metrics.steps_per_epoch
    return int(steps) if steps > 0 else None  # NaN is not


def in_epochs(axes: Mapping[str, object], length: int | None) -> dict[str, object]:
    """Return the values of the axes with the rewind point in epochs.

    Args:
        axes: axis → value as in the file.
        length: optimizer steps in an epoch; None if unknown: iterations then have no value.
    """
    written = axes.get(_REWIND_AXIS)
    if not isinstance(written, int | float | str):  # no axis, or no point
        return dict(axes)
    point = RewindPoint.parse(written)
    epochs: int | float | None = point.value
    if point.in_iterations:
        epochs = point.value / length if length else None
    elif float(point.value).is_integer():
        epochs = int(point.value)
    return {**axes, _REWIND_AXIS: epochs}


def written_point(axes: Mapping[str, object]) -> str:
    """Return the rewind point as the file has it, such as `2` or `15it`; "" without one."""
    written = axes.get(_REWIND_AXIS)
    if isinstance(written, str):
        return str(RewindPoint.parse(written))  # `0it` is 0
    return f"{written:.12g}" if isinstance(written, int | float) else ""
