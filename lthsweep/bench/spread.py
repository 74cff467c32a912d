"""The middle of several measurements, and how far apart they lie."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["ratios", "spread"]


def spread(values: Iterable[float]) -> dict[str, Any]:
    """Median, least and most, and every value in the order in which it was measured."""
    several = list(values)
    return {
        "median": statistics.median(several),
        "low": min(several),
        "high": max(several),
        "values": several,
    }


def ratios(slow: Sequence[float], fast: Sequence[float]) -> dict[str, Any]:
    """The spread of slow ÷ fast, measurement by measurement: those of one turn saw the same machine."""
    return spread(one / other for one, other in zip(slow, fast, strict=True))
