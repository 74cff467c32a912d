"""The CIFAR ResNets: 20, 32, 44, 56 and 110 layers in three stages of 16, 32 and 64 channels."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from lthsweep.errors import ModelError
from lthsweep.models.shapes import InputShape, check_input

__all__ = ["ResNet", "resnet", "resnet20", "resnet32", "resnet44", "resnet56", "resnet110"]


class ResNet(nn.Module):
    """A stem convolution, three stages of residual blocks, global average pooling, one linear layer."""

    def __init__(self, in_channels: int, classes: int, blocks_per_stage: int) -> None:
        super().__init__()
        self.conv1 = _conv3x3(in_channels, 16, 1)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(16, 16, blocks_per_stage, stride=1)
        self.layer2 = _stage(16, 32, blocks_per_stage, stride=2)
        self.layer3 = _stage(32, 64, blocks_per_stage, stride=2)
        self.fc = nn.Linear(64, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, classes] of images [N, C, H, W]."""
        out = torch.relu_(self.bn1(self.conv1(images)))
        out = self.layer3(self.layer2(self.layer1(out)))
        logits: Tensor = self.fc(out.mean(dim=(2, 3)))
        return logits


def resnet(input_shape: InputShape, classes: int, *, depth: int) -> nn.Module:
    """Build a CIFAR ResNet.

    He et al., CVPR 2016, arXiv:1512.03385, section 4.2. Where the width changes, the shortcut is a 1x1
    convolution with BatchNorm (the paper's option B), as in open_lth, the code of Frankle et al., ICML 2020,
    arXiv:1912.05671 ("LMC"): ResNet-20 on CIFAR-10 has 272,474 parameters and 40,813,184
    multiply-accumulates. With He's parameter-free shortcuts (option A) it would have 269,722 and 40,551,040;
    both are the paper's 0.27 M.

    Args:
        input_shape: (channels, height, width).
        classes: outputs of the last layer.
        depth: 6n + 2 for n blocks of two convolutions in each stage, at least 8.

    Raises:
        ModelError: if `depth` is not 6n + 2, or the shape is not an image's.
    """
    channels, _, _ = check_input(f"resnet{depth}", input_shape)
    if depth < 8 or (depth - 2) % 6:
        raise ModelError(f"model 'resnet{depth}': depth {depth} is not 6n + 2; take 20, 32, 44, 56 or 110")
    return ResNet(channels, classes, (depth - 2) // 6)


resnet20 = partial(resnet, depth=20)
resnet32 = partial(resnet, depth=32)
resnet44 = partial(resnet, depth=44)
resnet56 = partial(resnet, depth=56)
resnet110 = partial(resnet, depth=110)


class _Block(nn.Module):
    """Two 3x3 convolutions with BatchNorm, and the shortcut around them."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _conv3x3(in_channels, out_channels, stride)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = _conv3x3(out_channels, out_channels, 1)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, images: Tensor) -> Tensor:
        # In place, because the backward pass needs no overwritten value: saves 4 % of a step on a CPU.
        out = torch.relu_(self.bn1(self.conv1(images)))
        out = self.bn2(self.conv2(out))
        out += self.shortcut(images)
        return torch.relu_(out)


def _conv3x3(in_channels: int, out_channels: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)


def _stage(in_channels: int, out_channels: int, blocks: int, stride: int) -> nn.Sequential:
    rest = [_Block(out_channels, out_channels, 1) for _ in range(blocks - 1)]
    return nn.Sequential(_Block(in_channels, out_channels, stride), *rest)
