"""Multiply-accumulates of recurrent, attention and transposed layers, by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lthsweep.models.macs import network_cost
from tests.models.kinds import KINDS

SHAPE, CLASSES, WIDTH = (1, 8, 5), 3, 6
OUT = WIDTH * CLASSES

BY_HAND = {
    # 8 rows of 5 pixels are 8 steps; 4 gates of 6 units each, in both directions
    "lstm": 8 * 2 * (4 * 6 * 5 + 4 * 6 * 6) + 2 * OUT,
    "lstm-projection": 8 * (24 * 5 + 24 * 3 + 6 * 3) + 3 * 3,
    "gru": 8 * (18 * 5 + 18 * 6 + 18 * 6 + 18 * 6) + OUT,
    "gru-cell": 8 * (18 * 5 + 18 * 6) + OUT,
    "rnn": 8 * (6 * 5 + 6 * 6) + OUT,
    # projections of 8 rows, and queries with keys, weights with values
    "attention": 8 * (5 * 6 + 3 * 36 + 36) + 2 * 8 * 8 * 6 + OUT,
    "attention-kdim": 8 * (5 * 6 + 5 * 4 + 36 + 2 * 24 + 36) + 2 * 8 * 8 * 6 + OUT,
    # each pixel of the input meets every weight of its group
    "transposed": 40 * (9 * 6) + 40 * (6 * 2 * 4) + 4 * 3,
    "conv3d": 40 * 54 + OUT,
    "conv1d": 6 * (5 * 6 * 3) + OUT,
    # the shared weight is used twice per pixel
    "tied": 40 * (9 * 6) + 2 * 40 * (36 * 9) + OUT,
    "repeated": 40 * 6 + 2 * 36 + OUT,
    # a matrix that belongs to no layer, a frozen layer, and one that is called by its weight
    "direct": 40 * 6 + 36 + 36 + OUT,
}


@pytest.mark.parametrize("kind", BY_HAND)
def test_macs_are_those_by_hand(kind):
    cost = network_cost(KINDS[kind](SHAPE, CLASSES), SHAPE)

    assert (cost.macs_dense, cost.uncounted) == (BY_HAND[kind], ())
    assert cost.macs_remaining == cost.macs_dense


def test_masks_count_by_use():
    """Queries use other rows than keys and values."""
    model = KINDS["attention"](SHAPE, CLASSES)
    mask = torch.zeros(18, 6, dtype=torch.bool)
    mask[0, :2] = True

    cost = network_cost(model, SHAPE, {"body.attention.in_proj_weight": mask})

    assert cost.macs_dense - cost.macs_remaining == 8 * (3 * 36 - 2)


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(6, 2, 7, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1)
        self.out = nn.Linear(6, 3)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.out(self.encoder(images.flatten(2).transpose(1, 2)).mean(1))
        return logits


def test_the_fast_path_of_encoders_hides_no_layer():
    cost = network_cost(Encoder(), (6, 2, 4))

    assert cost.uncounted == ()
    assert cost.macs_dense == 8 * (3 * 36 + 36 + 2 * 6 * 7) + 2 * 8 * 8 * 6 + 18


class Products(nn.Module):
    """Attention written by hand, with a weight of a layer in a product."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.out = nn.Linear(5, 3)

    def forward(self, images: Tensor) -> Tensor:
        rows = images.flatten(1, 2)
        if self.way == "einsum":
            scores = torch.einsum("bid,bjd->bij", rows, rows)
            return torch.einsum("bd,cd->bc", (scores @ rows).mean(1), self.out.weight)
        scores = torch.matmul(rows, rows.transpose(1, 2))
        return torch.bmm(scores, rows).mean(1) @ self.out.weight.T


@pytest.mark.parametrize("way", ["einsum", "matmul"])
def test_products_without_layers_are_counted(way):
    cost = network_cost(Products(way), SHAPE, {"out.weight": torch.zeros(3, 5, dtype=torch.bool)})

    assert cost.macs_dense == 2 * 8 * 8 * 5 + 15
    assert cost.macs_remaining == 2 * 8 * 8 * 5


class Odd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(5, 5)
        self.out = nn.Linear(40, 3)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.out((images * self.hidden.weight.mean()).flatten(1))
        return logits


def test_a_weight_that_is_not_multiplied_is_named():
    assert network_cost(Odd(), SHAPE).uncounted == ("hidden.weight",)
