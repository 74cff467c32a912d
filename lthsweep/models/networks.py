"""The networks and initializers by name. An entry is the whole extension; importing this module imports no torch.

From the entries come the allowed values of `[sweep.model] name` and `init`, the options of each network, error
messages, the reference page, and the checks that a network can read the data and that a pruning method applies to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lthsweep.errors import look_up
from lthsweep.options import Option
from lthsweep.usercode import is_code

__all__ = ["INITIALIZERS", "LIBRARIES", "NETWORKS", "Network", "network"]


@dataclass(frozen=True)
class Network:
    """A network that a sweep's file can name.

    Attributes:
        builder: "module:function" of `(input_shape, classes, **options) -> nn.Module`.
        summary: the sentences of the reference page. Networks with the same summary and options share a section.
        reads: the kind of data, "images" or "texts"; "" if unknown.
        options: keyword arguments of the builder, which are keys of `[sweep.model]`.
        library: package from which the network comes, whose version is recorded; "" for none.
    """

    builder: str
    summary: str
    reads: str = "images"
    options: Mapping[str, Option] = field(default_factory=dict)
    library: str = ""


def network(name: str) -> Network:
    """Return the network of a name in the sweep's file, which can be a function of the user or a library's network.

    Raises:
        UnknownNameError: if the name is unknown; the message gives the nearest.
    """
    if is_code(name):
        return Network(name, "A network that you wrote.", reads="")
    library, colon, _ = name.partition(":")
    if colon:
        return look_up("library", library, LIBRARIES)
    return look_up("network", name, NETWORKS)


def _dropout(default: float, where: str) -> Option:
    return Option(default, f"Dropout {where}.", least=0, below=1)


_CONV = "Conv-2, Conv-4 and Conv-6, convolutional networks of the lottery-ticket paper (arXiv:1803.03635)."
_RESNET = "The residual networks for CIFAR (He et al. 2016, arXiv:1512.03385, section 4.2) of depth 6n + 2."
_VGG = "VGG for CIFAR: batch normalization, one linear layer (Simonyan & Zisserman 2015, arXiv:1409.1556)."

NETWORKS: Mapping[str, Network] = {
    "mobilenet_v2": Network(
        "lthsweep.models.mobilenet_v2:mobilenet_v2",
        "MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381), torchvision's.",
        library="torchvision",
        options={
            "strides": Option(
                "imagenet",
                "imagenet shrinks images as in the paper; cifar less, for images of 32 × 32.",
                choices=("imagenet", "cifar"),
            ),
            "width": Option(1.0, "Multiplier on the number of channels of every layer.", above=0, most=8),
            "dropout": _dropout(0.2, "before the classifier"),
        },
    ),
    "lenet_300_100": Network(
        "lthsweep.models.lenet:lenet_300_100",
        "LeNet-300-100, the fully connected network of the lottery-ticket paper (arXiv:1803.03635).",
    ),
    **{f"conv{depth}": Network(f"lthsweep.models.conv:conv{depth}", _CONV) for depth in (2, 4, 6)},
    **{
        f"resnet{depth}": Network(f"lthsweep.models.resnet:resnet{depth}", _RESNET)
        for depth in (20, 32, 44, 56, 110)
    },
    **{f"vgg{depth}": Network(f"lthsweep.models.vgg:vgg{depth}", _VGG) for depth in (11, 13, 16, 19)},
    "audio_cnn": Network(
        "lthsweep.models.audio_cnn:audio_cnn",
        "Four convolutions for log-mel images of sounds, after Kong et al. 2020, arXiv:1912.10211.",
        options={
            "channels": Option(
                32,
                "Channels of the first convolution; the others have 2 to 4 times as many.",
                least=1,
                most=1024,
            ),
            "dropout": _dropout(0.2, "before the last layer"),
        },
    ),
    "text_cnn": Network(
        "lthsweep.models.text_cnn:text_cnn",
        "The convolutional network for sentences (Kim 2014, arXiv:1408.5882).",
        reads="texts",
        options={
            "embedding": Option(
                128, "Numbers per token, learned from scratch and never pruned.", least=1, most=4096
            ),
            "filters": Option(100, "Filters of each of the widths 3, 4 and 5.", least=1, most=4096),
            "dropout": _dropout(0.5, "before the last layer"),
        },
    ),
    "text_transformer": Network(
        "lthsweep.models.text_transformer:text_transformer",
        "A small Transformer encoder (Vaswani et al. 2017, arXiv:1706.03762) that classifies texts.",
        reads="texts",
        options={
            "embedding": Option(
                128,
                "Numbers per token, a multiple of `heads`; the tables are never pruned.",
                least=1,
                most=4096,
            ),
            "layers": Option(2, "Number of layers of attention.", least=1, most=48),
            "heads": Option(4, "Heads of each attention.", least=1, most=128, divides="embedding"),
            "dropout": _dropout(0.1, "of the embeddings and within the layers"),
        },
    ),
}
"""Name in the file → network, in the order of the documentation."""

LIBRARIES: Mapping[str, Network] = {
    "timm": Network(
        "lthsweep.models.libraries:timm_network",
        "A network of timm, if it is installed, with random weights.",
        library="timm",
    ),
    "torchvision": Network(
        "lthsweep.models.libraries:torchvision_network",
        "A classification network of torchvision, with random weights.",
        library="torchvision",
    ),
}
"""Prefix of the name in the file, as in `torchvision:resnet18` → the library. Its builder takes the rest of the name
as its first argument, and checks its options itself."""

INITIALIZERS: Mapping[str, str] = {
    name: f"lthsweep.models.initializers:{name}"
    for name in (
        "default",
        "kaiming_normal",
        "kaiming_uniform",
        "orthogonal",
        "signed_constant",
        "xavier_normal",
        "xavier_uniform",
    )
}
"""Value of the option `init` → "module:function"; the function fills a model in place."""
