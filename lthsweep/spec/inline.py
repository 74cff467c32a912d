"""A value as TOML on one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tomli_w

__all__ = ["inline", "inline_key"]


def inline(value: Any) -> str:
    """A value as TOML on one line, lists and tables too; `repr` for what TOML does not know."""
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
    """A key as it is written: in quotes where it has to be."""
    return tomli_w.dumps({name: 0}).removesuffix(" = 0\n")
