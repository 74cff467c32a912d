"""Numbers as text: percent, points, counts, bytes, seconds; a dash for unknown values."""

from __future__ import annotations

import math
from typing import SupportsFloat, cast

__all__ = [
    "DASH",
    "as_float",
    "count",
    "flag",
    "interval",
    "percent",
    "percent_left",
    "points",
    "seconds",
    "size",
    "times",
]

DASH = "–"
_MINUS = "−"


def as_float(value: object) -> float:
    """`value` as a float; NaN for anything else (None, pandas' NA, text)."""
    try:
        return float(cast("SupportsFloat", value))
    except (TypeError, ValueError):
        return math.nan


def flag(value: object) -> bool | None:
    """A cell of a boolean column, None if empty; h5py and CSV store 0/1 or text."""
    if isinstance(value, str):
        return {"true": True, "1": True, "false": False, "0": False}.get(value.strip().lower())
    number = as_float(value)
    return None if math.isnan(number) else bool(number)


def percent(fraction: object, digits: int = 2) -> str:
    """A fraction as percent without the sign: 0.96432 → "96.43"."""
    number = as_float(fraction)
    return f"{100 * number:.{digits}f}" if math.isfinite(number) else DASH


def percent_left(fraction: object, digits: int = 1) -> str:
    """As `percent`, with more digits where a fraction above zero would be 0: 0.000001 → "0.0001"."""
    number = as_float(fraction)
    return f"{100 * number:.2g}" if 0 < 100 * number < 0.5 * 10**-digits else percent(fraction, digits)


def points(fraction: object, digits: int = 2) -> str:
    """A signed difference of fractions in percentage points: -0.0043 → "−0.43"; zero has no sign."""
    number = as_float(fraction)
    if not math.isfinite(number):
        return DASH
    text = f"{100 * abs(number):.{digits}f}"
    if float(text) == 0:
        return text
    return f"{_MINUS if number < 0 else '+'}{text}"


def interval(low: object, high: object, digits: int = 2) -> str:
    """An interval of differences in percentage points, "" if either end is unknown."""
    if not (math.isfinite(as_float(low)) and math.isfinite(as_float(high))):
        return ""
    return f"[{points(low, digits)}, {points(high, digits)}]"


def times(ratio: object) -> str:
    """A compression ratio: 2.5 → "2.5×", 50 → "50×"."""
    number = as_float(ratio)
    if not math.isfinite(number):
        return DASH
    return f"{number:.0f}×" if number >= 9.95 else f"{number:.1f}×"


def count(number: object) -> str:
    """A count with three digits and a decimal prefix: 2236682 → "2.24 M"."""
    return _scaled(as_float(number), 1000.0, ("", " k", " M", " G", " T"))


def size(number: object) -> str:
    """Bytes with binary prefixes: 8946728 → "8.53 MiB"."""
    return _scaled(as_float(number), 1024.0, (" B", " KiB", " MiB", " GiB", " TiB"))


def seconds(number: object) -> str:
    """A duration: 4.25 → "4.2 s", 150 → "2.5 min", 9000 → "2.5 h"."""
    value = as_float(number)
    if not math.isfinite(value):
        return DASH
    if value < 100:
        return f"{value:.1f} s"
    return f"{value / 60:.1f} min" if value < 6000 else f"{value / 3600:.1f} h"


def _scaled(value: float, base: float, units: tuple[str, ...]) -> str:
    if not math.isfinite(value):
        return DASH
    power = 0
    while abs(value) >= base and power < len(units) - 1:
        value /= base
        power += 1
    digits = 0 if power == 0 or abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:.{digits}f}{units[power]}"
