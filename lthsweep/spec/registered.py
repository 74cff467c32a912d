"""Values that name an entry of a registry, or code of the user as "module:function".

The hash of the source is appended to the name as soon as a file is read, so the resolved file, the keys of the runs,
and the tables all identify the code. Nothing is run here; see `lthsweep.usercode`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic_core import PydanticCustomError

from lthsweep.errors import CodeError, nearest
from lthsweep.models.registry import INITIALIZERS
from lthsweep.pruning.registry import CRITERIA, criterion_of
from lthsweep.spec.inline import inline
from lthsweep.usercode import is_code, pinned

__all__ = [
    "CODE_AXES",
    "CRITERIA_TEXT",
    "INITIALIZERS_TEXT",
    "criterion_name",
    "described",
    "initializer_name",
    "pinned_axis",
]

CODE_AXES = ("model.init", "prune.method")
"""Axes whose values can be code."""


def _text(known: Iterable[str]) -> str:
    """Complete "must be …"."""
    return f'one of {", ".join(map(inline, known))}, or "module:function" of your own code'


INITIALIZERS_TEXT = _text(INITIALIZERS)
CRITERIA_TEXT = _text(CRITERIA)


def initializer_name(name: str) -> str:
    """A value of `model.init`, checked; code with the hash of its source.

    Raises:
        PydanticCustomError: if it is neither; the message is complete.
    """
    return _name(name, INITIALIZERS, INITIALIZERS_TEXT)


def criterion_name(name: str) -> str:
    """A value of `prune.method`, checked; code with the hash of its source and with valid attributes.

    Raises:
        PydanticCustomError: if it is neither; the message is complete.
    """
    name = _name(name, CRITERIA, CRITERIA_TEXT)
    try:
        criterion_of(name)
    except CodeError as error:
        raise PydanticCustomError("registered", "{reason}", {"reason": str(error)}) from None
    return name


def described(summaries: Iterable[tuple[str, str]]) -> str:
    """The description of a key from (name, clause) pairs."""
    return "; ".join(f"{name} {clause}" for name, clause in summaries) + "."


def pinned_axis(values: Any) -> Any:
    """The values of an axis of `CODE_AXES` with code pinned; invalid values are reported where they are used."""
    if not isinstance(values, Sequence) or isinstance(values, str):
        return values
    return [_pinned_or_left(value) for value in values]


def _name(name: str, known: Iterable[str], text: str) -> str:
    if name in known:
        return name
    if is_code(name):
        try:
            return pinned(name)
        except CodeError as error:
            raise PydanticCustomError("registered", "{reason}", {"reason": str(error)}) from None
    hint = nearest(name, known)
    start = f"did you mean {inline(hint)}? it " if hint else ""
    raise PydanticCustomError("registered", "{reason}", {"reason": f"{start}must be {text}"})


def _pinned_or_left(value: Any) -> Any:
    if not isinstance(value, str) or not is_code(value):
        return value
    try:
        return pinned(value)
    except CodeError:
        return value
