"""How far a training has come: everything that must survive an interruption, as plain numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["CurveRow", "Progress"]


@dataclass(frozen=True, slots=True)
class CurveRow:
    """One epoch: losses are mean cross-entropy in nats, accuracies fractions, validation NaN if there is
    none.

    Attributes:
        epoch: epochs completed since initialisation, so a ticket rewound to k starts at k + 1.
        step: optimiser steps made since initialisation.
        lr: learning rate of the epoch's last step.
        seconds: training and validation of this epoch; the wall clock, summed over interruptions.
    """

    epoch: int
    step: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    lr: float
    seconds: float


@dataclass(slots=True)
class Progress:
    """The counters of one training; mutable, owned by its `Training`.

    Attributes:
        step: optimiser steps made since initialisation (a ticket starts at its rewind step).
        curves: the epochs completed.
        loss_sum, correct, seen: sums over the samples of the epoch that is under way.
        best_epoch, best_accuracy: the first epoch of the best validation accuracy so far; 0 and -inf before
            any.
        seconds_epoch: spent on the epoch under way, before the last interruption.
        seconds_train: spent in all completed epochs.
        images: samples trained on.
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
    images: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; floats survive exactly through `repr`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Progress:
        """Undo `to_dict`."""
        return cls(**{**values, "curves": [CurveRow(**row) for row in values["curves"]]})
