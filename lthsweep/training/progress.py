"""How far a training has come, as plain numbers that survive an interruption."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from pydantic import JsonValue, TypeAdapter

from lthsweep.training.evaluation import Score

__all__ = ["CurveRow", "Progress", "ProgressReport"]


@dataclass(frozen=True, slots=True)
class CurveRow:
    """One epoch: losses are mean cross-entropy in nats, accuracies are fractions; NaN without validation data.

    Attributes:
        epoch: epochs completed since initialization, so a ticket rewound to k starts at k + 1.
        step: optimizer steps made since initialization.
        lr: learning rate of the epoch's last step.
        seconds: wall time of training and validation, summed over interruptions.
    """

    epoch: int
    step: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    lr: float
    seconds: float


@dataclass(frozen=True, slots=True)
class ProgressReport:
    """How far a training is, for a display.

    Attributes:
        epoch, epochs: epochs that are done and epochs at the end, both counted from initialization.
        val_accuracy: of the last epoch; None before the first validation.
        phase: "train"; a training with a time budget names its round.
        images_per_second: None until it was measured.
    """

    epoch: float
    epochs: float
    val_accuracy: float | None
    phase: str = "train"
    images_per_second: int | None = None


@dataclass(slots=True)
class Progress:
    """The counters of one training; mutable, owned by its `Training`.

    Attributes:
        step: optimizer steps made since initialization (a ticket starts at its rewind step).
        curves: completed epochs.
        loss_sum, correct, seen: sums over the samples of the current epoch.
        best_epoch, best_accuracy: the first epoch of the best validation accuracy so far; 0 and -inf at first.
        seconds_epoch: wall time of the current epoch so far.
        seconds_train: wall time of all completed epochs.
        samples: number of samples trained on.
    """

    step: int
    curves: list[CurveRow] = field(default_factory=list)
    loss_sum: float = 0.0
    correct: int = 0
    seen: int = 0
    best_epoch: int = 0
    best_accuracy: float = -math.inf
    seconds_epoch: float = 0.0
    seconds_train: float = 0.0
    samples: int = 0

    def count(self, samples: int) -> None:
        """Count one step over a number of samples."""
        self.step += 1
        self.seen += samples
        self.samples += samples

    def finish_epoch(self, epoch: int, score: Score, rate: float) -> None:
        """Add the row of the current epoch, counted from 1, and reset the sums."""
        self.curves.append(
            CurveRow(
                epoch=epoch,
                step=self.step,
                train_loss=self.loss_sum / self.seen,
                train_accuracy=self.correct / self.seen,
                val_loss=score.loss,
                val_accuracy=score.accuracy,
                lr=rate,
                seconds=self.seconds_epoch,
            )
        )
        self.seconds_train += self.seconds_epoch
        self.seconds_epoch = self.loss_sum = 0.0
        self.correct = self.seen = 0

    def to_dict(self) -> dict[str, JsonValue]:
        """Plain values for JSON, which keeps floats exactly."""
        values: dict[str, JsonValue] = _SCHEMA.dump_python(self)
        return values

    @classmethod
    def from_dict(cls, values: object) -> Progress:
        """Undo `to_dict`; other values than those of a progress are ignored.

        Raises:
            ValueError: if a value is missing or of another type.
        """
        return _SCHEMA.validate_python(values)


_SCHEMA = TypeAdapter(Progress)
