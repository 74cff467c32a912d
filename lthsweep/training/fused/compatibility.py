"""What trainings must have in common to be fused."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from lthsweep.errors import TrainingError
from lthsweep.training.state import Training

__all__ = ["check_can_fuse"]


def check_can_fuse(trainings: Sequence[Training]) -> None:
    """Verify that trainings differ only in weights, masks and progress.

    Raises:
        TrainingError: if they differ in anything else; it names the first difference.
    """
    if not trainings:
        raise TrainingError("an ensemble needs at least one training")
    leader = trainings[0]
    expected = _common(leader)
    for training in trainings[1:]:
        found = _common(training)
        for what, value in expected.items():
            if found[what] != value:
                raise TrainingError(
                    f"trainings that differ in {what} cannot be fused: {value} and {found[what]}; "
                    f"put them into different ensembles"
                )
        if training.data is not leader.data and not _same_batch(training, leader):
            raise TrainingError(
                "trainings on different batches cannot be fused; put them into different ensembles"
            )


def _common(training: Training) -> dict[str, object]:
    """Names for a message, in the order in which differences are reported."""
    state = training.optimizer.state
    return {
        "the current step": training.progress.step,
        "train options": training.options,
        "seed": training.seed,
        "learning rate": training.constant_rate,
        "network": str(training.model),
        "tensors": {
            name: (tuple(tensor.shape), tensor.dtype, tensor.device)
            for name, tensor in training.model.state_dict().items()
        },
        "frozen parameters": [
            name for name, weight in training.model.named_parameters() if not weight.requires_grad
        ],
        "masked layers": list(training.multipliers),
        "optimizer state": {
            name: {entry: float(value) if entry == "step" else None for entry, value in state[weight].items()}
            for name, weight in training.model.named_parameters()
            if weight in state
        },
    }


def _same_batch(training: Training, other: Training) -> bool:
    batches = (next(iter(one.data.train.epoch(0))) for one in (training, other))
    return all(torch.equal(left, right) for left, right in zip(*batches, strict=True))
