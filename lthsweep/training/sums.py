"""Losses and logits of recent steps, which stay on the device until the loop needs their sums."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lthsweep.training.progress import Progress

__all__ = ["StepOutcome", "Sums"]

_MOST_LOSSES = 1024
"""Steps whose losses are kept before they are read."""

_MOST_LOGITS = 32
"""Steps whose logits are kept before they are compared with the labels; one by one takes 1 % of a step of LeNet."""


class StepOutcome(NamedTuple):
    """What a step computed, detached and on the device.

    Attributes:
        loss: mean loss of the batch, a scalar.
        logits: float32 [B, classes], before the update of the weights.
    """

    loss: Tensor
    logits: Tensor


class Sums:
    """Counts steps, and adds their losses and correct answers to a `Progress` later: reading waits for the device."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._losses: list[Tensor] = []
        self._sizes: list[int] = []
        self._logits: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._correct: list[Tensor] = []

    def add(self, outcome: StepOutcome, labels: Tensor) -> None:
        """Count one step."""
        self._progress.count(len(labels))
        self._keep(outcome, labels)

    def read(self) -> None:
        """Bring the progress up to date."""
        if not self._losses:
            return
        self._compare()
        losses = torch.stack(self._losses).double()
        self._add_to_progress(losses, torch.stack(self._correct).sum(0))
        for kept in (self._losses, self._sizes, self._correct):
            kept.clear()

    def _keep(self, outcome: StepOutcome, labels: Tensor) -> None:
        self._losses.append(outcome.loss)
        self._sizes.append(len(labels))
        self._logits.append(outcome.logits)
        self._labels.append(labels)
        if len(self._logits) == _MOST_LOGITS:
            self._compare()
        if len(self._losses) == _MOST_LOSSES:
            self.read()

    def _compare(self) -> None:
        """Count the samples whose largest logit is that of their label; does not wait for the device."""
        if self._logits:
            self._correct.append(self._count_correct(torch.stack(self._logits), torch.stack(self._labels)))
            self._logits.clear()
            self._labels.clear()

    def _count_correct(self, logits: Tensor, labels: Tensor) -> Tensor:
        return (logits.argmax(-1) == labels).sum()

    def _add_to_progress(self, losses: Tensor, correct: Tensor) -> None:
        add_losses(self._progress, losses.tolist(), self._sizes)
        self._progress.correct += int(correct)


def add_losses(progress: Progress, losses: list[float], sizes: list[int]) -> None:
    """Add mean losses of batches one after the other: the order of additions is part of the result."""
    for loss, size in zip(losses, sizes, strict=True):
        progress.loss_sum += loss * size
