"""A trial of one step finds what would fail in every worker, and names the reason."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lthsweep.errors import LthsweepError
from lthsweep.lottery.network_trial import try_network
from tests.lottery.cases import SEED, context_of, prune_step
from tests.lottery.test_network_kinds import KindContext
from tests.models.kinds import KINDS


class Net(nn.Module):
    """A base to be broken in one place."""

    def __init__(self, size: int, classes: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(size, 6)
        self.out = nn.Linear(6, classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.out(self.hidden(images.flatten(1)).relu())
        return logits


class Dropout(Net):
    def forward(self, images):
        return super().forward(nn.functional.dropout(images, 0.5))


class Counter(Net):
    steps = 0

    def forward(self, images):
        self.steps += self.training
        return super().forward(images) * (1 + self.steps)


class Hidden(Net):
    def __init__(self, size, classes):
        super().__init__(size, classes)
        self.register_buffer("mean", torch.zeros(()), persistent=False)

    def forward(self, images):
        if self.training:
            self.mean += images.mean()
        return super().forward(images - self.mean)


class Detached(Net):
    def forward(self, images):
        return super().forward(images).detach()


class OnlyBias(Net):
    def __init__(self, size, classes):
        super().__init__(size, classes)
        self.shift = nn.Parameter(torch.zeros(classes))

    def forward(self, images):
        return super().forward(images).detach() + self.shift


class Tuple(Net):
    def forward(self, images):
        return (super().forward(images), images) if self.training else super().forward(images)


class Double(Net):
    def __init__(self, size, classes):
        super().__init__(size, classes)
        self.double()


class Locked(Net):
    def __deepcopy__(self, memo):
        raise RuntimeError("no copies")


class Infinite(Net):
    def forward(self, images):
        return super().forward(images) * float("inf")


class Unused(Net):
    def __init__(self, size, classes):
        super().__init__(size, classes)
        self.spare = nn.Linear(3, 3)


class Normed(Net):
    def __init__(self, size, classes):
        super().__init__(size, classes)
        self.hidden = nn.utils.parametrizations.weight_norm(self.hidden)


class Spectral(Net):
    def __init__(self, size, classes):
        super().__init__(size, classes)
        self.hidden = nn.utils.spectral_norm(self.hidden)


class TrialContext(KindContext):
    """Builds a class of this module by name, or a kind."""

    def build(self, seed):
        name = self.model["name"]
        if name in KINDS:
            return super().build(seed)
        channels, height, width = self.input_shape
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.placed(globals()[name](channels * height * width, len(self.packed.class_names)))


def tried(packed: Any, name: str, *steps: Any, fused: bool = False, **train: Any) -> Any:
    plain = context_of(packed, **train)
    context = TrialContext({"name": name}, plain.data, plain.train, packed, plain.device)
    return try_network(context, SEED, steps or (prune_step(0.5),), fused=fused)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Dropout", r"other outputs .* in evaluation mode"),
        ("Counter", r"not in the state_dict"),
        ("Hidden", r"buffer 'mean' .*persistent=False"),
        ("Detached", r"no gradient"),
        ("OnlyBias", r"no gradient of the loss reaches a prunable weight: hidden.weight, out.weight"),
        ("Tuple", r"returns tuple in training mode"),
        ("Double", r"'hidden.weight' is torch.float64"),
        ("Locked", r"cannot be copied: RuntimeError: no copies"),
        ("Infinite", r"not finite"),
        ("Normed", r"'hidden.weight' .*parametrization.*prune.exclude = \['hidden'\]"),
        ("Spectral", r"'hidden.weight' .*parametrization.*prune.exclude = \['hidden'\]"),
    ],
)
def test_networks_that_would_fail_later_fail_now(packed, name, message):
    with pytest.raises(LthsweepError, match=message):
        tried(packed, name)


def test_excluded_parametrizations_are_trained(packed):
    facts = tried(packed, "Normed", prune_step(0.5, exclude=("hidden",)))

    assert {row.name: row.kept_because for row in facts.rows if "hidden" in row.name}.keys() == {
        "hidden.bias",
        "hidden.parametrizations.weight.original0",
        "hidden.parametrizations.weight.original1",
    }


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_layer_passes_its_trial(packed, kind):
    facts = tried(packed, kind, prune_step(0.5), prune_step(0.5, scope="layer", control="reinit"))

    pruned = [row for row in facts.rows if not row.kept_because]
    assert pruned
    assert facts.without_gradient == []
    assert all(row.kept_because or row.parameter.dim() > 1 for row in facts.rows)


def test_facts_of_a_network_name_shared_and_frozen_weights(packed):
    tied = {row.name: row for row in tried(packed, "tied").rows}
    direct = {row.name: row.kept_because for row in tried(packed, "direct").rows}

    assert tied["first.weight"].shared_with == ("second.weight",)
    assert "frozen" in direct["frozen.weight"]
    assert direct["matrix"] == "not a weight of a layer (Direct)"


def test_weights_without_gradient_are_named(packed):
    assert tried(packed, "Unused").without_gradient == ["spare.weight"]
    with pytest.raises(LthsweepError, match=r"no gradient of the loss reaches 'spare.weight'.*exclude"):
        tried(packed, "Unused", prune_step(0.5, 0, method="snip"))


@pytest.mark.parametrize(
    ("kind", "step", "message"),
    [
        ("lstm", {"method": "synflow"}, "is a LSTM"),
        ("attention", {"method": "filter"}, "MultiheadAttention"),
        ("group-norm", {"method": "filter"}, "GroupNorm|something else"),
        ("transposed", {"control": "reinit-masked"}, "reinit-masked.*body.2.weight"),
        ("no-norm", {"exclude": ("nothing",)}, "'nothing' matches no"),
        ("no-norm", {"scope": "layer", "rates": (("nothing", 0.5),)}, "'nothing' matches no"),
    ],
)
def test_methods_that_do_not_apply_fail_at_once(packed, kind, step, message):
    with pytest.raises(LthsweepError, match=message):
        tried(packed, kind, prune_step(0.5, 0, **step))


def test_filters_of_plain_networks_pass(packed):
    assert tried(packed, "no-norm", prune_step(0.3, 0, method="filter"))


def test_recurrent_networks_cannot_be_fused(packed):
    with pytest.raises(LthsweepError, match=r"cannot be fused.*train.fuse = 1"):
        tried(packed, "lstm", fused=True)
    assert tried(packed, "no-norm", fused=True)


def test_group_lasso_of_recurrent_networks_is_refused(packed):
    with pytest.raises(LthsweepError, match="LSTM"):
        tried(packed, "lstm", group_lasso=1e-3)


def test_batches_of_one_need_no_batch_statistics(packed):
    """The remedy stands behind torch's own words."""
    with pytest.raises(LthsweepError, match=r"raise train.batch_size"):
        tried(packed, "Batch", batch_size=1)


class Batch(Net):
    def __init__(self, size, classes):
        super().__init__(size, classes)
        self.hidden = nn.Sequential(nn.Linear(size, 6), nn.BatchNorm1d(6))
