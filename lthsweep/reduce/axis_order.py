"""The order of the values of an axis, where these are texts: numbers, times and iterations by their size."""

from __future__ import annotations

import math

from lthsweep.spec.grid_table import iterations_of
from lthsweep.spec.text_forms import in_seconds

__all__ = ["axis_place"]


def axis_place(text: str, steps_per_epoch: float = math.nan) -> tuple[int, float, str]:
    """Return the place of a value: numbers and times ascending, then iterations, then other texts.

    Args:
        text: such as `0.5`, `90s`, `500it`, `auto`.
        steps_per_epoch: places "500it" among the epochs; if NaN, iterations follow the epochs.
    """
    if (steps := iterations_of(text)) is not None:
        known = math.isfinite(steps_per_epoch) and steps_per_epoch > 0
        return (0, steps / steps_per_epoch, text) if known else (1, float(steps), text)
    try:
        number = float(text)
    except ValueError:
        seconds = in_seconds(text)
        return (2, 0.0, text) if seconds is None else (0, seconds, text)
    return (0, number, text) if math.isfinite(number) else (2, 0.0, text)
