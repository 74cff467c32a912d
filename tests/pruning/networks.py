"""Networks of every kind that couples channels in its own way, with BatchNorm that is not at its start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from lthsweep.models.build import build_model

NETWORKS: Mapping[str, tuple[tuple[int, int, int], Mapping[str, Any]]] = {
    "lenet_300_100": ((1, 8, 8), {}),
    "conv2": ((3, 4, 4), {}),
    "conv4": ((3, 8, 8), {}),
    "conv6": ((3, 8, 8), {}),
    "resnet20": ((3, 8, 8), {}),
    "vgg11": ((3, 16, 16), {}),
    "mobilenet_v2": ((3, 16, 16), {"strides": "cifar", "width": 0.35}),
}
"""Name → (input shape, options)."""


def network(name: str, seed: int = 0) -> tuple[nn.Module, tuple[int, int, int]]:
    """A network as after training, in evaluation mode, and the shape of its images."""
    shape, options = NETWORKS[name]
    model = build_model({"name": name, **options}, input_shape=shape, classes=10, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(torch.randn(module.num_features, generator=generator))
            module.running_var.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
            with torch.no_grad():
                module.weight.copy_(torch.randn(module.num_features, generator=generator))
                module.bias.copy_(torch.randn(module.num_features, generator=generator))
    return model.eval(), shape
