"""Dropout of a batched network, drawn as each network by itself would draw it.

`vmap` gives all members the same mask, as they should have it; but on a GPU it draws that mask by another kernel than
dropout of one network does, and from the same seed come other numbers. So the mask is what dropout makes of ones of one
network's shape, drawn outside of the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._functorch.pyfunctorch import temporarily_pop_interpreter_stack
from torch.nn import functional
from torch.overrides import TorchFunctionMode

__all__ = ["DrawnAlone", "has_dropout"]


class DrawnAlone(TorchFunctionMode):
    """While it is entered, inside of `vmap`, every `functional.dropout` is drawn so."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Called by torch for every function of its own."""
        if func is functional.dropout:
            return _dropout(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def has_dropout(model: nn.Module) -> bool:
    """Whether there is any that drops something."""
    return any(isinstance(module, nn.Dropout) and module.p > 0 for module in model.modules())


def _dropout(signal: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    if not training:
        return signal
    with temporarily_pop_interpreter_stack():
        ones = torch.ones(signal.shape, dtype=signal.dtype, device=signal.device)
        factors = functional.dropout(ones, p)
    if signal.is_cuda and p < 1:
        # There the kernel for one network scales in float32, whatever the precision of the signal.
        return signal * (1 / (1 - p)) * (factors != 0)
    return signal * factors
