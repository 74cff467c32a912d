"""SynFlow: a connection is worth the flow through it, in the network of absolute weights, without data.

Tanaka, Kunin, Yamins & Ganguli, NeurIPS 2020, arXiv:2006.05467, algorithm 1 with equation 2: with an input of ones,
R = 1ᵀ (∏ |θ[l]|) 1 is the sum over all paths, and the score of a weight is dR/dθ · θ, the part of R that passes it.
The flow into a unit equals the flow out of it. In a network without branches, the scores of every layer therefore have
the same sum: a layer with few weights left has high scores, and pruning in many small steps spares it.

This holds only if nothing is added on the way. Biases and BatchNorm's shifts are therefore set to zero, as in equation
2 (the authors' program keeps absolute biases), ReLU6, which saturates, is replaced by ReLU, and BatchNorm is in
evaluation mode, where at initialization it is a constant factor.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lthsweep.errors import PruningError
from lthsweep.pruning.scoring import ScoringContext

__all__ = ["synflow_scores"]

_REMEDY = 'use prune.method = "snip" or "magnitude"'

_WITHOUT_FLOW: Mapping[tuple[type, ...], str] = {
    (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.modules.instancenorm._InstanceNorm): (
        "which divides by the size of the signal or subtracts its mean, so the flow does not pass unchanged"
    ),
    (nn.RNNBase, nn.RNNCellBase): "whose gates saturate",
    (nn.MultiheadAttention,): "whose softmax does not grow with the signal",
}
"""Kinds of layers through which the sum over paths is not defined → the reason, which follows their name."""


def synflow_scores(context: ScoringContext) -> dict[str, Tensor]:
    """dR/dθ · θ of every weight, in double precision: over fifty layers the flow exceeds single precision.

    Only the shape of the batch's inputs is used.

    Raises:
        PruningError: if the flow is not finite, or a layer or weight of the network has no flow.
    """
    model = context.model
    for name, module in model.named_modules():
        for kinds, reason in _WITHOUT_FLOW.items():
            if isinstance(module, kinds):
                raise PruningError(f"SynFlow: {name} is a {type(module).__name__}, {reason}; {_REMEDY}")
    _replace_relu6(model)
    state: dict[str, Tensor] = {
        name: torch.zeros_like(parameter, dtype=torch.float64)
        if name.rpartition(".")[2] == "bias"
        else parameter.detach().abs().double()
        for name, parameter in model.named_parameters()
    }
    scored = {name: state[name].requires_grad_() for name in context.weights}
    for name, buffer in model.named_buffers():
        if name.rpartition(".")[2] == "running_mean":
            state[name] = torch.zeros_like(buffer, dtype=torch.float64)
        elif buffer.is_floating_point():
            state[name] = buffer.double()
    inputs, _ = context.batch
    kind = torch.float64 if inputs.is_floating_point() else torch.int64
    ones = torch.ones((1, *inputs.shape[1:]), dtype=kind, device=inputs.device)
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding):  # the signal of ones starts after the embedding
            state[f"{name}.weight"] = torch.ones_like(module.weight, dtype=torch.float64)
    flow = functional_call(model, state, (ones,)).sum()
    if not bool(torch.isfinite(flow)):
        raise PruningError(
            "SynFlow: the flow through the network is not finite even in double precision; check model.init"
        )
    gradients = torch.autograd.grad(flow, list(scored.values()), allow_unused=True)
    scores = {}
    for (name, weight), gradient in zip(scored.items(), gradients, strict=True):
        if gradient is None:
            raise PruningError(
                f"SynFlow: no flow reaches {name!r}; {_REMEDY}, or exclude it by prune.exclude"
            )
        scores[name] = gradient * weight.detach()
    return scores


def _replace_relu6(model: nn.Module) -> None:
    """ReLU6 passes no gradient above 6, and the flow is far above; ReLU is the same function without the limit."""
    for module in model.modules():
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Hardtanh):  # the base class of ReLU6
                setattr(module, name, nn.ReLU())
