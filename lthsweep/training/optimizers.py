"""Optimizers by name, and their state as named tensors.

torch's own implementations. Their state is stored by parameter name, not by position, so that a snapshot can be read
without building the optimizer, and a ticket can take over the momenta of surviving weights only.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from lthsweep.errors import TrainingError

__all__ = ["OPTIMIZERS", "OptimizerOptions", "optimizer_state", "restore_optimizer", "without_compiler"]

_Optimizer = TypeVar("_Optimizer", bound=torch.optim.Optimizer)


def without_compiler(kind: type[_Optimizer]) -> type[_Optimizer]:
    """The same optimizer without the hooks for `torch.compile`: same steps, same name.

    torch wraps methods of its optimizers so that a compiler can break its graphs there. The wrappers import the
    compiler, a thousand modules with sympy among them, when the first optimizer is made: more than a second of
    processor time at the start of every worker. Steps here are never compiled.

    Args:
        kind: class of `torch.optim`, not differentiable.
    """
    plain = {
        "add_param_group": inspect.unwrap(kind.add_param_group),
        "step": torch.no_grad()(inspect.unwrap(kind.step)),
        "__doc__": kind.__doc__,
        "__module__": __name__,
    }
    return type(kind.__name__, (kind,), plain)


_SGD, _ADAM, _ADAMW = (
    without_compiler(torch.optim.SGD),
    without_compiler(torch.optim.Adam),
    without_compiler(torch.optim.AdamW),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerOptions(ABC):
    """Options that all optimizers have; `lr` is the highest learning rate of the schedule."""

    lr: float
    weight_decay: float

    @abstractmethod
    def build(self, parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
        """A fresh optimizer of these parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SGD(OptimizerOptions):
    """Stochastic gradient descent with (Nesterov) momentum and L2 weight decay."""

    momentum: float
    nesterov: bool

    def build(self, parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
        """Torch's fused SGD."""
        return _SGD(
            parameters,
            lr=self.lr,
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
            fused=True,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Adam(OptimizerOptions):
    """Adam (Kingma & Ba 2015, arXiv:1412.6980); weight decay as L2 in the gradient."""

    beta1: float
    beta2: float
    eps: float

    def build(self, parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
        """Torch's fused Adam."""
        return self._build(_ADAM, parameters)

    def _build(self, kind: type[torch.optim.Adam], parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
        return kind(
            parameters,
            lr=self.lr,
            betas=(self.beta1, self.beta2),
            eps=self.eps,
            weight_decay=self.weight_decay,
            fused=True,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv:1711.05101)."""

    def build(self, parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
        """Torch's fused AdamW."""
        return self._build(_ADAMW, parameters)


OPTIMIZERS: Mapping[str, type[OptimizerOptions]] = {"adam": Adam, "adamw": AdamW, "sgd": SGD}


def optimizer_state(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, Tensor]:
    """The state as "PARAMETER:ENTRY" → tensor, for example "fc.weight:momentum_buffer"; empty at first."""
    return {
        f"{name}:{entry}": value
        for name, parameter in model.named_parameters()
        for entry, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, model: nn.Module, state: Mapping[str, Tensor]
) -> None:
    """Put a state made by `optimizer_state` into an optimizer of the same kind over the same model.

    Raises:
        TrainingError: if the state names a parameter that the model does not have.
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
            else value.clone().to(
                parameter.device if entry != "step" or _counts_on_device(optimizer) else "cpu"
            )
        )
        optimizer.state[parameter][entry] = tensor


def _counts_on_device(optimizer: torch.optim.Optimizer) -> bool:
    """Fused optimizers count their steps on the device of the parameters."""
    return bool(optimizer.defaults.get("fused") or optimizer.defaults.get("capturable"))
