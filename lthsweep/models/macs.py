"""Cost of a network: parameters and multiply-accumulates, dense and with the weights that a mask keeps.

A weight of a convolution is multiplied once per output position, for any number of groups: the weight tensor of a
grouped convolution has only `in_channels / groups` input channels. So multiply-accumulates = weights x output
positions, and what remains after pruning = weights kept x output positions. The positions of a transposed convolution
are those of its input, of a recurrent layer the steps in time. Counted on one image or text are convolutions, linear,
recurrent and attention layers, padding as if it were data; biases, normalization and pooling are not. This is the
convention of the MobileNetV2 paper (300 M) and of torchvision's model table (0.301 G). Products of two signals, such as
queries with keys in attention, are counted in both numbers: no mask makes them less.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from lthsweep.errors import ModelError
from lthsweep.models.layers import ConvTransposed, weight_names
from lthsweep.models.shapes import InputShape, TextShape

__all__ = ["NetworkCost", "blank_input", "evaluating", "network_cost"]


@dataclass(frozen=True)
class NetworkCost:
    """Counts of one network on one image.

    Attributes:
        params_total: all parameters, with biases and BatchNorm; shared ones count once.
        params_prunable: weights that a mask covers; without masks, all weights of layers that can be pruned.
        params_remaining: of these, the weights kept.
        macs_dense: multiply-accumulates of the dense network.
        macs_remaining: multiply-accumulates with weights that are kept.
        uncounted: weights whose use was not seen: not needed for a prediction, or used by an operation that is not
            counted here.
    """

    params_total: int
    params_prunable: int
    params_remaining: int
    macs_dense: int
    macs_remaining: int
    uncounted: tuple[str, ...] = ()


def network_cost(
    model: nn.Module, input_shape: InputShape, masks: Mapping[str, Tensor] | None = None
) -> NetworkCost:
    """Count parameters and multiply-accumulates by one forward pass over a blank image or text.

    The model is left as it was: modes restored, BatchNorm statistics and random state untouched.

    Args:
        model: on any device.
        input_shape: (channels, height, width), or a `TextShape`.
        masks: parameter name → bool tensor of the parameter's shape, True = kept. A layer without a mask
            counts as not prunable and costs what it costs dense. None: every weight of a layer, all kept.

    Raises:
        ModelError: if a mask's name is not the weight of a layer, or its shape differs.
    """
    weights = _weights(model)
    if masks is None:
        prunable = kept = sum(weight.numel() for weight in weights.values())
    else:
        for name, mask in masks.items():
            _check_mask(name, mask, weights)
        prunable = sum(mask.numel() for mask in masks.values())
        kept = sum(int(mask.sum()) for mask in masks.values())
    counter = _Counter(weights)
    with counter.watching(model), evaluating(model), torch.no_grad():
        model(blank_input(input_shape, next(model.parameters())))
    dense = remaining = counter.products
    for name, rows, positions in counter.uses:
        weight = weights[name][rows]
        pruned = (masks or {}).get(name)
        dense += weight.numel() * positions
        remaining += (weight.numel() if pruned is None else int(pruned[rows].sum())) * positions
    return NetworkCost(
        params_total=sum(parameter.numel() for parameter in model.parameters()),
        params_prunable=prunable,
        params_remaining=kept,
        macs_dense=dense,
        macs_remaining=remaining,
        uncounted=tuple(weights.keys() - {name for name, *_ in counter.uses}),
    )


def _weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """Weights of layers by their first name, each once."""
    found = {
        id(module._parameters[name])
        for module in model.modules()
        for name in weight_names(module)
        if module._parameters.get(name) is not None
    }
    return {name: parameter for name, parameter in model.named_parameters() if id(parameter) in found}


def _check_mask(name: str, mask: Tensor, weights: Mapping[str, nn.Parameter]) -> None:
    if name not in weights:
        raise ModelError(
            f"mask {name!r} belongs to no convolution, linear, recurrent or attention weight of the model"
        )
    expected = tuple(weights[name].shape)
    if tuple(mask.shape) != expected:
        raise ModelError(f"mask {name!r} has shape {tuple(mask.shape)}, its weight {expected}")


class _Counter(TorchFunctionMode):
    """Sees every layer and every product of a forward pass.

    Attributes:
        uses: (weight, its rows, number of times that each of them is multiplied), in any number per weight.
        products: multiply-accumulates without a weight of a layer.
    """

    def __init__(self, weights: Mapping[str, nn.Parameter]) -> None:
        super().__init__()
        self.uses: list[tuple[str, slice, int]] = []
        self.products = 0
        self._names = {weight.data_ptr(): name for name, weight in weights.items()}
        self._weights = weights
        self._inside = 0

    @contextmanager
    def watching(self, model: nn.Module) -> Iterator[None]:
        """Count until the end of the block."""
        handles = []
        for module in model.modules():
            if weight_names(module):
                handles.append(module.register_forward_pre_hook(self._enter))
                handles.append(module.register_forward_hook(self._leave, with_kwargs=True))
        fast = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)  # it passes by the layers inside of an encoder
        try:
            with self:
                yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)
            for handle in handles:
                handle.remove()

    def __torch_function__(
        self, func: Callable[..., Any], types: object, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        if not self._inside:
            self._count_call(func, args, kwargs or {}, output)
        return output

    def _enter(self, module: nn.Module, inputs: object) -> None:
        self._inside += 1

    def _leave(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        self._inside -= 1
        if self._inside:
            return
        signals = [*args, *kwargs.values()]
        if isinstance(module, nn.MultiheadAttention):
            self._count_attention(module, *signals[:3])
            return
        for name in weight_names(module):
            self._use(getattr(module, name), _positions(module, signals[0], output))

    def _use(self, weight: Tensor, positions: int, rows: slice = slice(None)) -> None:
        name = self._names.get(weight.data_ptr())
        if name is None or weight.numel() != self._weights[name].numel():  # computed, or a part of a weight
            self.products += weight[rows].numel() * positions
        else:
            self.uses.append((name, rows, positions))

    def _count_attention(
        self, module: nn.MultiheadAttention, query: Tensor, key: Tensor, value: Tensor
    ) -> None:
        width = module.embed_dim
        targets, sources = query.numel() // query.shape[-1], key.numel() // key.shape[-1]
        if module._qkv_same_embed_dim:
            self._use(module.in_proj_weight, targets, slice(0, width))
            self._use(module.in_proj_weight, sources, slice(width, None))
        else:
            self._use(module.q_proj_weight, targets)
            self._use(module.k_proj_weight, sources)
            self._use(module.v_proj_weight, sources)
        self._use(module.out_proj.weight, targets)
        self.products += 2 * targets * sources * width

    def _count_call(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        if func is functional.scaled_dot_product_attention:
            query, key, value = (*args, *kwargs.values())[:3]
            self.products += query.numel() * key.shape[-2] + output.numel() * value.shape[-2]
        elif func is functional.linear:
            signal, weight = (*args, *kwargs.values())[:2]
            self._use(weight, signal.numel() // signal.shape[-1])
        elif func in _CONVOLUTIONS:
            weight = (*args, *kwargs.values())[1]
            self._use(weight, output.numel() // output.shape[1])
        elif func in _PRODUCTS:
            left, right = (*args, *kwargs.values())[:2]
            self._count_product(left, right, output)
        elif func is torch.functional.einsum or func is torch.einsum:
            self._count_einsum(*args)

    def _count_product(self, left: Tensor, right: Tensor, output: Tensor) -> None:
        for factor in (left, right):
            if factor.data_ptr() in self._names:
                self._use(factor, output.numel() * left.shape[-1] // factor.numel())
                return
        self.products += output.numel() * left.shape[-1]

    def _count_einsum(self, equation: Any, *operands: Any) -> None:
        if not isinstance(equation, str) or "." in equation:
            return
        inputs = equation.replace(" ", "").partition("->")[0].split(",")
        tensors = operands[0] if isinstance(operands[0], list | tuple) else operands
        sizes = {
            letter: size
            for letters, tensor in zip(inputs, tensors, strict=True)
            for letter, size in zip(letters, tensor.shape, strict=True)
        }
        if len(tensors) == 2:
            factor = next((one for one in tensors if one.data_ptr() in self._names), None)
            total = math.prod(sizes.values())
            if factor is None:
                self.products += total
            else:
                self._use(factor, total // factor.numel())


_CONVOLUTIONS = frozenset({functional.conv1d, functional.conv2d, functional.conv3d})
_PRODUCTS = frozenset(
    {torch.matmul, torch.bmm, torch.mm, Tensor.matmul, Tensor.bmm, Tensor.mm, Tensor.__matmul__}
)


def _positions(module: nn.Module, signal: Any, output: Any) -> int:
    """How often each weight of a layer is multiplied in one call, for one sample."""
    if isinstance(module, nn.RNNBase):
        if isinstance(signal, nn.utils.rnn.PackedSequence):
            return int(signal.data.shape[0])
        return int(math.prod(signal.shape[:-1]))
    if isinstance(module, nn.RNNCellBase | nn.Linear):
        return int(math.prod(signal.shape[:-1]))
    if isinstance(module, ConvTransposed):
        return int(signal.numel()) // module.in_channels
    assert isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d)
    return int(output.numel()) // module.out_channels


def blank_input(input_shape: InputShape, like: Tensor) -> Tensor:
    """Return one blank image, or a text of unknown tokens, on the device of `like`."""
    if isinstance(input_shape, TextShape):
        return torch.ones(
            (1, input_shape.length), device=like.device, dtype=torch.int64
        )  # 0 would be no text
    return torch.zeros((1, *input_shape), device=like.device, dtype=like.dtype)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put the model into evaluation mode, and restore the mode of each module at the end."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
