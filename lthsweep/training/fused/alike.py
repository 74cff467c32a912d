"""What trainings must have in common to take their steps as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from lthsweep.errors import TrainingError
from lthsweep.training.loop import Training

__all__ = ["check_alike"]


def check_alike(trainings: Sequence[Training]) -> None:
    """Make sure that trainings agree on everything but weights, masks, and what they have come to.

    Raises:
        TrainingError: if they do not.
    """
    if not trainings:
        raise TrainingError("there is no training in this ensemble; give one at least")
    leader = trainings[0]
    expected = _common(leader)
    for training in trainings[1:]:
        found = _common(training)
        for what, value in expected.items():
            if found[what] != value:
                raise TrainingError(
                    f"trainings that differ in {what} cannot be trained as one: {value} here, {found[what]} there; "
                    f"put them into different bundles"
                )
        if training.data is not leader.data and not _same_batch(training, leader):
            raise TrainingError(
                "trainings on different batches cannot be trained as one; put them into different bundles"
            )


def _common(training: Training) -> dict[str, Any]:
    """By names for a message, in the order in which they are told."""
    state = training.optimizer.state
    return {
        "the step where they go on": training.progress.step,
        "train options": dict(training.options),
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
        "what their optimizers remember": {
            name: {entry: float(value) if entry == "step" else None for entry, value in state[weight].items()}
            for name, weight in training.model.named_parameters()
            if weight in state
        },
    }


def _same_batch(training: Training, other: Training) -> bool:
    batches = (next(iter(one.data.train.epoch(0))) for one in (training, other))
    return all(torch.equal(left, right) for left, right in zip(*batches, strict=True))
