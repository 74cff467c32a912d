"""Depthwise convolutions: the ordinary ones, but in float32 under autocast on a CPU."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lthsweep.models.build import build_model
from lthsweep.models.depthwise import DepthwiseConv2d, with_depthwise


@pytest.fixture(params=[1, 2], ids=["stride 1", "stride 2"])
def pair(request):
    """A depthwise layer of torch's, and ours of the same weights; images."""
    torch.manual_seed(0)
    theirs = nn.Conv2d(8, 8, 3, stride=request.param, padding=1, groups=8)
    ours = nn.Sequential(nn.Conv2d(8, 8, 3, stride=request.param, padding=1, groups=8))
    ours[0].load_state_dict(theirs.state_dict())
    return theirs, with_depthwise(ours)[0], torch.randn(4, 8, 6, 6)


def step(layer, images, *, bf16):
    """The output of the layer, and its gradients."""
    images = images.clone().requires_grad_()
    layer.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        given = layer(images.bfloat16() if bf16 else images)
    given.float().square().sum().backward()
    return given.detach(), [images.grad, *(parameter.grad for parameter in layer.parameters())]


def test_float32_equals_torch_to_the_bit(pair):
    theirs, ours, images = pair
    (expected, gradients), (given, found) = (step(layer, images, bf16=False) for layer in (theirs, ours))

    assert isinstance(ours, DepthwiseConv2d)
    assert torch.equal(given, expected)
    assert all(torch.equal(one, other) for one, other in zip(found, gradients, strict=True))


def test_autocast_rounds_only_input_and_output(pair):
    theirs, ours, images = pair
    given, _ = step(ours, images, bf16=True)

    assert given.dtype is torch.bfloat16
    assert torch.equal(given, theirs(images.bfloat16().float()).bfloat16())


def test_autocast_gradients_equal_float32_within_rounding(pair):
    theirs, ours, images = pair
    rounded = images.bfloat16().float()
    (_, gradients), (_, found) = step(theirs, rounded, bf16=False), step(ours, images, bf16=True)

    for one, other in zip(found, gradients, strict=True):
        assert (one - other).norm() < 0.01 * other.norm()


def test_exactly_the_depthwise_layers_are_replaced():
    network = build_model({"name": "mobilenet_v2"}, input_shape=(3, 32, 32), classes=10, seed=0)
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]

    assert [isinstance(layer, DepthwiseConv2d) for layer in convolutions] == [
        layer.groups > 1 for layer in convolutions
    ]
    assert sum(isinstance(layer, DepthwiseConv2d) for layer in convolutions) == 17
