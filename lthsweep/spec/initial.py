"""The value of `model.init`: the name of a scheme, or code of the user's own.

Code is named with the hash of its source as soon as a file is read, so that the resolved file, the keys of the runs and
the tables all say which code was meant. Nothing is run here; see `lthsweep.usercode`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic_core import PydanticCustomError

from lthsweep.errors import CodeError, nearest
from lthsweep.models.registry import INITIALIZERS
from lthsweep.spec.inline import inline
from lthsweep.usercode import is_code, pinned

__all__ = ["INIT_AXIS", "SCHEMES", "SCHEMES_TEXT", "pinned_axis", "scheme"]

SCHEMES: tuple[str, ...] = tuple(INITIALIZERS)
"""The schemes that come with the package."""

SCHEMES_TEXT = f'one of {", ".join(map(inline, SCHEMES))}, or "module:function" of your own'
"""Completes "must be …"."""

INIT_AXIS = "model.init"


def scheme(name: str) -> str:
    """A known name as it is, code with the hash of its source.

    Raises:
        PydanticCustomError: if it is neither; its message says it all.
    """
    if name in SCHEMES:
        return name
    if is_code(name):
        try:
            return pinned(name)
        except CodeError as error:
            raise PydanticCustomError("init", "{reason}", {"reason": str(error)}) from None
    hint = nearest(name, SCHEMES)
    start = f"did you mean {inline(hint)}? it " if hint else ""
    raise PydanticCustomError("init", "{reason}", {"reason": f"{start}must be {SCHEMES_TEXT}"})


def pinned_axis(values: Any) -> Any:
    """The values of the axis `model.init` with code pinned; what is wrong with others is said where they are used."""
    if not isinstance(values, Sequence) or isinstance(values, str):
        return values
    return [_pinned_or_left(value) for value in values]


def _pinned_or_left(value: Any) -> Any:
    if not isinstance(value, str) or not is_code(value):
        return value
    try:
        return pinned(value)
    except CodeError:
        return value
