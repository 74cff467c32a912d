"""Short texts that several packages need for their messages."""

from __future__ import annotations

__all__ = ["plural"]


def plural(number: int, noun: str) -> str:
    """Return number and noun, with an s unless there is exactly one; thousands have commas."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
