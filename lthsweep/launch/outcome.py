"""How a task ended, as its worker tells it."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lthsweep.lottery.result import Result

__all__ = ["Outcome"]


@dataclass(frozen=True)
class Outcome:
    """How a task ended.

    Attributes:
        ending: "finished" or "diverged" with a record, "present" (it was there already), "walked" (a trunk that was
            there got the snapshots it lacked), "stopped", or "slept".
        seconds_per_epoch: of this run; its share where several were trained as one.
        fused: how many were trained as one.
        width: how many such runs at a time pay on this device, if that was measured.
    """

    ending: str
    seconds_per_epoch: float | None = None
    test_accuracy: float | None = None
    fused: int = 1
    width: int | None = None

    def __str__(self) -> str:
        """One line for the log."""
        if self.test_accuracy is None:
            return self.ending
        share = f", its share of {self.fused} runs" if self.fused > 1 else ""
        return f"{self.ending}: test accuracy {self.test_accuracy:.4f}, {self.seconds_per_epoch:.3g} s per epoch{share}"

    @classmethod
    def of(cls, result: Result) -> Outcome:
        """That of a training that came to its end."""
        seconds = median(row.seconds for row in result.curves)
        return cls(result.ending, seconds, result.metrics.test_accuracy)
