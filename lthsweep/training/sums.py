"""Losses and logits that wait on the device to be added to the progress of a training: reading waits for it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lthsweep.training.progress import Progress
from lthsweep.training.step import Outcome

__all__ = ["Sums"]

_MOST_UNREAD = 1024
"""Steps whose losses may wait."""

_MOST_UNJUDGED = 32
"""Steps whose logits may wait to be compared with their labels. One by one takes 1 % of a step of LeNet."""


class Sums:
    """What steps left on the device, of one training or of several that take their steps together.

    Args:
        progress: of each of them.
    """

    def __init__(self, progress: Sequence[Progress]) -> None:
        self._progress = progress
        self._losses: list[Tensor] = []
        self._logits: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._sizes: list[int] = []
        self._right: list[Tensor] = []

    def add(self, outcome: Outcome, labels: Tensor) -> None:
        """Take note of one step."""
        loss, logits = outcome
        self._losses.append(loss)
        self._logits.append(logits)
        self._labels.append(labels)
        self._sizes.append(len(labels))
        if len(self._logits) == _MOST_UNJUDGED:
            self._judge()
        if len(self._losses) == _MOST_UNREAD:
            self.read()

    def read(self) -> None:
        """Add one step after the other: the order of additions is part of the result."""
        if not self._losses:
            return
        self._judge()
        by_step = torch.stack(self._losses).view(len(self._losses), -1).double().tolist()
        right = torch.stack(self._right).sum(0).tolist()
        for number, progress in enumerate(self._progress):
            for losses, size in zip(by_step, self._sizes, strict=True):
                progress.loss_sum += losses[number] * size
            progress.correct += right[number]
        for waiting in (self._losses, self._sizes, self._right):
            waiting.clear()

    def _judge(self) -> None:
        """Count the samples that have their label's logit as the largest; nothing waits for the device."""
        if self._logits:
            steps, members = len(self._logits), len(self._progress)
            predicted = torch.stack(self._logits).argmax(-1).view(steps, members, -1)
            self._right.append((predicted == torch.stack(self._labels)[:, None]).sum((0, 2)))
            self._logits.clear()
            self._labels.clear()
