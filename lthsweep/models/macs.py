"""Cost of a network: parameters and multiply-accumulates, dense and with the weights that a mask keeps.

A weight of a convolution is multiplied once per output position, for any number of groups: the weight tensor of a
grouped convolution has only `in_channels / groups` input channels. So multiply-accumulates = weights x output
positions, and what remains after pruning = weights kept x output positions. Counted are convolutions and
linear layers, on one image or text, padding as if it were data; biases, normalization and pooling are not. This is the
convention of the MobileNetV2 paper (300 M) and of torchvision's model table (0.301 G). Attention also multiplies
signals with signals, queries with keys and weights with values: no mask makes that less, and it is counted in both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lthsweep.errors import ModelError
from lthsweep.models.attention import AttentionProducts
from lthsweep.models.shapes import InputShape, TextShape

__all__ = ["NetworkCost", "blank_input", "evaluating", "network_cost"]

Layer = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear


@dataclass(frozen=True)
class NetworkCost:
    """Counts of one network on one image.

    Attributes:
        params_total: all parameters, with biases and BatchNorm.
        params_prunable: weights that a mask covers; without masks, all convolution and linear weights.
        params_remaining: of these, the weights kept.
        macs_dense: multiply-accumulates of the dense network.
        macs_remaining: multiply-accumulates with weights that are kept.
    """

    params_total: int
    params_prunable: int
    params_remaining: int
    macs_dense: int
    macs_remaining: int


def network_cost(
    model: nn.Module, input_shape: InputShape, masks: Mapping[str, Tensor] | None = None
) -> NetworkCost:
    """Count parameters and multiply-accumulates by one forward pass over a blank image or text.

    The model is left as it was: modes restored, BatchNorm statistics and random state untouched.

    Args:
        model: on any device.
        input_shape: (channels, height, width), or a `TextShape`.
        masks: parameter name → bool tensor of the parameter's shape, True = kept. A layer without a mask
            counts as not prunable and costs what it costs dense. None: every convolution and linear weight,
            all kept.

    Raises:
        ModelError: if a mask's name is not a convolution or linear weight, or its shape differs.
    """
    layers = {f"{name}.weight" if name else "weight": layer for name, layer in _layers(model)}
    if masks is None:
        kept = {name: layer.weight.numel() for name, layer in layers.items()}
        prunable = sum(kept.values())
    else:
        kept = {name: _kept(name, mask, layers) for name, mask in masks.items()}
        prunable = sum(mask.numel() for mask in masks.values())
    positions, products = _uses(model, layers, input_shape)
    return NetworkCost(
        params_total=sum(parameter.numel() for parameter in model.parameters()),
        params_prunable=prunable,
        params_remaining=sum(kept.values()),
        macs_dense=products + sum(layer.weight.numel() * positions[name] for name, layer in layers.items()),
        macs_remaining=products
        + sum(kept.get(name, layer.weight.numel()) * positions[name] for name, layer in layers.items()),
    )


def _layers(model: nn.Module) -> Iterator[tuple[str, Layer]]:
    for name, module in model.named_modules():
        if isinstance(module, Layer):
            yield name, module


def _kept(name: str, mask: Tensor, layers: Mapping[str, Layer]) -> int:
    if name not in layers:
        raise ModelError(f"mask {name!r} belongs to no convolution or linear weight of the model")
    expected = tuple(layers[name].weight.shape)
    if tuple(mask.shape) != expected:
        raise ModelError(f"mask {name!r} has shape {tuple(mask.shape)}, its weight {expected}")
    return int(mask.sum())


def _uses(model: nn.Module, layers: Mapping[str, Layer], input_shape: InputShape) -> tuple[Counter[str], int]:
    """How often each weight of a layer is used for one input, and the multiplications of attention without weights.

    A layer called twice counts twice.
    """
    positions: Counter[str] = Counter()
    products = 0

    def multiply(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal products
        query, key, value, _ = inputs
        products += query.numel() * key.shape[-2] + output.numel() * value.shape[-2]

    def recorder(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def record(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            outputs = layer.out_features if isinstance(layer, nn.Linear) else output.shape[1]
            positions[name] += output.numel() // int(outputs)

        return record

    handles = [layer.register_forward_hook(recorder(name)) for name, layer in layers.items()]
    handles += [
        module.register_forward_hook(multiply)
        for module in model.modules()
        if isinstance(module, AttentionProducts)
    ]
    try:
        with evaluating(model), torch.no_grad():
            model(blank_input(input_shape, next(model.parameters())))
    finally:
        for handle in handles:
            handle.remove()
    return positions, products


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
