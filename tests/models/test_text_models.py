"""Networks for texts and sounds: inputs, counts, and masks on every weight that multiplies."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lthsweep.errors import ModelError
from lthsweep.models.attention import Attention
from lthsweep.models.build import build_model
from lthsweep.models.macs import NetworkCost, network_cost
from lthsweep.models.networks import INITIALIZERS
from lthsweep.models.shapes import TextShape
from lthsweep.pruning.prunable import prunable_weights

TEXTS = TextShape(length=64, vocabulary=20_000)
SOUNDS = (1, 64, 98)
SHORT = TextShape(length=9, vocabulary=12)
ENCODER = {"name": "text_transformer", "embedding": 8, "heads": 2, "layers": 2}


def network(options, shape=SHORT, classes=10, seed=0):
    return build_model(
        {"name": options} if isinstance(options, str) else options,
        input_shape=shape,
        classes=classes,
        seed=seed,
    )


def some_tokens(shape, rows=2):
    return torch.randint(
        1, shape.vocabulary, (rows, shape.length), generator=torch.Generator().manual_seed(0)
    )


@pytest.mark.parametrize(
    ("name", "shape", "cost"),
    [
        # Embedding 20,000 x 128; 100 filters of 128 x (3, 4, 5), at 62, 61 and 60 places; 300 x 10.
        ("text_cnn", TEXTS, NetworkCost(2_716_910, 156_600, 156_600, 9_347_000, 9_347_000)),
        # Per layer 12 x 128^2 weights at 64 places, and 2 x 64^2 x 128 products of attention.
        ("text_transformer", TEXTS, NetworkCost(2_966_282, 394_496, 394_496, 27_264_256, 27_264_256)),
        ("audio_cnn", SOUNDS, NetworkCost(241_898, 241_184, 241_184, 73_176_320, 73_176_320)),
    ],
)
def test_counts_are_pinned(name, shape, cost):
    """Tables of results hold them."""
    assert network_cost(network(name, shape), shape) == cost


def convolution(inputs, outputs, kernel, positions):
    return inputs * outputs * kernel * positions


# Each formula is the definition in the paper, written out for the sizes that TEXTS and SOUNDS give.
TEXT_CNN = sum(convolution(128, 100, kernel, 64 - kernel + 1) for kernel in (3, 4, 5)) + 3 * 100 * 10
PROJECTIONS, PRODUCTS, FEED_FORWARD = 4 * 128 * 128 * 64, 2 * 64 * 64 * 128, 2 * 128 * 512 * 64
TEXT_TRANSFORMER = 2 * (PROJECTIONS + PRODUCTS + FEED_FORWARD) + 128 * 10
AUDIO_CNN = (
    convolution(1, 32, 9, 64 * 98)
    + convolution(32, 64, 9, 32 * 49)
    + convolution(64, 128, 9, 16 * 24)
    + convolution(128, 128, 9, 8 * 12)
    + 128 * 10
)


@pytest.mark.parametrize(
    ("name", "shape", "by_hand"),
    [
        ("text_cnn", TEXTS, TEXT_CNN),
        ("text_transformer", TEXTS, TEXT_TRANSFORMER),
        ("audio_cnn", SOUNDS, AUDIO_CNN),
    ],
)
def test_multiply_accumulates_equal_the_formulas(name, shape, by_hand):
    """Derived by hand from Kim 2014 and Vaswani et al. 2017; no release of torch changes how they are counted."""
    assert network_cost(network(name, shape), shape).macs_dense == by_hand


def test_products_of_attention_remain_whatever_is_pruned():
    """No mask makes signals fewer: 2 layers x 2 x 9^2 x 8."""
    model = network(ENCODER)
    nothing = {
        name: torch.zeros_like(weight, dtype=torch.bool) for name, weight in prunable_weights(model).items()
    }

    assert network_cost(model, SHORT, nothing).macs_remaining == 2 * 2 * 9**2 * 8


@pytest.mark.parametrize("name", ["text_cnn", "text_transformer"])
def test_all_multiplying_weights_and_no_tables_are_prunable(name):
    """Attention is made of linear layers for this; embeddings are looked up, not multiplied."""
    model = network(name)
    prunable = prunable_weights(model)

    left = {key for key, value in model.named_parameters() if value.ndim > 1} - prunable.keys()

    assert left <= {"embedding.weight", "places.weight"}
    assert "embedding.weight" in left


def test_layer_names_are_pinned():
    """Masks in records carry these names; a renamed layer would orphan them."""
    encoder = list(prunable_weights(network(ENCODER)))

    layers = ("attention.query", "attention.key", "attention.value", "attention.out", "fc1", "fc2")
    assert encoder == [f"layers.{n}.{layer}.weight" for n in (0, 1) for layer in layers] + ["fc.weight"]
    assert list(prunable_weights(network("text_cnn"))) == [
        f"{layer}.weight" for layer in ("conv3", "conv4", "conv5", "fc")
    ]
    assert list(prunable_weights(network("audio_cnn", SOUNDS))) == [
        f"{layer}.weight" for layer in ("conv1", "conv2", "conv3", "conv4", "fc")
    ]


@pytest.mark.parametrize("init", INITIALIZERS)
@pytest.mark.parametrize("name", ["text_cnn", "text_transformer"])
def test_every_initialization_lets_gradients_reach_every_parameter(name, init):
    """Forward and backward, on texts with and without padding."""
    model = network({"name": name, "init": init})
    tokens = some_tokens(SHORT)
    tokens[1, 4:] = 0

    logits = model(tokens)
    logits.square().sum().backward()

    assert logits.shape == (2, 10)
    assert all(bool(torch.isfinite(parameter.grad).all()) for parameter in model.parameters())
    assert not model.embedding.weight[0].any()
    assert not model.embedding.weight.grad[0].any()


@settings(max_examples=20)
@given(st.integers(1, 8))
def test_padding_does_not_change_the_transformer(words):
    """A short text in a long row has the same logits as in a row of its exact length."""
    tokens = some_tokens(SHORT, rows=1)
    tokens[:, words:] = 0
    model = network(ENCODER).eval()
    cut = network(ENCODER, TextShape(words, SHORT.vocabulary)).eval()
    state = dict(model.state_dict())
    state["places.weight"] = state["places.weight"][:words]
    cut.load_state_dict(state)

    torch.testing.assert_close(model(tokens), cut(tokens[:, :words]))


def test_attention_equals_torchs_own_with_the_same_weights():
    """`nn.MultiheadAttention` is the independent implementation; its one parameter is ours stacked."""
    torch.manual_seed(0)
    ours, theirs = Attention(12, 3), torch.nn.MultiheadAttention(12, 3, batch_first=True)
    parts = (ours.query, ours.key, ours.value)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        theirs.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        theirs.out_proj.load_state_dict(ours.out.state_dict())
    signal = torch.randn(2, 5, 12)
    read = torch.tensor([[True] * 5, [True, True, False, False, False]])

    expected, _ = theirs(signal, signal, signal, key_padding_mask=~read, need_weights=False)

    torch.testing.assert_close(ours(signal, read), expected)


def test_text_cnn_is_kims_figure_by_hand():
    """Maximum over time of the rectified convolutions of three widths, side by side."""
    model = network("text_cnn").eval()
    tokens = some_tokens(SHORT, rows=1)
    table, heard = model.embedding.weight[tokens[0]], []
    for width in (3, 4, 5):
        layer = getattr(model, f"conv{width}")
        windows = torch.stack([table[at : at + width].T for at in range(9 - width + 1)])
        heard.append((torch.einsum("pcw,fcw->pf", windows, layer.weight) + layer.bias).relu().amax(0))

    torch.testing.assert_close(model(tokens)[0], model.fc(torch.cat(heard)))


@pytest.mark.parametrize("name", ["text_cnn", "text_transformer"])
def test_networks_for_texts_refuse_images(name):
    """The message names the kind of network that the data needs."""
    with pytest.raises(ModelError, match="reads texts, and the data are images"):
        network(name, (3, 32, 32))


@pytest.mark.parametrize("name", ["lenet_300_100", "resnet20", "mobilenet_v2", "audio_cnn"])
def test_networks_for_images_refuse_texts(name):
    """And the other way round."""
    with pytest.raises(ModelError, match="reads images, and the data are texts; choose text_cnn"):
        network(name, SHORT)


def test_heads_must_share_the_embedding():
    """Each head has a whole number of numbers."""
    with pytest.raises(ModelError, match=r"heads = 3: must divide embedding = 8"):
        network({**ENCODER, "heads": 3})


def test_texts_shorter_than_the_widest_filter_are_refused():
    """A filter of five tokens has no place in four."""
    with pytest.raises(ModelError, match=r"raise data\.length"):
        network("text_cnn", TextShape(4, 10))


@pytest.mark.parametrize("name", ["audio_cnn", "conv2", "resnet20", "mobilenet_v2", "vgg11", "lenet_300_100"])
def test_image_networks_read_log_mel_spectrograms(name):
    """They are not square."""
    assert network(name, (1, 32, 49), classes=3)(torch.rand(2, 1, 32, 49)).shape == (2, 3)
