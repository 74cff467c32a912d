"""Layers by pattern: `fc3`, `classifier.*`, `features.0`. Free of torch."""

from __future__ import annotations

from fnmatch import fnmatchcase

__all__ = ["matches"]


def matches(pattern: str, parameter: str) -> bool:
    """Whether a glob pattern names a layer, its weight, or a module around it.

    Args:
        pattern: * and ? stand for any text and any one character.
        parameter: the weight's full name, such as "features.0.0.weight".
    """
    parts = parameter.split(".")
    return any(fnmatchcase(".".join(parts[:end]), pattern) for end in range(1, len(parts) + 1))
