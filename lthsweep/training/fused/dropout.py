"""Dropout in a batched network that draws the same numbers as in a single network.

`vmap` gives all members the same dropout mask, as it should. But on a GPU it draws that mask with another kernel than
dropout of one network, and the same seed gives other numbers. So the mask is drawn outside the batch, as dropout of
ones in the shape of one network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._functorch.pyfunctorch import temporarily_pop_interpreter_stack
from torch.nn import functional
from torch.overrides import TorchFunctionMode

__all__ = ["MemberwiseDropout", "has_dropout"]


class MemberwiseDropout(TorchFunctionMode):
    """Replaces `functional.dropout` inside `vmap` while it is entered."""

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: Sequence[Any] = (),  # those of any function of torch
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:
        """Torch calls this for each of its functions."""
        if func is functional.dropout:
            return _dropout(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def has_dropout(model: nn.Module) -> bool:
    """True if a dropout layer of the model drops anything."""
    return any(isinstance(module, nn.Dropout) and module.p > 0 for module in model.modules())


def _dropout(signal: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    if not training:
        return signal
    with temporarily_pop_interpreter_stack():
        ones = torch.ones(signal.shape, dtype=signal.dtype, device=signal.device)
        factors = functional.dropout(ones, p)
    if signal.is_cuda and p < 1:
        # The CUDA kernel for one network scales in float32, whatever the precision of the signal.
        return signal * (1 / (1 - p)) * (factors != 0)
    return signal * factors
