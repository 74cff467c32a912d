"""From the model's table in the file to a network with its initial weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import nn

from lthsweep.errors import ModelError, look_up
from lthsweep.models.networks import INITIALIZERS, Network, network
from lthsweep.models.shapes import InputShape
from lthsweep.models.user_code import user_network, user_scheme
from lthsweep.options import OptionValue, complete_options, load_entry
from lthsweep.randomness import torch_seed
from lthsweep.usercode import is_code, is_library

__all__ = ["build_model"]


def build_model(
    options: Mapping[str, object], *, input_shape: InputShape, classes: int, seed: int
) -> nn.Module:
    """Build a network on the CPU, in float32: a pure function of its arguments.

    The weights depend on the seed and not on earlier draws; torch's global random state is restored. The architecture
    and the initializer each draw from the start of the seed's stream "init", so that an initializer's weights do not
    depend on the draws of a constructor.

    Args:
        options: `name` (of `NETWORKS`, "LIBRARY:NAME" of `LIBRARIES`, or code of the user, "module:function@HASH"),
            `init` (of `INITIALIZERS`, "default" if absent, or code of the user), and the network's own options.
        input_shape: (channels, height, width) of one image, or a `TextShape`.
        classes: number of outputs, at least 1.
        seed: of the replicate, 0 or more.

    Raises:
        UnknownNameError: if the network or the initializer is not in its registry.
        CodeError: if code of the user is not allowed, not found, or changed since the name was written.
        ModelError: if that code does not keep its contract (`lthsweep.models.user_code`), an option is unknown or out
            of range, or the images are too small for the network.
    """
    chosen = dict(options)
    name = str(chosen.pop("name", ""))
    init = str(chosen.pop("init", "default"))
    start = torch_seed(seed, "init")
    if classes < 1:
        raise ModelError(f"model {name!r}: {classes} classes; a classifier needs at least 1")
    construct = _constructor(name, chosen, input_shape, classes)

    def constructed(*, other_constructor: bool = False) -> nn.Module:
        model = construct(torch_seed(seed, "init/other") if other_constructor else start)
        _reseed(start)
        return model

    initialize = (
        user_scheme(init, constructed)
        if is_code(init)
        else load_entry(look_up("initializer", init, INITIALIZERS))
    )
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        model = constructed()
        initialize(model)
    return model


def _reseed(seed: int) -> None:
    """Not torch.manual_seed, which would also reseed every GPU, whose states are not restored here."""
    torch.default_generator.manual_seed(seed)


def _constructor(
    name: str, options: Mapping[str, object], input_shape: InputShape, classes: int
) -> Callable[[int], nn.Module]:
    """A function that builds the network, with torch's default generator seeded by its argument."""
    entry = network(name)
    if is_code(name):
        return lambda seed: user_network(name, input_shape, classes, options, lambda: _reseed(seed))
    if is_library(name):
        build = partial(load_entry(entry.builder), name.partition(":")[2], input_shape, classes, **options)
    else:
        build = partial(load_entry(entry.builder), input_shape, classes, **_complete(name, entry, options))

    def built(seed: int) -> nn.Module:
        _reseed(seed)
        model: nn.Module = build()
        return model

    return built


def _complete(name: str, entry: Network, options: Mapping[str, object]) -> dict[str, OptionValue]:
    """All options of a built-in network, checked."""
    unknown = sorted(options.keys() - entry.options.keys())
    if unknown:
        raise ModelError(
            f"model {name!r} has no option {', '.join(map(repr, unknown))}; "
            f"it has: {', '.join(sorted({'init', *entry.options}))}"
        )
    try:
        return complete_options(entry.options, options)
    except ValueError as error:
        raise ModelError(f"model {name!r}: model.{error}") from None
