"""Initialization schemes of the user's own: the contract, and the checks that a scheme keeps it.

A scheme is a function of the model alone, `def scheme(model: nn.Module) -> None`, that fills parameters in place.
It draws from torch's default generator, which is seeded before it is called. Runs with another source of chance
could not be repeated, so the scheme is called twice, on two equal models, and must do the same.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from lthsweep.errors import ModelError
from lthsweep.usercode import load

__all__ = ["custom_scheme"]


def custom_scheme(name: str, rebuild: Callable[[], nn.Module]) -> Callable[[nn.Module], None]:
    """The scheme of a name such as "my_inits:scheme@HASH", with checks around it.

    Args:
        name: as in the file, with the hash of the source.
        rebuild: makes the model once more and seeds the generator, as it was for the model that is filled.

    Returns:
        A function that fills a model. It raises ModelError if the scheme fails, changes shapes or types, leaves
        numbers that are not finite, or does not do the same twice.

    Raises:
        CodeError: if the code is not allowed, not found or not the one that the name was written for.
        ModelError: if the function does not take one argument.
    """
    scheme = load(name)
    try:
        inspect.signature(scheme).bind(nn.Identity())
    except TypeError as error:
        raise ModelError(f"init {name!r} cannot be called as scheme(model): {error}") from None
    except ValueError:  # a built-in without a signature shows when it is called
        pass

    def fill(model: nn.Module) -> None:
        before = _shapes(model)
        _call(name, scheme, model)
        if _shapes(model) != before:
            raise ModelError(
                f"init {name!r} changed the name, shape or type of a parameter; fill them in place"
            )
        bad = [key for key, value in model.state_dict().items() if not bool(torch.isfinite(value).all())]
        if bad:
            raise ModelError(
                f"init {name!r} left numbers that are not finite in {', '.join(bad[:3])}; fill every weight"
            )
        other = rebuild()
        _call(name, scheme, other)
        theirs = other.state_dict()
        if not all(torch.equal(value, theirs[key]) for key, value in model.state_dict().items()):
            raise ModelError(
                f"init {name!r} does something else each time; draw from torch's default generator alone, which is "
                f"seeded before each call"
            )

    return fill


def _call(name: str, scheme: Callable[[nn.Module], Any], model: nn.Module) -> None:
    try:
        with torch.no_grad():
            scheme(model)
    except Exception as error:
        raise ModelError(f"init {name!r} fails: {type(error).__name__}: {error}") from error


def _shapes(model: nn.Module) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (value.shape, value.dtype) for name, value in model.state_dict().items()}
