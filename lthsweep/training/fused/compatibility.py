"""Whether a training may be one of several that take their steps as one, found out by trying.

A list of layers that can be batched would be too long today and wrong tomorrow. So two copies of the network take one
step alone and one as an ensemble, and losses, gradients, statistics and scores are compared: a layer that cannot be
batched, draws other random numbers then, or depends on its neighbor shows.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lthsweep.training.evaluation import tally_of, total
from lthsweep.training.fused.ensemble import Ensemble
from lthsweep.training.loop import Training, copy_of
from lthsweep.training.random_layers import isolated_generators, seed_generators
from lthsweep.training.step import gradients_of
from lthsweep.training.team import Alone, Team

__all__ = ["reason_not_fusible"]

_SAMPLES = 8

_TOLERANCE = 1e-2
"""Of norms, relative. Other kernels round otherwise, TF32 by 1e-3; what is computed wrongly is wrong by a tenth."""

Numbers = dict[str, Tensor]


def reason_not_fusible(training: Training) -> str | None:
    """Why a training cannot be one of an ensemble; None if it can."""
    if type(training) is not Training or training.stretch is not None:
        return "it plans its epochs by the clock, and no two do so alike"
    if training.lasso is not None:
        return "train.group_lasso shrinks filters of one network after each step"
    images, labels = next(iter(training.data.train.epoch(0)))
    return _by_trying(training, images[:_SAMPLES], labels[:_SAMPLES])


def _by_trying(training: Training, images: Tensor, labels: Tensor) -> str | None:
    """In fp32, where two ways to the same number differ by little; bf16 need only be possible."""
    with isolated_generators(images.device):
        alone = [_numbers_of(Alone(copied), images, labels) for copied in _copies(training, "fp32")]
        try:
            for precision in sorted({training.precision, "fp32"}):
                with Ensemble(_copies(training, precision)) as ensemble:
                    fused = _numbers_of(ensemble, images, labels)
        except torch.OutOfMemoryError:  # says nothing about the network
            raise
        except Exception as error:  # of any layer, in any way
            return (
                f"its network cannot be batched: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
            )
    for number, expected in enumerate(alone):
        for what, value in expected.items():
            apart = torch.linalg.vector_norm(fused[what][number] - value[0])
            if not apart <= _TOLERANCE * torch.linalg.vector_norm(value[0]):
                return (
                    f"its network has other {what} when it is batched: "
                    f"random layers draw otherwise then, or a layer sees more than its own network"
                )
    return None


def _copies(training: Training, precision: str) -> Sequence[Training]:
    """Two that differ in their weights."""
    copies = [copy_of(training, precision=precision) for _ in range(2)]
    with torch.no_grad():
        for weight in copies[1].model.parameters():
            weight.mul_(0.9)
    return copies


def _numbers_of(team: Team, images: Tensor, labels: Tensor) -> Numbers:
    """What is compared, each [K, ...] in double precision."""
    members = len(team.members)
    model = team.members[0].model.train()
    seed_generators(0, images.device)
    losses, _ = gradients_of(team.outcome, team.parameters, team.multipliers)(images, labels)
    gradients = [
        parameter.grad.reshape(members, -1)
        for parameter in team.parameters.values()
        if parameter.grad is not None
    ]
    statistics = [  # without counts of steps: late in a training these are so large that nothing else would show
        buffer.reshape(members, -1) for buffer in team.buffers.values() if buffer.is_floating_point()
    ]
    precision = team.members[0].precision
    tally = team.tally if isinstance(team, Ensemble) else tally_of(model, precision=precision)
    model.eval()
    scores = total(tally, [(images, labels)], members)
    return {
        "losses": losses.double().view(members, 1),
        "gradients": torch.cat(gradients, 1).double(),
        "statistics": torch.cat([torch.zeros(members, 1, device=images.device), *statistics], 1).double(),
        "scores": torch.tensor([score.loss for score in scores]).view(members, 1),
    }
