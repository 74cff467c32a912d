"""The group lasso: its proximal step, its groups, and the result of training with it."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lthsweep.errors import PruningError
from lthsweep.models.build import build_model
from lthsweep.pruning.channels import all_kept, masks_of_kept
from lthsweep.pruning.coupling import families_of
from lthsweep.pruning.prunable import prunable_weights
from lthsweep.pruning.shrink import without
from lthsweep.training.group_lasso import GroupLasso, soft_threshold
from lthsweep.training.loop import train
from lthsweep.training.state import Training
from tests.training.cases import STEPS, data_of, state_of, train_options

SHAPE = (1, 8, 8)


def lenet(seed=0):
    return build_model({"name": "lenet_300_100"}, input_shape=SHAPE, classes=10, seed=seed)


def norms(members):
    return torch.cat(
        [member.flatten(1) if member.dim() > 1 else member[:, None] for member in members], 1
    ).norm(dim=1)


@given(
    seed=st.integers(0, 2**31),
    channels=st.integers(1, 9),
    threshold=st.floats(0, 10),
    zeros=st.integers(0, 9),
)
def test_group_norm_falls_by_the_threshold(seed, channels, threshold, zeros):
    """The law of the proximal operator of a norm; the direction stays."""
    generator = torch.Generator().manual_seed(seed)
    members = [
        torch.randn(channels, *rest, generator=generator, dtype=torch.float64)
        for rest in ((4, 3, 3), (1, 3, 3), (), ())
    ]
    for member in members:
        member[:zeros] = 0
    before, directions = norms(members), [member.clone() for member in members]

    soft_threshold(members, torch.full((channels,), threshold, dtype=torch.float64))

    torch.testing.assert_close(norms(members), before - before.clamp(max=threshold), rtol=1e-9, atol=1e-12)
    for member, direction in zip(members, directions, strict=True):
        assert bool((member * direction >= 0).all())


def test_a_group_below_the_threshold_is_zero_exactly():
    """Exactly zero, so that removing the group later changes nothing."""
    members = [torch.tensor([[1e-3, -2e-3], [3.0, 4.0]]), torch.tensor([1e-3, 0.0])]

    soft_threshold(members, torch.tensor([1.0, 1.0]))

    assert not members[0][0].any() and not members[1][0].any()
    torch.testing.assert_close(members[0][1], torch.tensor([2.4, 3.2]))


def test_proximal_step_minimizes_penalty_plus_distance():
    """prox(w) = argmin ½‖x − w‖² + t‖x‖: no nearby point is better."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(1, 12, generator=generator, dtype=torch.float64)
    found = weight.clone()
    soft_threshold([found], torch.tensor([0.7], dtype=torch.float64))

    def cost(x):
        return 0.5 * (x - weight).square().sum() + 0.7 * x.norm()

    for _ in range(200):
        other = found + 1e-3 * torch.randn(1, 12, generator=generator, dtype=torch.float64)
        assert cost(other) >= cost(found)


def test_threshold_is_rate_times_strength_times_root_size():
    """Groups of different sizes are penalized alike (Yuan & Lin)."""
    model = lenet()
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    lasso = GroupLasso.of(model, SHAPE, 0.01)

    lasso.step(0.5)

    for layer, size in (("fc1", 65), ("fc2", 301)):
        old = norms([before[f"{layer}.weight"], before[f"{layer}.bias"]])
        new = norms([getattr(model, layer).weight.detach(), getattr(model, layer).bias.detach()])
        torch.testing.assert_close(old - new, torch.full_like(old, 0.5 * 0.01 * math.sqrt(size)).minimum(old))
    assert torch.equal(model.fc3.weight, before["fc3.weight"]), "the outputs are no group"


def test_penalty_sums_norms_times_root_size():
    """λ Σ_g √|g| ‖w_g‖₂, no square."""
    model = lenet()
    first = norms([model.fc1.weight.detach(), model.fc1.bias.detach()]).sum() * math.sqrt(65)
    second = norms([model.fc2.weight.detach(), model.fc2.bias.detach()]).sum() * math.sqrt(301)

    assert GroupLasso.of(model, SHAPE, 0.1).penalty() == pytest.approx(0.1 * float(first + second), rel=1e-5)


def test_no_strength_is_no_penalty():
    """torch-pruning is not called."""
    assert GroupLasso.of(lenet(), SHAPE, 0.0) is None


def test_masked_and_small_network_have_equal_penalty():
    """|g| counts remaining weights, so that masked and small training agree."""
    model = lenet()
    families = families_of(model, SHAPE)
    kept = all_kept(families)
    kept[0][::2] = False
    kept[1][::3] = False
    small = without(model, families, kept, SHAPE)
    masks = masks_of_kept(families, kept, prunable_weights(model))

    GroupLasso.of(model, SHAPE, 0.02, masks).step(1.0)
    GroupLasso(small, families, 0.02, kept=kept).step(1.0)

    torch.testing.assert_close(small.fc1.weight.detach(), model.fc1.weight.detach()[kept[0]])
    torch.testing.assert_close(small.fc1.bias.detach(), model.fc1.bias.detach()[kept[0]])


def test_strong_lasso_zeroes_filters(packed):
    """A squared norm cannot do this."""
    counts = []
    for strength in (0.0, 0.3):
        model = lenet()
        training = Training(
            model, data_of(packed), train_options("sgd"), seed=0, lasso=GroupLasso.of(model, SHAPE, strength)
        )
        assert train(training) == "finished"
        counts.append(int((norms([model.fc1.weight.detach(), model.fc1.bias.detach()]) == 0).sum()))

    assert counts[0] == 0
    assert counts[1] > 10


def test_stopped_training_resumes_exactly(packed):
    """The penalty has no state."""

    def training():
        model = lenet()
        return Training(
            model,
            data_of(packed),
            train_options("adam"),
            seed=0,
            lasso=GroupLasso.of(model, SHAPE, 0.01),
        )

    whole, first, second = training(), training(), training()
    train(whole)
    train(first, lambda current: current.progress.step >= STEPS + 2)
    second.restore(*state_of(first))
    train(second)

    left, right = whole.model.state_dict(), second.model.state_dict()
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_network_without_channel_rows_is_refused():
    """A bias shared by halves would be in two groups."""
    model = lenet()
    families = families_of(model, SHAPE)
    part = families[0].made_by[0]
    shuffled = part.places.flip(0)
    object.__setattr__(part, "places", shuffled)

    with pytest.raises(PruningError, match="one row per channel"):
        GroupLasso(model, families, 0.1)
