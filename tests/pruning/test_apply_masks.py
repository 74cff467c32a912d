"""Pruned weights are zero after every step, survivors are untouched."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lthsweep.errors import PruningError
from lthsweep.pruning.apply import apply_masks, mask_multipliers, masked
from lthsweep.pruning.audit import optimizer_momenta
from lthsweep.pruning.make import make_masks
from lthsweep.pruning.prunable import prunable_weights
from lthsweep.pruning.scoring import ScoringContext


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(width=32, allow_nan=False, allow_infinity=False), st.booleans()), min_size=1)
)
def test_multiplying_keeps_survivors_to_the_bit(pairs):
    """1 * w is w exactly; 0 * w is zero, of either sign."""
    weight = torch.tensor([value for value, _ in pairs])
    mask = torch.tensor([kept for _, kept in pairs])
    params = {"w": weight.clone()}

    apply_masks(params, mask_multipliers({"w": mask}, params))

    assert torch.equal(params["w"][mask].view(torch.int32), weight[mask].view(torch.int32))
    assert not params["w"][~mask].any()


def test_a_diverged_weight_stays_visible():
    """0 * NaN is NaN: masking hides no divergence. A fresh copy is clean, for rewinding."""
    weights = {"w": torch.tensor([torch.nan, -3.0, torch.inf, 2.0])}
    masks = {"w": torch.tensor([False, False, False, True])}
    clean = masked(weights, masks)

    apply_masks(weights, mask_multipliers(masks, weights))

    assert torch.isnan(weights["w"]).tolist() == [True, False, True, False]
    assert clean["w"].tolist() == [0.0, 0.0, 0.0, 2.0]
    assert not torch.signbit(clean["w"]).any()


def test_masked_returns_copies():
    """A rewind state that aliases the live weights is trained away."""
    weights = {"w": nn.Parameter(torch.ones(2))}

    copy = masked(weights, {"w": torch.ones(2, dtype=torch.bool)})["w"]
    copy.zero_()

    assert (weights["w"].tolist(), copy.requires_grad) == ([1.0, 1.0], False)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_multipliers_have_the_parameters_type_and_strides(dtype):
    """Other strides would leave PyTorch's fused path at every step."""
    weight = torch.rand(4, 3, 3, 3).to(dtype).to(memory_format=torch.channels_last)
    mask = weight > 0.5

    multiplier = mask_multipliers({"w": mask.contiguous()}, {"w": weight})["w"]

    assert (multiplier.dtype, multiplier.stride()) == (dtype, weight.stride())
    assert torch.equal(multiplier.bool(), mask)


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-2),
        lambda params: torch.optim.AdamW(params, lr=0.01),
    ],
)
def test_weights_and_momenta_stay_zero_through_training(optimizer):
    """Momentum revives weights whose gradients alone are masked; masking after the step does not let it."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(36, 3))
    params = prunable_weights(model)
    masks = make_masks("magnitude", ScoringContext(params), scope="global", sparsity=0.7)
    multipliers = mask_multipliers(masks, params)
    chosen = optimizer(model.parameters())
    apply_masks(params, multipliers)
    survivors = {name: param[masks[name]].clone() for name, param in params.items()}
    for _ in range(3):
        chosen.zero_grad()
        model(torch.rand(8, 1, 5, 5)).square().sum().backward()
        chosen.step()
        apply_masks(params, multipliers)
        for moments in zip(*optimizer_momenta(chosen, params).values(), strict=True):
            apply_masks(dict(zip(params, moments, strict=True)), multipliers)

        momenta = optimizer_momenta(chosen, params)
        for name, mask in masks.items():
            assert not params[name][~mask].any()
            assert momenta[name]
            assert not any(moment[~mask].any() for moment in momenta[name])
    assert not any(torch.equal(params[name][masks[name]], survivors[name]) for name in params)


def test_no_parameters_need_no_masks():
    """An optimizer without state has nothing to mask."""
    apply_masks({}, {})


def test_masks_of_another_model_are_refused():
    """Half-masked is worse than refused."""
    with pytest.raises(PruningError, match="without a mask"):
        mask_multipliers({}, {"w": torch.ones(2)})
    with pytest.raises(PruningError, match="without a weight"):
        mask_multipliers(
            {"w": torch.ones(2, dtype=torch.bool), "v": torch.ones(2, dtype=torch.bool)}, {"w": torch.ones(2)}
        )
