"""Small networks for images, one for each kind of layer or structure that users bring."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

Shape = tuple[int, int, int]
WIDTH = 6


class Head(nn.Module):
    """A body that gives [batch, features], and a classifier."""

    def __init__(self, body: nn.Module, features: int, classes: int) -> None:
        super().__init__()
        self.body = body
        self.out = nn.Linear(features, classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.out(self.body(images).flatten(1))
        return logits


class Rows(nn.Module):
    """An image as a sequence of its rows, and the last output of a recurrent layer."""

    def __init__(self, layer: nn.RNNBase) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, images: Tensor) -> Tensor:
        outputs, _ = self.layer(images.transpose(1, 2).flatten(2))
        last: Tensor = outputs[:, -1]
        return last


class Cells(nn.Module):
    """A cell that is called once for each row."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.cell = nn.GRUCell(size, WIDTH)

    def forward(self, images: Tensor) -> Tensor:
        state = images.new_zeros(len(images), WIDTH)
        for row in images.transpose(1, 2).flatten(2).unbind(1):
            state = self.cell(row, state)
        return state


class RowAttention(nn.Module):
    """Attention between the rows; keys and values of another width if `kdim` is given."""

    def __init__(self, size: int, kdim: int | None = None) -> None:
        super().__init__()
        self.project = nn.Linear(size, WIDTH)
        self.memory = None if kdim is None else nn.Linear(size, kdim)
        self.attention = nn.MultiheadAttention(WIDTH, 2, kdim=kdim, vdim=kdim, batch_first=True)

    def forward(self, images: Tensor) -> Tensor:
        rows = images.transpose(1, 2).flatten(2)
        query = self.project(rows)
        key = query if self.memory is None else self.memory(rows)
        mixed, _ = self.attention(query, key, key)
        mean: Tensor = mixed.mean(1)
        return mean


class Tied(nn.Module):
    """Two convolutions with one weight, and a product with the transposed weight of a layer."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, WIDTH, 3, padding=1)
        self.first = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.second = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.second.weight = self.first.weight
        self.out = nn.Linear(WIDTH, classes)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.stem(images).relu()
        maps = self.second(self.first(maps).relu()).relu()
        logits: Tensor = self.out(maps.mean((2, 3)))
        return logits


class Repeated(nn.Module):
    """One layer under two names."""

    def __init__(self, size: int, classes: int) -> None:
        super().__init__()
        self.stem = nn.Linear(size, WIDTH)
        self.first = nn.Linear(WIDTH, WIDTH)
        self.second = self.first
        self.out = nn.Linear(WIDTH, classes)

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.stem(images.flatten(1)).relu()
        logits: Tensor = self.out(self.second(self.first(hidden).relu()).relu())
        return logits


class Direct(nn.Module):
    """A matrix that is a parameter of the network itself, next to a frozen layer and a scale."""

    def __init__(self, size: int, classes: int) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.randn(size, WIDTH) / size**0.5)
        self.frozen = nn.Linear(WIDTH, WIDTH).requires_grad_(False)
        self.hidden = nn.Linear(WIDTH, WIDTH)
        self.out = nn.Linear(WIDTH, classes)
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.frozen(images.flatten(1) @ self.matrix).relu() * self.scale
        logits: Tensor = self.out(functional.linear(hidden, self.hidden.weight).relu())
        return logits


class Volume(nn.Module):
    """A three-dimensional convolution over one frame."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, WIDTH, (1, 3, 3), padding=(0, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        mean: Tensor = self.conv(images[:, :, None]).relu().mean((2, 3, 4))
        return mean


class RowConvolution(nn.Module):
    """A one-dimensional convolution over the rows."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(size, WIDTH, 3)

    def forward(self, images: Tensor) -> Tensor:
        mean: Tensor = self.conv(images.transpose(1, 2).flatten(2).transpose(1, 2)).relu().mean(2)
        return mean


def _maps(channels: int, *layers: nn.Module) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, WIDTH, 3, padding=1), *layers, nn.ReLU(), nn.AdaptiveAvgPool2d(1)
    )


KINDS: Mapping[str, Callable[[Shape, int], nn.Module]] = {
    "attention": lambda shape, n: Head(RowAttention(shape[0] * shape[2]), WIDTH, n),
    "attention-kdim": lambda shape, n: Head(RowAttention(shape[0] * shape[2], 4), WIDTH, n),
    "conv1d": lambda shape, n: Head(RowConvolution(shape[0] * shape[2]), WIDTH, n),
    "conv3d": lambda shape, n: Head(Volume(shape[0]), WIDTH, n),
    "direct": lambda shape, n: Direct(shape[0] * shape[1] * shape[2], n),
    "group-norm": lambda shape, n: Head(_maps(shape[0], nn.GroupNorm(2, WIDTH)), WIDTH, n),
    "gru-cell": lambda shape, n: Head(Cells(shape[0] * shape[2]), WIDTH, n),
    "gru": lambda shape, n: Head(
        Rows(nn.GRU(shape[0] * shape[2], WIDTH, 2, batch_first=True, dropout=0.1)), WIDTH, n
    ),
    "layer-norm": lambda shape, n: Head(_maps(shape[0], nn.LayerNorm(shape[1:])), WIDTH, n),
    "lstm": lambda shape, n: Head(
        Rows(nn.LSTM(shape[0] * shape[2], WIDTH, batch_first=True, bidirectional=True)), 2 * WIDTH, n
    ),
    "lstm-projection": lambda shape, n: Head(
        Rows(nn.LSTM(shape[0] * shape[2], WIDTH, batch_first=True, proj_size=3)), 3, n
    ),
    "no-norm": lambda shape, n: Head(_maps(shape[0]), WIDTH, n),
    "repeated": lambda shape, n: Repeated(shape[0] * shape[1] * shape[2], n),
    "rnn": lambda shape, n: Head(Rows(nn.RNN(shape[0] * shape[2], WIDTH, batch_first=True)), WIDTH, n),
    "tied": lambda shape, n: Tied(shape[0], n),
    "transposed": lambda shape, n: Head(
        _maps(shape[0], nn.ReLU(), nn.ConvTranspose2d(WIDTH, 4, 2, stride=2, groups=2)), 4, n
    ),
}
"""Name → (input shape, classes) → network."""
