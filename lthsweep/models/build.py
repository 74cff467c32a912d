"""From the model's table in the file to a network with its initial weights."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from lthsweep.errors import ModelError, look_up
from lthsweep.models.custom import custom_scheme
from lthsweep.models.registry import INITIALIZERS, MODELS
from lthsweep.models.shapes import InputShape
from lthsweep.randomness import torch_seed
from lthsweep.registry import load_entry
from lthsweep.usercode import is_code

__all__ = ["build_model"]


def build_model(options: Mapping[str, Any], *, input_shape: InputShape, classes: int, seed: int) -> nn.Module:
    """Build a network on the CPU, in float32: a pure function of its arguments.

    The weights depend on the seed and on nothing that was drawn before; torch's global random state is as it
    was afterward. The architecture and the initializer each draw from the start of the seed's stream "init",
    so that an initializer's weights do not depend on what a constructor drew.

    Args:
        options: `name` (of `MODELS`), `init` (of `INITIALIZERS`, "default" if absent, or code of the user's own,
            "module:function@HASH"), and the model's own options.
        input_shape: (channels, height, width) of one image, or a `TextShape`.
        classes: number of outputs, at least 1.
        seed: of the replicate, 0 or more.

    Raises:
        UnknownNameError: if the model or the initializer is not in its registry.
        CodeError: if code of the user's own is not allowed, not there or not the one that was named.
        ModelError: if that code does not keep its contract (`lthsweep.models.custom`), an option is unknown or
            out of range, or the images are too small for the network.
    """
    chosen = dict(options)
    name = str(chosen.pop("name", ""))
    construct = load_entry(look_up("model", name, MODELS))
    init = str(chosen.pop("init", "default"))
    _check_options(name, construct, chosen)
    if classes < 1:
        raise ModelError(f"model {name!r}: {classes} classes; a classifier needs at least 1")
    start = torch_seed(seed, "init")

    def constructed() -> nn.Module:
        # not torch.manual_seed, which would also reseed every GPU, and nothing would restore those
        torch.default_generator.manual_seed(start)
        model: nn.Module = construct(input_shape, classes, **chosen)
        torch.default_generator.manual_seed(start)
        return model

    initialize = (
        custom_scheme(init, constructed)
        if is_code(init)
        else load_entry(look_up("initializer", init, INITIALIZERS))
    )
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        model = constructed()
        initialize(model)
    return model


def _check_options(name: str, construct: Callable[..., Any], chosen: Mapping[str, Any]) -> None:
    fixed = construct.keywords if hasattr(construct, "keywords") else {}
    known = {
        option
        for option, parameter in inspect.signature(construct).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and option not in fixed
    }
    unknown = sorted(set(chosen) - known)
    if unknown:
        raise ModelError(
            f"model {name!r} has no option {', '.join(map(repr, unknown))}; "
            f"it has: {', '.join(sorted({'init', *known}))}"
        )
