"""The names of models and initializers, and where each lives. Free of torch: reading a file stays fast."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["INITIALIZERS", "MODELS"]

MODELS: Mapping[str, str] = {
    "mobilenet_v2": "lthsweep.models.mobilenet_v2:mobilenet_v2",
    "lenet_300_100": "lthsweep.models.lenet:lenet_300_100",
    "conv2": "lthsweep.models.conv:conv2",
    "conv4": "lthsweep.models.conv:conv4",
    "conv6": "lthsweep.models.conv:conv6",
    "resnet20": "lthsweep.models.resnet:resnet20",
    "resnet32": "lthsweep.models.resnet:resnet32",
    "resnet44": "lthsweep.models.resnet:resnet44",
    "resnet56": "lthsweep.models.resnet:resnet56",
    "resnet110": "lthsweep.models.resnet:resnet110",
    "vgg11": "lthsweep.models.vgg:vgg11",
    "vgg13": "lthsweep.models.vgg:vgg13",
    "vgg16": "lthsweep.models.vgg:vgg16",
    "vgg19": "lthsweep.models.vgg:vgg19",
    "audio_cnn": "lthsweep.models.audio_cnn:audio_cnn",
    "text_cnn": "lthsweep.models.text_cnn:text_cnn",
    "text_transformer": "lthsweep.models.text_transformer:text_transformer",
}
"""Model name → "module:function"; the function takes (input_shape, classes, *, its own options)."""

INITIALIZERS: Mapping[str, str] = {
    "default": "lthsweep.models.initializers:default",
    "kaiming_normal": "lthsweep.models.initializers:kaiming_normal",
    "kaiming_uniform": "lthsweep.models.initializers:kaiming_uniform",
    "orthogonal": "lthsweep.models.initializers:orthogonal",
    "signed_constant": "lthsweep.models.initializers:signed_constant",
    "xavier_normal": "lthsweep.models.initializers:xavier_normal",
    "xavier_uniform": "lthsweep.models.initializers:xavier_uniform",
}
"""Value of the option `init` → "module:function"; the function fills a model in place."""
