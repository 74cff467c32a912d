"""Optimizers by name, and their state as named arrays.

torch's own implementations. Their state is kept by parameter name, not by position, so that a snapshot can be
read without building the optimizer and a ticket can take over the momenta of surviving weights only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from lthsweep.errors import TrainingError, look_up
from lthsweep.training.eager import eager

__all__ = ["OPTIMIZERS", "build_optimizer", "optimizer_over", "optimizer_state", "restore_optimizer"]

_SGD, _ADAM, _ADAMW = eager(torch.optim.SGD), eager(torch.optim.Adam), eager(torch.optim.AdamW)

Parameters = Iterable[torch.Tensor]


def sgd(parameters: Parameters, options: Mapping[str, Any]) -> torch.optim.Optimizer:
    """Stochastic gradient descent with (Nesterov) momentum and L2 weight decay."""
    return _SGD(
        parameters,
        lr=options["lr"],
        momentum=options["momentum"],
        nesterov=options["nesterov"],
        weight_decay=options["weight_decay"],
        fused=True,
    )


def adam(parameters: Parameters, options: Mapping[str, Any]) -> torch.optim.Optimizer:
    """Adam (Kingma & Ba 2015, arXiv:1412.6980); weight decay as L2 in the gradient."""
    return _ADAM(parameters, **_adam_options(options))


def adamw(parameters: Parameters, options: Mapping[str, Any]) -> torch.optim.Optimizer:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv:1711.05101)."""
    return _ADAMW(parameters, **_adam_options(options))


def _adam_options(options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "lr": options["lr"],
        "betas": (options["beta1"], options["beta2"]),
        "eps": options["eps"],
        "weight_decay": options["weight_decay"],
        "fused": True,
    }


OPTIMIZERS: Mapping[str, Callable[[Parameters, Mapping[str, Any]], torch.optim.Optimizer]] = {
    "adam": adam,
    "adamw": adamw,
    "sgd": sgd,
}


def build_optimizer(model: nn.Module, options: Mapping[str, Any]) -> torch.optim.Optimizer:
    """The optimizer of the `train.optimizer` table over all parameters of the model."""
    return optimizer_over(model.parameters(), options)


def optimizer_over(parameters: Parameters, options: Mapping[str, Any]) -> torch.optim.Optimizer:
    """The optimizer of the `train.optimizer` table over some tensors."""
    return look_up("optimizer", options["name"], OPTIMIZERS)(parameters, options)


def optimizer_state(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, torch.Tensor]:
    """The state as `"PARAMETER:ENTRY"` → tensor, such as `"fc.weight:momentum_buffer"`; first empty."""
    found = {}
    for name, parameter in model.named_parameters():
        for entry, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, torch.Tensor):
                found[f"{name}:{entry}"] = value
    return found


def restore_optimizer(
    optimizer: torch.optim.Optimizer, model: nn.Module, state: Mapping[str, torch.Tensor]
) -> None:
    """Put a state made by `optimizer_state` into an optimizer of the same kind over the same model.

    Raises:
        TrainingError: if the state is of a parameter that the model has not.
    """
    parameters = dict(model.named_parameters())
    optimizer.state.clear()
    for joint, value in state.items():
        name, _, entry = joint.rpartition(":")
        if name not in parameters:
            raise TrainingError(
                f"the snapshot holds optimizer state of {name!r}, which is no parameter of the model; "
                f"it belongs to another model: `lthsweep doctor SWEEP` checks the weights"
            )
        parameter = parameters[name]
        like_parameter = value.shape == parameter.shape
        tensor = (
            torch.empty_like(parameter).copy_(value)  # keeps the parameter's memory format
            if like_parameter
            else value.clone().to(parameter.device if entry != "step" or _on_device(optimizer) else "cpu")
        )
        optimizer.state[parameter][entry] = tensor


def _on_device(optimizer: torch.optim.Optimizer) -> bool:
    """Fused optimizers count their steps on the parameters' device."""
    return bool(optimizer.defaults.get("fused") or optimizer.defaults.get("capturable"))
