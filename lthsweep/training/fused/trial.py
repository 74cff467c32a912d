"""Whether a network can be fused, determined by a trial.

A list of layers that can be batched would be too long today and wrong tomorrow. So two copies of the network take one
step alone and one step as an ensemble, and losses, gradients, statistics and scores are compared. A layer that cannot
be batched, draws other random numbers in a batch, or depends on other members shows a difference.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lthsweep.training.devices import isolated_generators, seed_generators
from lthsweep.training.evaluation import Score, evaluate
from lthsweep.training.fused.ensemble import Ensemble
from lthsweep.training.loop import GradientFunction, plain_gradients
from lthsweep.training.state import Training, copy_of

__all__ = ["reason_not_fusible"]

_SAMPLES = 8

_TOLERANCE = 1e-2
"""Of norms, relative. Other kernels round differently, TF32 by 1e-3; a wrong computation is off by a tenth."""

Numbers = dict[str, Tensor]


def reason_not_fusible(training: Training) -> str | None:
    """The reason why a training cannot be part of an ensemble; None if it can."""
    if type(training) is not Training or training.stretch is not None:
        return "it plans its epochs by its own clock"
    if training.lasso is not None:
        return "train.group_lasso shrinks filters of one network after each step"
    inputs, labels = next(iter(training.data.train.epoch(0)))
    return _difference(training, inputs[:_SAMPLES], labels[:_SAMPLES])


def _difference(training: Training, inputs: Tensor, labels: Tensor) -> str | None:
    """Compare in fp32, where two ways to the same number differ by little; bf16 must only be possible."""
    with isolated_generators(inputs.device):
        alone = [_alone(copied, inputs, labels) for copied in _copies(training, "fp32")]
        try:
            for precision in sorted({training.options.precision, "fp32"}):
                with Ensemble(_copies(training, precision)) as ensemble:
                    fused = _fused(ensemble, inputs, labels)
        except torch.OutOfMemoryError:  # no property of the network
            raise
        except Exception as error:  # any layer can raise anything
            return (
                f"its network cannot be batched: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
            )
    for number, expected in enumerate(alone):
        for what, value in expected.items():
            distance = torch.linalg.vector_norm(fused[what][number] - value[0])
            if not distance <= _TOLERANCE * torch.linalg.vector_norm(value[0]):
                return (
                    f"its network has other {what} when it is batched: "
                    f"a random layer draws other numbers, or a layer depends on other members"
                )
    return None


def _copies(training: Training, precision: str) -> Sequence[Training]:
    """Two copies that differ in their weights."""
    copies = [copy_of(training, precision=precision) for _ in range(2)]
    with torch.no_grad():
        for weight in copies[1].model.parameters():
            weight.mul_(0.9)
    return copies


def _alone(training: Training, inputs: Tensor, labels: Tensor) -> Numbers:
    training.model.train()
    numbers = _numbers(training, plain_gradients(training), inputs, labels, 1)
    score = evaluate(training.model, [(inputs, labels)], precision=training.options.precision)
    return numbers | _losses([score])


def _fused(ensemble: Ensemble, inputs: Tensor, labels: Tensor) -> Numbers:
    ensemble.model.train()
    numbers = _numbers(ensemble, ensemble.gradients(), inputs, labels, len(ensemble.members))
    return numbers | _losses(ensemble.scores([(inputs, labels)]))


def _numbers(
    training: Training, gradient_function: GradientFunction, inputs: Tensor, labels: Tensor, members: int
) -> Numbers:
    """Numbers of one step to compare, each [K, ...] in double precision."""
    seed_generators(0, inputs.device)
    losses, _ = gradient_function(inputs, labels)
    gradients = [
        parameter.grad.reshape(members, -1)
        for parameter in training.parameters.values()
        if parameter.grad is not None
    ]
    statistics = [  # without counts of steps: late in a training they are so large that nothing else would show
        buffer.reshape(members, -1) for buffer in training.buffers.values() if buffer.is_floating_point()
    ]
    return {
        "losses": losses.double().view(members, 1),
        "gradients": torch.cat(gradients, 1).double(),
        "statistics": torch.cat([torch.zeros(members, 1, device=inputs.device), *statistics], 1).double(),
    }


def _losses(scores: Sequence[Score]) -> Numbers:
    return {"scores": torch.tensor([score.loss for score in scores]).view(-1, 1)}
