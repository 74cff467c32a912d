"""Short texts that several packages need for their messages."""

from __future__ import annotations

__all__ = ["duration", "plural"]


def plural(number: int, noun: str) -> str:
    """Return number and noun, with an s unless there is exactly one; thousands have commas."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """`75.2` → `1m15s`; `4000` → `1h07m`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
