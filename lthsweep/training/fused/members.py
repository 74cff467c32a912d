"""Tensors and sums of the members of an ensemble, stacked along a first dimension."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lthsweep.training.progress import Progress
from lthsweep.training.sums import StepOutcome, Sums, add_losses

__all__ = ["MemberSums", "is_elementwise", "stack", "stacked"]


class MemberSums(Sums):
    """`Sums` of all members: every outcome has losses [K] and logits [K, B, classes]."""

    def __init__(self, progress: Sequence[Progress]) -> None:
        super().__init__(progress[0])
        self._members = progress

    def add(self, outcome: StepOutcome, labels: Tensor) -> None:
        """Count one step of every member."""
        for progress in self._members:
            progress.count(len(labels))
        self._keep(outcome, labels)

    def _count_correct(self, logits: Tensor, labels: Tensor) -> Tensor:
        return (logits.argmax(-1) == labels[:, None]).sum((0, 2))

    def _add_to_progress(self, losses: Tensor, correct: Tensor) -> None:
        for progress, own, right in zip(self._members, losses.T.tolist(), correct.tolist(), strict=True):
            add_losses(progress, own, self._sizes)
            progress.correct += right


def stacked(members: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """`stack` of the tensors of each name."""
    return {name: stack([tensors[name] for tensors in members]) for name in members[0]}


@torch.no_grad()
def stack(tensors: Sequence[Tensor]) -> Tensor:
    """One tensor [K, ...] of which the given ones become views; in the memory format of the first."""
    first = tensors[0]
    strides = torch.empty_like(first, device="meta").stride()
    whole = torch.empty_strided(
        (len(tensors), *first.shape),
        (max(1, first.numel()), *strides),
        dtype=first.dtype,
        device=first.device,
    )
    for place, tensor in zip(whole, tensors, strict=True):
        place.copy_(tensor)
        tensor.data = place
    return whole


def is_elementwise(entry: str, value: object) -> bool:
    """True for momenta; False for the count of steps, which is one for all members."""
    return isinstance(value, Tensor) and entry != "step"
