"""Losses and predictions that wait on the device to be added to the progress of a training: reading waits for it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lthsweep.training.progress import Progress
from lthsweep.training.step import Outcome

__all__ = ["Sums"]

_MOST_UNREAD = 1024
"""Steps whose losses and predictions may wait."""


class Sums:
    """What steps left on the device, of one training or of several that take their steps together.

    Args:
        progress: of each of them.
    """

    def __init__(self, progress: Sequence[Progress]) -> None:
        self._progress = progress
        self._unread: list[tuple[Tensor, Tensor, Tensor]] = []

    def add(self, outcome: Outcome, labels: Tensor) -> None:
        """Take note of one step."""
        self._unread.append((*outcome, labels))
        if len(self._unread) == _MOST_UNREAD:
            self.read()

    def read(self) -> None:
        """Add one step after the other: the order of additions is part of the result."""
        if not self._unread:
            return
        losses, predicted, labels = zip(*self._unread, strict=True)
        steps, members = len(losses), len(self._progress)
        by_step = torch.stack(losses).view(steps, members).double().tolist()
        hits = torch.stack(predicted).view(steps, members, -1) == torch.stack(labels)[:, None]
        right = hits.sum((0, 2)).tolist()
        for number, progress in enumerate(self._progress):
            for row, classes in zip(by_step, labels, strict=True):
                progress.loss_sum += row[number] * len(classes)
            progress.correct += right[number]
        self._unread.clear()
