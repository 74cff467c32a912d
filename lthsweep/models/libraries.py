"""Networks of other libraries by name: `torchvision:resnet18`, `timm:vit_tiny_patch16_224`. Weights are random, always.

The registry is `lthsweep.models.networks.LIBRARIES`. Options of the file are passed to the library's function. Nothing
is downloaded: options that would load trained weights are refused.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from lthsweep.errors import ModelError, nearest
from lthsweep.models.shapes import InputShape, check_input

__all__ = ["timm_network", "torchvision_network"]

_RANDOM = "a sweep starts from random weights and downloads nothing"
_DATA = "the data determine it"

_GIVEN = {
    "checkpoint_path": _RANDOM,
    "in_chans": _DATA,
    "num_classes": _DATA,
    "pretrained": _RANDOM,
    "pretrained_backbone": _RANDOM,
    "pretrained_cfg": _RANDOM,
    "pretrained_cfg_overlay": _RANDOM,
    "pretrained_strict": _RANDOM,
    "weights": _RANDOM,
    "weights_backbone": _RANDOM,
}
"""Options that a file cannot set → the reason."""

_SIZE_OPTIONS = {
    "torchvision.models.vision_transformer": "image_size",
    "torchvision.models.maxvit": "input_size",
}
"""Module of torchvision → the option that takes the size of the images, where it has one."""


def torchvision_network(name: str, input_shape: InputShape, classes: int, **options: object) -> nn.Module:
    """Build a classification network of torchvision.

    For images of other than 3 channels, the first convolution is replaced by one with that number of input channels
    and PyTorch's default weights.

    Args:
        name: of `torchvision.models.list_models(module=torchvision.models)`.
        input_shape: (channels, height, width); networks that need the size of the images get it.
        classes: number of outputs.
        options: keyword arguments of torchvision's function, such as `width_mult` and `dropout`. Auxiliary
            classifiers are off unless `aux_logits = true`.

    Raises:
        ModelError: if the name is unknown, an option is not allowed, or torchvision refuses the arguments.
    """
    from torchvision import models

    model = f"torchvision:{name}"
    channels, height, width = check_input(model, input_shape)
    _check_options(model, options)
    known = models.list_models(module=models)
    if name not in known:
        raise _unknown(model, name, known)
    builder = models.get_model_builder(name)
    if size := _SIZE_OPTIONS.get(builder.__module__):
        if height != width:
            raise ModelError(f"model {model!r} takes square images, and these are {height}x{width}")
        options = {size: height if size == "image_size" else (height, width)} | options
    if builder.__module__ in ("torchvision.models.googlenet", "torchvision.models.inception"):
        options = {"aux_logits": False, "init_weights": True} | options
    network = _built(model, lambda: builder(weights=None, num_classes=classes, **options))
    return network if channels == 3 else _with_channels(model, network, channels)


def timm_network(name: str, input_shape: InputShape, classes: int, **options: object) -> nn.Module:
    """Build a network of timm, which must be installed.

    Args:
        name: of `timm.list_models()`.
        input_shape: (channels, height, width); networks that need the size of the images get it as `img_size`.
        classes: number of outputs.
        options: further keyword arguments of `timm.create_model`, such as `drop_rate`.

    Raises:
        ModelError: if timm is not installed, the name is unknown, an option is not allowed, or timm refuses the
            arguments.
    """
    model = f"timm:{name}"
    try:
        import timm
    except ImportError as error:
        raise ModelError(
            f"model {model!r} needs the package timm ({error}); install it: pip install 'lthsweep[timm]'"
        ) from error
    channels, height, width = check_input(model, input_shape)
    _check_options(model, options)
    if not timm.is_model(name):
        raise _unknown(model, name, timm.list_models())
    arguments: dict[str, Any] = {"pretrained": False, "num_classes": classes, "in_chans": channels} | options
    sized = {"img_size": (height, width)} | arguments
    generator = torch.get_rng_state()
    try:
        return _built(model, lambda: timm.create_model(name, **sized))
    except ModelError as error:
        if "img_size" in options or "'img_size'" not in str(error):
            raise
    torch.set_rng_state(generator)
    return _built(model, lambda: timm.create_model(name, **arguments))


def _check_options(model: str, options: Mapping[str, object]) -> None:
    for option in options:
        if option in _GIVEN:
            raise ModelError(f"model {model!r}: model.{option} cannot be set: {_GIVEN[option]}")


def _unknown(model: str, name: str, known: list[str]) -> ModelError:
    hint = nearest(name, known)
    meant = f" did you mean {hint!r}?" if hint else ""
    listed = ", ".join(known[:5])
    return ModelError(f"model {model!r} does not exist;{meant} there are {len(known)}, such as {listed}")


def _built(model: str, build: Callable[[], object]) -> nn.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about initialization and deprecated names inside the library
            network = build()
    except Exception as error:
        raise ModelError(f"model {model!r} cannot be built: {type(error).__name__}: {error}") from error
    assert isinstance(network, nn.Module)
    return network


def _with_channels(model: str, network: nn.Module, channels: int) -> nn.Module:
    for place, module in network.named_modules():
        if isinstance(module, nn.Conv2d) and module.in_channels == 3 and module.groups == 1:
            # Most arguments of Conv2d are tuples of undeclared length in its attributes.
            same: dict[str, Any] = {
                name: getattr(module, name) for name in ("stride", "padding", "dilation", "padding_mode")
            }
            bias = module.bias is not None
            replacement = nn.Conv2d(channels, module.out_channels, module.kernel_size, bias=bias, **same)  # type: ignore[arg-type]
            network.set_submodule(place, replacement)
            return network
    raise ModelError(f"model {model!r} takes images of 3 channels, and these have {channels}")
