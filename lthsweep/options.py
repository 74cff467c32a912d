"""What all registries share: loading the code that an entry names, and describing its options.

A registry maps a name in the sweep's file to an entry. An entry names its code as "module:function" and lists its
options as values of type `Option`, so that reading a file imports neither torch nor a reader.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Option", "OptionValue", "complete_options", "load_entry"]

OptionValue = bool | int | float | str

_KINDS: Mapping[type, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


@dataclass(frozen=True)
class Option:
    """One key of a table of the file.

    Attributes:
        default: value where the file has none; its type is the type of the key.
        help: what the option does, in one or two sentences.
        least, most: inclusive bounds of a number; None for no bound.
        above, below: exclusive bounds of a number; None for no bound.
        choices: the allowed texts; empty if any text is allowed.
        divides: another option of the same entry that must be a multiple of this one; "" for none.
    """

    default: OptionValue
    help: str
    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None
    choices: tuple[str, ...] = ()
    divides: str = ""

    @property
    def requirement(self) -> str:
        """Text that completes "must be …"."""
        if self.choices:
            return "one of " + ", ".join(f'"{choice}"' for choice in self.choices)
        bounds = ((">=", self.least), (">", self.above), ("<=", self.most), ("<", self.below))
        limits = " and ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None)
        return f"{_KINDS[type(self.default)]} {limits}".rstrip()

    def checked(self, value: object) -> OptionValue:
        """Return the value in the option's type.

        Raises:
            ValueError: if the type is another one or the value is out of range; the message completes "must be …".
        """
        kind = type(self.default)
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind or not self._in_range(value):
            raise ValueError(self.requirement)
        checked: OptionValue = value
        return checked

    def _in_range(self, value: OptionValue) -> bool:
        if isinstance(value, str):
            return not self.choices or value in self.choices
        return (
            math.isfinite(value)
            and (self.least is None or value >= self.least)
            and (self.above is None or value > self.above)
            and (self.most is None or value <= self.most)
            and (self.below is None or value < self.below)
        )


def complete_options(options: Mapping[str, Option], given: Mapping[str, object]) -> dict[str, OptionValue]:
    """Return the value of every option: the given one, or the default.

    Args:
        options: name → option.
        given: name → value; names that are not among `options` are ignored.

    Raises:
        ValueError: if a value is not allowed; the message names the option, the value and the requirement.
    """
    complete: dict[str, OptionValue] = {}
    for name, option in options.items():
        value = given.get(name, option.default)
        try:
            complete[name] = option.checked(value)
        except ValueError as error:
            raise ValueError(f"{name} = {value!r}: must be {error}") from None
    for name, option in options.items():
        if option.divides and int(complete[option.divides]) % int(complete[name]):
            other = f"{option.divides} = {complete[option.divides]}"
            raise ValueError(f"{name} = {complete[name]}: must divide {other}")
    return complete


def load_entry(place: str) -> Any:
    """Return the object that "module:name" refers to, importing its module."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)
