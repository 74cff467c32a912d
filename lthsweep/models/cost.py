"""What a network costs: parameters and multiply-accumulates, dense and with the weights that a mask leaves.

A weight of a convolution is multiplied once per output position, whatever the groups: the weight tensor of a
grouped convolution has only `in_channels / groups` input channels. So multiply-accumulates = weights x output
positions, and what remains after pruning = weights kept x output positions. Counted are convolutions and
linear layers, on one image, padding as if it were data; biases, BatchNorm and pooling are not. This is the
convention of the MobileNetV2 paper (300 M) and of torchvision's model table (0.301 G).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lthsweep.errors import ModelError
from lthsweep.models.shapes import InputShape

__all__ = ["Cost", "count"]

Layer = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear


@dataclass(frozen=True)
class Cost:
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


def count(model: nn.Module, input_shape: InputShape, masks: Mapping[str, Tensor] | None = None) -> Cost:
    """Count parameters and multiply-accumulates by one forward pass over a blank image.

    The model is left as it was: modes restored, BatchNorm statistics and random state untouched.

    Args:
        model: on any device.
        input_shape: (channels, height, width).
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
    positions = _output_positions(model, layers, input_shape)
    return Cost(
        params_total=sum(parameter.numel() for parameter in model.parameters()),
        params_prunable=prunable,
        params_remaining=sum(kept.values()),
        macs_dense=sum(layer.weight.numel() * positions[name] for name, layer in layers.items()),
        macs_remaining=sum(
            kept.get(name, layer.weight.numel()) * positions[name] for name, layer in layers.items()
        ),
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


def _output_positions(model: nn.Module, layers: Mapping[str, Layer], input_shape: InputShape) -> Counter[str]:
    """How often each weight of a layer is used for one image; a layer called twice counts twice."""
    positions: Counter[str] = Counter()

    def recorder(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def record(layer: nn.Module, inputs: Any, output: Tensor) -> None:
            outputs = layer.out_features if isinstance(layer, nn.Linear) else output.shape[1]
            positions[name] += output.numel() // int(outputs)

        return record

    like = next(model.parameters())
    handles = [layer.register_forward_hook(recorder(name)) for name, layer in layers.items()]
    try:
        with _evaluating(model), torch.no_grad():
            model(torch.zeros((1, *input_shape), device=like.device, dtype=like.dtype))
    finally:
        for handle in handles:
            handle.remove()
    return positions


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
