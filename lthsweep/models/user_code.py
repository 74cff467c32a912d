"""Initialization schemes and networks of the user: their contracts, and the checks that they are kept.

- A scheme `scheme(model) -> None` fills the parameters of a model in place, every weight of a layer among them.
- A network `build(input_shape, classes, **options) -> nn.Module` returns a model whose output is [batch, classes].

Both draw from torch's default generator, which is seeded before each call. Any other source of chance would make runs
that cannot be repeated, so each is called twice and must do the same.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping

import torch
from torch import nn

from lthsweep.errors import ModelError
from lthsweep.models.layers import weight_names
from lthsweep.models.macs import blank_input, evaluating
from lthsweep.models.shapes import InputShape
from lthsweep.usercode import load

__all__ = ["user_network", "user_scheme"]


def user_network(
    name: str,
    input_shape: InputShape,
    classes: int,
    options: Mapping[str, object],
    reseed: Callable[[], object],
) -> nn.Module:
    """Return the network that a function of the user builds.

    Args:
        name: as in the file, "module:function@HASH".
        input_shape: of one input.
        classes: required number of outputs.
        options: keyword arguments of the function.
        reseed: seeds torch's default generator; called before each call of the function.

    Raises:
        CodeError: if the code is not allowed, not found, or changed since the name was written.
        ModelError: if the function does not accept the options, fails, returns no network of `classes` outputs, or
            draws other weights at its second call.
    """
    build = load(name)
    if isinstance(build, nn.Module):
        raise ModelError(
            f"model {name!r} is a network that is built already; name its class, or a function that builds it"
        )
    try:
        inspect.signature(build).bind(input_shape, classes, **options)
    except TypeError as error:
        keys = ", ".join(f"model.{key}" for key in options) or "none"
        raise ModelError(
            f"model {name!r} cannot be called as build(input_shape, classes, **options) with the options of the file "
            f"({keys}): {error}"
        ) from None

    def built() -> nn.Module:
        reseed()
        try:
            model = build(input_shape, classes, **options)
        except Exception as error:
            call = "; it is called as build(input_shape, classes, **options)" * isinstance(error, TypeError)
            raise ModelError(f"model {name!r} fails: {type(error).__name__}: {error}{call}") from error
        if not isinstance(model, nn.Module):
            raise ModelError(f"model {name!r} returns {type(model).__name__}; return a torch.nn.Module")
        if lazy := [key for key, value in model.named_parameters() if nn.parameter.is_lazy(value)]:
            raise ModelError(
                f"model {name!r} has lazy layers, whose parameters have no shape yet ({', '.join(lazy[:3])}); give "
                f"their sizes, which follow from input_shape, or call the network once in its constructor"
            )
        if next(model.parameters(), None) is None:
            raise ModelError(f"model {name!r} has no parameters; create its layers in the constructor")
        return model

    model = built()
    if not _equal(model, built()):
        raise ModelError(
            f"model {name!r} has other weights at its second call; draw from torch's default generator only, which is "
            f"seeded before each call"
        )
    _check_output(name, model, input_shape, classes)
    return model


def user_scheme(name: str, rebuild: Callable[..., nn.Module]) -> Callable[[nn.Module], None]:
    """Return the scheme of a name such as "my_inits:scheme@HASH", with checks around it.

    Args:
        name: as in the file, with the hash of the source.
        rebuild: builds the model again and seeds the generator, as for the model that is filled; with
            `other_constructor=True`, the constructor draws other numbers.

    Returns:
        A function that fills a model. It raises ModelError if the scheme fails, changes shapes or types, leaves numbers
        that are not finite, does something else at its second call, returns another model, or leaves any number of a
        weight as the constructor drew it. Numbers that are not random after construction may stay, and so may biases,
        normalization, embeddings and frozen weights.

    Raises:
        CodeError: if the code is not allowed, not found, or changed since the name was written.
        ModelError: if the function does not take one argument.
    """
    scheme = load(name)
    try:
        inspect.signature(scheme).bind(nn.Identity())
    except TypeError as error:
        raise ModelError(f"init {name!r} cannot be called as scheme(model): {error}") from None
    except ValueError:  # a built-in without a signature; errors appear when it is called
        pass

    def fill(model: nn.Module) -> None:
        before, drawn = _shapes(model), _weights(model)
        _call(name, scheme, model)
        if _shapes(model) != before:
            raise ModelError(
                f"init {name!r} changed the name, shape or type of a parameter; fill parameters in place"
            )
        bad = [key for key, value in model.state_dict().items() if not bool(torch.isfinite(value).all())]
        if bad:
            raise ModelError(
                f"init {name!r} left numbers that are not finite in {', '.join(bad[:3])}; fill every weight"
            )
        other = rebuild()
        _call(name, scheme, other)
        if not _equal(model, other):
            raise ModelError(
                f"init {name!r} draws other weights at its second call; draw from torch's default generator only, "
                f"which is seeded before each call"
            )
        stranger = rebuild(other_constructor=True)
        drawn_otherwise = _weights(stranger)
        _call(name, scheme, stranger)
        random = [key for key, weight in drawn.items() if not torch.equal(weight, drawn_otherwise[key])]
        now, then = _weights(model), _weights(stranger)
        left = [
            key
            for key in random
            if bool(
                (
                    (drawn[key] != drawn_otherwise[key])
                    & (now[key] == drawn[key])
                    & (then[key] == drawn_otherwise[key])
                ).any()
            )
        ]
        if left:
            others = f" and {len(left) - 5} others" if len(left) > 5 else ""
            raise ModelError(
                f"init {name!r} fills {'nothing' if left == random else 'only a part'}: {', '.join(left[:5])}{others} "
                f"kept the values of the constructor; fill the weights of all layers of the given model in place"
            )

    return fill


def _check_output(name: str, model: nn.Module, input_shape: InputShape, classes: int) -> None:
    try:
        with evaluating(model), torch.no_grad():
            output = model(blank_input(input_shape, next(model.parameters())))
    except Exception as error:
        raise ModelError(
            f"model {name!r} fails on an input of {input_shape}: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(output, torch.Tensor) or tuple(output.shape) != (1, classes):
        found = list(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise ModelError(
            f"model {name!r} returns {found} for one input; return logits of shape [1, {classes}]"
        )


def _call(name: str, scheme: Callable[[nn.Module], object], model: nn.Module) -> None:
    try:
        with torch.no_grad():
            returned = scheme(model)
    except Exception as error:
        raise ModelError(f"init {name!r} fails: {type(error).__name__}: {error}") from error
    if isinstance(returned, nn.Module) and returned is not model:
        raise ModelError(
            f"init {name!r} returns another model; fill the parameters of the given one in place"
        )


def _weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """Copies of the weights of all layers, except frozen ones."""
    return {
        f"{place}.{name}".lstrip("."): weight.detach().clone()
        for place, module in model.named_modules()
        for name in weight_names(module)
        if (weight := module._parameters.get(name)) is not None and weight.requires_grad
    }


def _equal(model: nn.Module, other: nn.Module) -> bool:
    """True if both have the same tensors, bit for bit."""
    theirs = other.state_dict()
    return _shapes(model) == _shapes(other) and all(
        torch.equal(value, theirs[key]) for key, value in model.state_dict().items()
    )


def _shapes(model: nn.Module) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (value.shape, value.dtype) for name, value in model.state_dict().items()}
