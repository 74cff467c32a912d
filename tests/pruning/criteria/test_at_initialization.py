"""SNIP and SynFlow: scores by hand, exact counts, and layer collapse."""

from __future__ import annotations

import copy
import dataclasses
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lthsweep.errors import PruningError
from lthsweep.models.build import build_model
from lthsweep.models.shapes import TextShape
from lthsweep.pruning.counts import kept_count
from lthsweep.pruning.criteria.snip import snip_scores
from lthsweep.pruning.criteria.synflow import synflow_scores
from lthsweep.pruning.make import make_masks
from lthsweep.pruning.masks import layer_rows
from lthsweep.pruning.prunable import prunable_weights
from lthsweep.pruning.registry import CRITERIA
from lthsweep.pruning.scoring import ScoringContext


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """As a worker has: two threads on a busy core wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


BATCH = (torch.tensor([[1.0, -2.0], [0.5, 3.0]]), torch.tensor([0, 1]))


def linear(weights, bias=None):
    layer = nn.Linear(len(weights[0]), len(weights), bias=bias is not None)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weights))
        if bias is not None:
            layer.bias.copy_(torch.tensor(bias))
    return layer


def network(model, **options):
    return build_model({"name": model, **options}, input_shape=(1, 8, 8), classes=10, seed=0)


def images(count=8):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 1, 8, 8, generator=generator), torch.arange(count) % 10


def context(model, batch, names=None):
    """The scoring context of an untrained network; `names` of the weights to score, or all prunable ones."""
    weights = prunable_weights(model)
    chosen = {name: weights[name] for name in names or weights}
    return ScoringContext(chosen, network=model, batch=lambda: batch)


def masks_of(model, method, sparsity, *, scope="global"):
    return make_masks(method, context(model, images()), scope=scope, sparsity=sparsity)


def kept_total(masks):
    return sum(int(mask.sum()) for mask in masks.values())


def dead(model, masks):
    return [row.name for row in layer_rows(masks, prunable_weights(model)) if row.dead]


def test_snip_is_gradient_times_weight_by_hand():
    """One layer without bias: the gradient of the mean cross-entropy is (softmax − onehot)ᵀ x / B."""
    model = nn.Sequential(linear([[0.5, -1.0], [2.0, 0.25]]))
    x, labels = BATCH
    weight = model[0].weight.detach()

    scores = snip_scores(context(model, BATCH))

    error = torch.softmax(x @ weight.T, 1) - torch.eye(2)[labels]
    assert torch.allclose(scores["0.weight"], (error.T @ x / 2 * weight).abs())


def test_snip_is_the_sensitivity_of_the_loss():
    """Lee et al. 2019, equation 4: the derivative by a factor on the weight, taken by finite differences."""
    model = network("lenet_300_100").double()
    x, labels = images()
    scores = snip_scores(context(model, (x.double(), labels), ["fc2.weight"]))["fc2.weight"]
    place, step = divmod(int(scores.argmax()), scores.shape[1]), 1e-6

    def loss(factor):
        changed = copy.deepcopy(model)
        with torch.no_grad():
            changed.fc2.weight[place] *= factor
            return nn.functional.cross_entropy(changed(x.double()).float().double(), labels)

    slope = (loss(1 + 1000 * step) - loss(1 - 1000 * step)) / (2000 * step)
    assert float(slope.abs()) == pytest.approx(float(scores[place]), rel=1e-2)


@pytest.mark.slow
def test_snip_is_deterministic_and_uses_batch_statistics():
    """Dropout would add noise; running statistics say nothing before training."""
    model = network("mobilenet_v2", width=0.1, dropout=0.5)
    names = list(prunable_weights(model))
    before = torch.get_rng_state()

    first, second = (snip_scores(context(model, images())) for _ in range(2))

    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(first[name], second[name]) for name in names)
    shifted = copy.deepcopy(model)
    for module in shifted.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var.fill_(9.0)
    assert torch.equal(snip_scores(context(shifted, images()))[names[0]], first[names[0]])


def test_synflow_is_the_flow_by_hand():
    """Two layers without data: |w2| · |w1| summed over all paths through the weight; biases add nothing."""
    model = nn.Sequential(
        linear([[1.0, -2.0], [3.0, 0.5]], [7.0, -7.0]), nn.ReLU(), linear([[-0.5, 4.0]], [9.0])
    )

    scores = synflow_scores(context(model, (torch.zeros(5, 2), torch.zeros(5))))

    assert scores["0.weight"].tolist() == [[0.5, 1.0], [12.0, 2.0]]
    assert scores["2.weight"].tolist() == [[1.5, 14.0]]


@pytest.mark.parametrize(
    ("model", "options"), [("lenet_300_100", {}), ("conv4", {}), ("conv2", {"init": "xavier_normal"})]
)
def test_synflow_conserves_the_flow_from_layer_to_layer(model, options):
    """Tanaka et al. 2020, theorem 2: the flow into a layer equals the flow out, so all sums are equal."""
    net = build_model({"name": model, **options}, input_shape=(1, 32, 32), classes=10, seed=0)

    scores = synflow_scores(context(net, (torch.zeros(1, 1, 32, 32), torch.zeros(1))))

    totals = [float(score.sum()) for score in scores.values()]
    assert totals == pytest.approx([totals[0]] * len(totals), rel=1e-9)
    assert totals[0] > 0


def test_synflow_conserves_the_flow_from_unit_to_unit():
    """Theorem 1: of a hidden unit, the scores that come in sum to those that go out."""
    net = network("lenet_300_100")

    scores = synflow_scores(context(net, images(), ["fc1.weight", "fc2.weight"]))

    assert torch.allclose(scores["fc1.weight"].sum(1), scores["fc2.weight"].sum(0), rtol=1e-9)


@pytest.mark.parametrize("model", ["mobilenet_v2", "resnet110"])
def test_synflow_reaches_the_first_layer_of_deep_networks(model):
    """ReLU6 would stop the gradient above 6, and single precision overflow."""
    net = build_model({"name": model}, input_shape=(3, 32, 32), classes=10, seed=0)

    scores = synflow_scores(context(net, (torch.zeros(1, 3, 32, 32), torch.zeros(1))))

    assert all(bool((score > 0).any()) and bool(torch.isfinite(score).all()) for score in scores.values())


def hourglass():
    """A chain of narrow and wide layers: wide ones have the smaller initial weights and gradients."""
    torch.manual_seed(0)
    widths = [64, 20, 400, 400, 20, 20, 400, 10]
    layers: list[nn.Module] = [nn.Flatten()]
    for below, above in itertools.pairwise(widths):
        layers += [nn.Linear(below, above), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


@pytest.mark.slow
def test_synflow_spares_layers_that_others_empty():
    """At 99.5 % the other two cut the network in half; without a layer it cannot learn."""
    net = hourglass()

    assert dead(net, masks_of(net, "magnitude", 0.995))
    assert dead(net, masks_of(net, "snip", 0.995))
    for sparsity in (0.9, 0.995, 0.999):
        assert dead(net, masks_of(net, "synflow", sparsity)) == []


@pytest.mark.slow
def test_synflow_needs_many_rounds(monkeypatch):
    """Conservation alone is not enough: the iterations are the method (theorem 3)."""
    net = hourglass()
    many = masks_of(net, "synflow", 0.999)
    at_once = dataclasses.replace(CRITERIA["synflow"], rounds=1)

    monkeypatch.setitem(CRITERIA, "synflow", at_once)
    one = masks_of(net, "synflow", 0.999)

    assert dead(net, many) == []
    assert dead(net, one)


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(
    st.sampled_from(["snip", "synflow"]),
    st.sampled_from(["global", "layer"]),
    st.sampled_from([0.0, 0.5, 0.9, 0.987, 0.999]) | st.floats(0, 0.9999),
)
def test_counts_are_exact(method, scope, sparsity):
    """As for every other method, in one round or in a hundred."""
    net = network("lenet_300_100")

    masks = masks_of(net, method, sparsity, scope=scope)

    sizes = [mask.numel() for mask in masks.values()]
    if scope == "global":
        assert kept_total(masks) == kept_count(sum(sizes), sparsity)
    else:
        assert [int(m.sum()) for m in masks.values()] == [kept_count(size, sparsity) for size in sizes]


@pytest.mark.parametrize("method", ["snip", "synflow"])
def test_the_model_is_left_as_it_was(method, monkeypatch):
    """Its weights, statistics, modes and activations: the ticket trains from it."""
    few = dataclasses.replace(CRITERIA[method], rounds=2)
    monkeypatch.setitem(CRITERIA, method, few)
    net = network("mobilenet_v2", width=0.1, dropout=0.2)
    before = copy.deepcopy(net.state_dict())
    shape = repr(net)

    masks_of(net, method, 0.9)

    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert repr(net) == shape
    assert all(module.training for module in net.modules())
    assert all(weight.grad is None for weight in net.parameters())


def test_a_loss_that_is_not_finite_ranks_nothing():
    """NaN compares with nothing."""
    x, labels = BATCH

    with pytest.raises(PruningError, match="not finite"):
        snip_scores(context(nn.Sequential(linear([[1.0, 1.0], [1.0, 1.0]])), (x * torch.nan, labels)))


def test_a_flow_that_is_not_finite_ranks_nothing():
    """Beyond double precision there is no order."""
    with pytest.raises(PruningError, match="SynFlow"):
        synflow_scores(
            context(nn.Sequential(linear([[torch.inf, 1.0]])), (torch.zeros(1, 2), torch.zeros(1)))
        )


def test_a_threshold_is_refused():
    """It looks at magnitudes."""
    with pytest.raises(PruningError, match="threshold"):
        make_masks("snip", context(network("lenet_300_100"), images()), scope="global", threshold=0.1)


def test_synflow_on_texts_starts_after_the_embedding():
    """An input of ones, as everywhere; the tokens and their embeddings do not matter."""
    model = build_model({"name": "text_cnn"}, input_shape=TextShape(9, 20), classes=3, seed=0)
    names = list(prunable_weights(model))

    scores = synflow_scores(context(model, (torch.ones(2, 9, dtype=torch.int64), torch.zeros(2))))
    with torch.no_grad():
        model.embedding.weight.mul_(7)
    again = synflow_scores(context(model, (torch.full((1, 9), 5), torch.zeros(1))))

    assert all(torch.equal(scores[name], again[name]) for name in names)
    flow = scores["fc.weight"].sum()
    torch.testing.assert_close(sum(scores[f"conv{width}.weight"].sum() for width in (3, 4, 5)), flow)


def test_synflow_refuses_networks_that_normalize_layers():
    """A LayerNorm makes zeros of ones: every score would be a tie."""
    model = build_model({"name": "text_transformer"}, input_shape=TextShape(9, 20), classes=3, seed=0)

    with pytest.raises(PruningError, match=r"layers\.0\.norm1 is a LayerNorm"):
        synflow_scores(context(model, (torch.ones(2, 9, dtype=torch.int64), torch.zeros(2))))


@pytest.mark.parametrize("name", ["text_cnn", "text_transformer"])
def test_snip_ranks_the_weights_of_networks_for_texts(name):
    """By a batch of tokens."""
    model = build_model({"name": name}, input_shape=TextShape(9, 20), classes=3, seed=0)
    batch = (torch.arange(36).view(4, 9) % 19 + 1, torch.tensor([0, 1, 2, 0]))

    masks = make_masks("snip", context(model, batch), scope="global", sparsity=0.5)

    total = sum(mask.numel() for mask in masks.values())
    assert sum(int(mask.sum()) for mask in masks.values()) == kept_count(total, 0.5)
