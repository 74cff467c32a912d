"""`[sweep.model]`: which network, and how its weights are drawn."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field

from lthsweep.models.registry import INITIALIZERS
from lthsweep.spec.base import Number, Text, Whole
from lthsweep.spec.registry_fields import EntryTable, NameOf, TableByName

__all__ = [
    "AudioCNNSpec",
    "ConvSpec",
    "LeNetSpec",
    "MobileNetV2Spec",
    "ModelSpec",
    "ResNetSpec",
    "TextCNNSpec",
    "TextTransformerSpec",
    "VGGSpec",
]


class NetworkTable(EntryTable):
    """The keys that all networks share."""

    reads: ClassVar[str] = "images"
    """What data it is for: "images" or "texts"."""

    init: Annotated[Text, NameOf(INITIALIZERS)] = Field(
        "default",
        description="How convolution and linear weights are drawn; default is what PyTorch does.",
    )


class MobileNetV2Spec(NetworkTable):
    """MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381), torchvision's."""

    name: Literal["mobilenet_v2"] = Field("mobilenet_v2", description="The network.")
    strides: Literal["imagenet", "cifar"] = Field(
        "imagenet",
        description="imagenet shrinks images as in the paper; cifar less, for images of 32 × 32.",
    )
    width: Number = Field(1.0, gt=0, le=8, description="Multiplier on the number of channels of every layer.")
    dropout: Number = Field(0.2, ge=0, lt=1, description="Dropout before the classifier.")


class LeNetSpec(NetworkTable):
    """LeNet-300-100, the fully connected network of the lottery-ticket paper (arXiv:1803.03635)."""

    name: Literal["lenet_300_100"] = Field("lenet_300_100", description="The network.")


class ConvSpec(NetworkTable):
    """Conv-2, Conv-4 and Conv-6, convolutional networks of the lottery-ticket paper (arXiv:1803.03635)."""

    name: Literal["conv2", "conv4", "conv6"] = Field(description="The network, by number of convolutions.")


class ResNetSpec(NetworkTable):
    """The residual networks for CIFAR (He et al. 2016, arXiv:1512.03385, section 4.2) of depth 6n + 2."""

    name: Literal["resnet20", "resnet32", "resnet44", "resnet56", "resnet110"] = Field(
        description="The network, by depth."
    )


class VGGSpec(NetworkTable):
    """VGG for CIFAR: batch normalization, one linear layer (Simonyan & Zisserman 2015, arXiv:1409.1556)."""

    name: Literal["vgg11", "vgg13", "vgg16", "vgg19"] = Field(description="The network, by depth.")


class AudioCNNSpec(NetworkTable):
    """Four convolutions for log-mel pictures of sounds, after Kong et al. 2020, arXiv:1912.10211."""

    name: Literal["audio_cnn"] = Field("audio_cnn", description="The network.")
    channels: Whole = Field(
        32,
        ge=1,
        le=1024,
        description="Channels of the first convolution; the others have 2 to 4 times as many.",
    )
    dropout: Number = Field(0.2, ge=0, lt=1, description="Dropout before the last layer.")


class TextCNNSpec(NetworkTable):
    """The convolutional network for sentences (Kim 2014, arXiv:1408.5882)."""

    reads: ClassVar[str] = "texts"

    name: Literal["text_cnn"] = Field("text_cnn", description="The network.")
    embedding: Whole = Field(
        128, ge=1, le=4096, description="Numbers per token, learned from nothing and never pruned."
    )
    filters: Whole = Field(100, ge=1, le=4096, description="Filters of each of the widths 3, 4 and 5.")
    dropout: Number = Field(0.5, ge=0, lt=1, description="Dropout before the last layer.")


class TextTransformerSpec(NetworkTable):
    """A small Transformer encoder (Vaswani et al. 2017, arXiv:1706.03762) that classifies texts."""

    reads: ClassVar[str] = "texts"

    name: Literal["text_transformer"] = Field("text_transformer", description="The network.")
    embedding: Whole = Field(
        128,
        ge=1,
        le=4096,
        description="Numbers per token, a multiple of `heads`; the tables are never pruned.",
    )
    layers: Whole = Field(2, ge=1, le=48, description="How many layers of attention.")
    heads: Whole = Field(4, ge=1, le=128, description="Heads of each attention.")
    dropout: Number = Field(0.1, ge=0, lt=1, description="Dropout of the embeddings and within the layers.")


NETWORKS = TableByName(
    {
        name: table
        for table in (
            MobileNetV2Spec,
            LeNetSpec,
            ConvSpec,
            ResNetSpec,
            VGGSpec,
            AudioCNNSpec,
            TextCNNSpec,
            TextTransformerSpec,
        )
        for name in get_args(table.model_fields["name"].annotation)
    }
)

ModelSpec = Annotated[NetworkTable, NETWORKS]
"""The table of any network; `name` selects which."""
