"""Whether a library's network computes the same in two versions of the library."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version

import numpy as np
import torch
from torch import Tensor, nn

from lthsweep.errors import ModelError
from lthsweep.models.build import build_model
from lthsweep.models.macs import blank_input, evaluating
from lthsweep.models.networks import network
from lthsweep.models.shapes import InputShape, TextShape
from lthsweep.randomness import hash_counters, stream

__all__ = ["library_identity"]

_DIGITS = 6


def library_identity(
    options: Mapping[str, object], input_shape: InputShape, classes: int
) -> dict[str, str] | None:
    """The library of a network, its version, and a hash of what the network computes.

    Args:
        options: the table `[sweep.model]`; `init` does not matter.
        input_shape: of one sample.
        classes: number of outputs.

    Returns:
        "library", "version" and "hash"; None for networks that are not a library's. The hash is the sha256 of the
        names and shapes of all parameters, and of the outputs of one forward pass in double precision and evaluation
        mode, rounded to 6 digits of the largest. Weights and input are functions of their position, so the hash
        depends neither on torch's generator nor on the processor.
    """
    library = network(str(options["name"])).library
    if not library:
        return None
    plain = json.dumps({**options, "init": "default"}, sort_keys=True)
    return {"library": library, "version": version(library), "hash": _hash(plain, input_shape, classes)}


@functools.cache
def _hash(options: str, input_shape: InputShape, classes: int) -> str:
    model = build_model(json.loads(options), input_shape=input_shape, classes=classes, seed=0).double()
    shapes = [[name, list(parameter.shape)] for name, parameter in model.named_parameters()]
    return hashlib.sha256(json.dumps([shapes, _outputs(model, input_shape)]).encode()).hexdigest()


@torch.no_grad()
def _outputs(model: nn.Module, input_shape: InputShape) -> list[float]:
    for number, parameter in enumerate(model.parameters()):
        fan_in = parameter[0].numel() if parameter.dim() > 1 else 1
        parameter.copy_(_numbers(parameter, number) / fan_in**0.5)
    inputs = blank_input(input_shape, next(model.parameters()))
    if not isinstance(input_shape, TextShape):
        inputs = _numbers(inputs, 0)
    with evaluating(model):
        outputs = model(inputs).flatten()
    scaled = outputs / outputs.abs().max()
    if not bool(scaled.isfinite().all()):
        raise ModelError("the network's outputs for the hash of its version are not finite")
    return [round(value, _DIGITS) + 0.0 for value in scaled.tolist()]


def _numbers(like: Tensor, number: int) -> Tensor:
    """Numbers in [-1, 1] in the shape of a tensor: a function of `number` and of their position."""
    words = hash_counters(stream(0, "library-identity"), number, np.arange(like.numel()))
    return torch.from_numpy((words >> np.uint64(40)).astype(np.float64) / 2**23 - 1).view(like.shape)
