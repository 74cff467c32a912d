"""`[sweep.model]`: which network, and how its weights are drawn."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from lthsweep.spec.base import Allowed, Number, Table, Text
from lthsweep.spec.initial import SCHEMES_TEXT, scheme

__all__ = ["ConvSpec", "LeNetSpec", "MobileNetV2Spec", "ModelSpec", "ResNetSpec", "VGGSpec"]


class _Model(Table):
    init: Annotated[
        Text,
        AfterValidator(scheme),
        Allowed(SCHEMES_TEXT),
    ] = Field(
        "default",
        description="How convolution and linear weights are drawn; default is what PyTorch does.",
    )


class MobileNetV2Spec(_Model):
    """MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381), torchvision's."""

    name: Literal["mobilenet_v2"] = Field("mobilenet_v2", description="The network.")
    strides: Literal["imagenet", "cifar"] = Field(
        "imagenet",
        description="imagenet shrinks images as in the paper; cifar less, for images of 32 × 32.",
    )
    width: Number = Field(1.0, gt=0, le=8, description="Multiplier on the number of channels of every layer.")
    dropout: Number = Field(0.2, ge=0, lt=1, description="Dropout before the classifier.")


class LeNetSpec(_Model):
    """LeNet-300-100, the fully connected network of the lottery-ticket paper (arXiv:1803.03635)."""

    name: Literal["lenet_300_100"] = Field("lenet_300_100", description="The network.")


class ConvSpec(_Model):
    """Conv-2, Conv-4 and Conv-6, convolutional networks of the lottery-ticket paper (arXiv:1803.03635)."""

    name: Literal["conv2", "conv4", "conv6"] = Field(description="The network, by number of convolutions.")


class ResNetSpec(_Model):
    """The residual networks for CIFAR (He et al. 2016, arXiv:1512.03385, section 4.2) of depth 6n + 2."""

    name: Literal["resnet20", "resnet32", "resnet44", "resnet56", "resnet110"] = Field(
        description="The network, by depth."
    )


class VGGSpec(_Model):
    """VGG for CIFAR: batch normalisation, one linear layer (Simonyan & Zisserman 2015, arXiv:1409.1556)."""

    name: Literal["vgg11", "vgg13", "vgg16", "vgg19"] = Field(description="The network, by depth.")


ModelSpec = Annotated[
    MobileNetV2Spec | LeNetSpec | ConvSpec | ResNetSpec | VGGSpec,
    Field(discriminator="name"),
]
"""Any of the models; which one is said by `name`."""
