"""SynFlow: a connection is worth the flow through it, in the network of absolute weights, without any data.

Tanaka, Kunin, Yamins & Ganguli, NeurIPS 2020, arXiv:2006.05467, algorithm 1 with equation 2: with an input of ones,
R = 1ᵀ (∏ |θ[l]|) 1 is the sum over all paths, and the score of a weight is dR/dθ · θ, the part of R that passes it.
What flows into a unit flows out of it. So in a network without branches the scores of every layer have the same sum:
a layer that has few weights left has high scores, and pruning in many small steps spares it.

That holds where nothing is added on the way. So biases and BatchNorm's shifts are left out, as in equation 2 (the
authors' program keeps absolute biases), activations that saturate (ReLU6) are taken as ReLU, and BatchNorm is in
evaluation mode, where at initialization it is a constant factor.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lthsweep.errors import PruningError

__all__ = ["synflow_scores"]


def synflow_scores(model: nn.Module, names: Sequence[str], batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    """dR/dθ · θ of every weight, in double precision: over fifty layers the flow exceeds single precision.

    Args:
        model: as it stands, pruned weights zero; its modes and activations may change, its weights do not.
        names: of the weights to score, in layer order.
        batch: only the shape and the device of its images are used.

    Raises:
        PruningError: if the flow is not finite, or the network normalizes layers.
    """
    normed = next((name for name, module in model.named_modules() if isinstance(module, nn.LayerNorm)), None)
    if normed is not None:
        raise PruningError(
            f"SynFlow: {normed} is a LayerNorm, which takes the mean off a signal of ones and lets nothing flow; use "
            f'prune.method = "snip" or "magnitude"'
        )
    model.eval()
    _take_off_ceilings(model)
    state: dict[str, Tensor] = {
        name: torch.zeros_like(parameter, dtype=torch.float64)
        if name.rpartition(".")[2] == "bias"
        else parameter.detach().abs().double()
        for name, parameter in model.named_parameters()
    }
    scored = [state[name].requires_grad_() for name in names]
    for name, buffer in model.named_buffers():
        if name.rpartition(".")[2] == "running_mean":
            state[name] = torch.zeros_like(buffer, dtype=torch.float64)
        elif buffer.is_floating_point():
            state[name] = buffer.double()
    images = batch[0]
    kind = torch.float64 if images.is_floating_point() else torch.int64
    ones = torch.ones((1, *images.shape[1:]), dtype=kind, device=images.device)
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding):  # the ones that flow are those behind the table of tokens
            state[f"{name}.weight"] = torch.ones_like(module.weight, dtype=torch.float64)
    flow = functional_call(model, state, (ones,)).sum()
    if not bool(torch.isfinite(flow)):
        raise PruningError(
            "SynFlow: the flow through the network is not finite even in double precision; check model.init"
        )
    gradients = torch.autograd.grad(flow, scored)
    return {
        name: gradient * weight.detach()
        for name, gradient, weight in zip(names, gradients, scored, strict=True)
    }


def _take_off_ceilings(model: nn.Module) -> None:
    """ReLU6 passes no gradient above 6, and the flow is far above; ReLU is the same line without the ceiling."""
    for module in model.modules():
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Hardtanh):  # ReLU6 is one
                setattr(module, name, nn.ReLU())
