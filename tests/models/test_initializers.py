"""The distributions of initial weights, by the moments and structures that their papers promise."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lthsweep.errors import ModelError
from lthsweep.models.build import build_model
from lthsweep.models.initializers import orthogonal, signed_constant
from lthsweep.models.masked_fan import scaled_to_mask


def layers(name="conv6", init="orthogonal"):
    model = build_model({"name": name, "init": init}, input_shape=(3, 32, 32), classes=10, seed=3)
    return {n: m for n, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}


def gram(weight):
    """Of rows or of columns, whichever are fewer."""
    matrix = weight.detach().flatten(1)
    return matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix


@pytest.mark.slow
@pytest.mark.parametrize("init", ["orthogonal", "signed_constant"])
@pytest.mark.parametrize("name", ["lenet_300_100", "conv6", "resnet20", "mobilenet_v2", "vgg11"])
def test_biases_are_zero_and_every_weight_is_drawn(name, init):
    for layer in layers(name, init).values():
        assert layer.bias is None or not layer.bias.any()
        assert bool((layer.weight != 0).all())


def test_orthogonal_layers_are_orthonormal_times_root_two():
    """Saxe et al. 2014, with the gain of ReLU; a convolution counts as the matrix that it multiplies patches by."""
    for layer in layers().values():
        found = gram(layer.weight)

        assert torch.allclose(found, 2 * torch.eye(len(found)), atol=1e-4)


def test_orthogonal_groups_are_matrices_of_their_own():
    """Each filter of a depthwise convolution sees one channel, so there is nothing for it to be orthogonal to."""
    torch.manual_seed(0)
    depthwise, grouped = nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 12, 3, groups=2)

    orthogonal(nn.Sequential(depthwise, grouped))

    assert torch.allclose(depthwise.weight.flatten(1).norm(dim=1), torch.full((8,), math.sqrt(2)), atol=1e-5)
    for block in grouped.weight.detach().chunk(2):
        assert torch.allclose(gram(block), 2 * torch.eye(6), atol=1e-5)


def test_signed_constants_have_kaimings_deviation_and_fair_signs():
    """Zhou et al. 2019: the sign is all that is random."""
    for layer in layers(init="signed_constant").values():
        weight = layer.weight.detach()
        deviation = math.sqrt(2 / weight[0].numel())

        assert torch.allclose(weight.abs(), torch.full_like(weight, deviation))
        positive = (weight > 0).double().mean().item()
        assert abs(positive - 0.5) < 4 * 0.5 / math.sqrt(weight.numel())


def test_depthwise_signed_constants_use_one_filters_fan():
    layer = nn.Conv2d(8, 8, 3, groups=8)

    signed_constant(nn.Sequential(layer))

    assert torch.allclose(layer.weight.abs(), torch.full_like(layer.weight, math.sqrt(2 / 9)))


@st.composite
def masked_layers(draw):
    outputs, inputs = draw(st.integers(1, 6)), draw(st.integers(1, 8))
    kernel = draw(st.sampled_from([(), (3, 3)]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    weight = torch.randn(outputs, inputs, *kernel, generator=generator)
    mask = torch.rand(weight.shape, generator=generator) < draw(st.floats(0, 1))
    return weight, mask


@given(masked_layers())
def test_masked_neurons_are_scaled_by_their_fan_in(layer):
    """√(fan_in / kept), row by row; zero where pruned; signs and ratios of survivors as they were."""
    weight, mask = layer

    scaled = scaled_to_mask({"w": weight}, {"w": mask})["w"]

    assert not scaled[~mask].any()
    for row, kept, before in zip(scaled, mask, weight, strict=True):
        n = int(kept.sum())
        if n:
            factor = math.sqrt(before.numel() / n)
            assert torch.allclose(row[kept], before[kept] * factor, rtol=1e-6)


@given(masked_layers())
def test_a_full_mask_changes_nothing(layer):
    weight, _ = layer

    scaled = scaled_to_mask({"w": weight}, {"w": torch.ones_like(weight, dtype=torch.bool)})["w"]

    assert torch.equal(scaled, weight)


def test_scaled_sparse_weights_preserve_the_signal():
    """The purpose in Evci et al. 2022: with 5 % of the inputs, unscaled Kaiming weights let the signal die."""
    torch.manual_seed(1)
    signal = dense = sparse = torch.randn(256, 512)
    for _ in range(8):
        weight = torch.randn(512, 512) * math.sqrt(2 / 512)
        mask = torch.rand(512, 512) < 0.05
        signal = torch.relu(signal @ scaled_to_mask({"w": weight}, {"w": mask})["w"].T)
        dense = torch.relu(dense @ weight.T)
        sparse = torch.relu(sparse @ (weight * mask).T)

    assert 0.5 < float(signal.std() / dense.std()) < 2
    assert float(sparse.std()) < 1e-3


def test_the_given_weights_are_left_alone():
    weight, mask = torch.ones(2, 3), torch.tensor([[True, False, False]] * 2)

    scaled_to_mask({"w": weight}, {"w": mask})

    assert torch.equal(weight, torch.ones(2, 3))


@pytest.mark.parametrize(
    ("weights", "masks", "said"),
    [
        ({"a": torch.ones(2, 2)}, {"b": torch.ones(2, 2, dtype=torch.bool)}, "different layers"),
        ({"a": torch.ones(2, 2)}, {"a": torch.ones(2, 3, dtype=torch.bool)}, r"shape \(2, 3\)"),
        ({"a": torch.ones(2)}, {"a": torch.ones(2, dtype=torch.bool)}, "outputs, inputs"),
    ],
)
def test_masks_that_do_not_fit_are_refused(weights, masks, said):
    with pytest.raises(ModelError, match=said):
        scaled_to_mask(weights, masks)
