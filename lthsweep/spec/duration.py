"""Lengths of time as they are written in the file: `90s`, `20m`, `1.5h`."""

from __future__ import annotations

import re

__all__ = ["DURATION_TEXT", "as_duration", "in_seconds"]

DURATION_TEXT = 'a time above zero such as "90s", "20m" or "1.5h"'
"""Completes "must be …"."""

_FORM = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smh])")
_UNITS = {"h": 3600, "m": 60, "s": 1}


def in_seconds(written: str) -> float | None:
    """1200 for `20m`; None if the text is not a duration above zero."""
    found = _FORM.fullmatch(written)
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    return seconds or None


def as_duration(seconds: float) -> str:
    """`20m` for 1200, `90s` for 90: the largest unit in which it is a whole number."""
    unit, length = next(
        (unit, length) for unit, length in _UNITS.items() if seconds % length == 0 or unit == "s"
    )
    return f"{seconds / length:.10g}{unit}"
