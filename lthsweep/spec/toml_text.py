"""Values and whole files written as TOML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tomli_w
from pydantic import BaseModel

__all__ = ["dump_spec", "inline", "inline_key"]


def dump_spec(spec: BaseModel) -> str:
    """The resolved file of a `Spec`, with every default written out; reading it gives an equal spec.

    Keys without a value (those of [slurm] that the site profile decides) are left out: TOML has no null.
    """
    return tomli_w.dumps(_plain(spec.model_dump()))


def inline(value: object) -> str:
    """A value as TOML on one line, lists and tables too; `repr` for types that TOML does not have."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(inline(item) for item in value)}]"
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{inline_key(str(name))} = {inline(item)}" for name, item in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    try:
        return tomli_w.dumps({"v": value}).removeprefix("v = ").strip()
    except TypeError:
        return repr(value)


def inline_key(name: str) -> str:
    """A key as it is written in a file, in quotes if necessary."""
    return tomli_w.dumps({name: 0}).removesuffix(" = 0\n")


def _plain(value: Any) -> Any:
    """Tables without empty values, `name` first because it defines the meaning of the other keys."""
    if isinstance(value, dict):
        names = sorted(value, key=lambda key: key != "name")
        return {key: _plain(value[key]) for key in names if value[key] is not None}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
