"""Standard JSON, also for numbers that JSON lacks.

Python writes a diverged loss as `NaN`, which is not JSON. Here it is written as `{"$float": "nan"}`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["dump", "load"]

_TAG = "$float"
_NAMES = ("nan", "inf", "-inf")


def dump(value: object) -> bytes:
    """Return compact ASCII with sorted names: equal bytes for equal values.

    Args:
        value: mappings from texts, sequences, text, numbers (also NumPy's), booleans, None.

    Raises:
        TypeError: for any other value.
    """
    try:
        return _encode(value)
    except ValueError:  # a non-finite number: rare, so the copy below is
        return _encode(_tagged(value))


def load(data: bytes) -> Any:
    """Return the value that `dump` wrote, tuples as lists.

    Raises:
        ValueError: if this is not JSON, or nested too deep.
    """
    try:
        # The hook costs time per object, so it is used only for texts with the mark.
        return json.loads(data, object_hook=_untagged if b'"$float"' in data else None)
    except RecursionError:
        raise ValueError("JSON nested too deep") from None


def _encode(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_plain).encode()


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        plain = value.item()
        return _tagged(plain)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{value!r} ({type(value).__name__}) cannot be written as JSON")


def _tagged(value: object) -> object:
    if isinstance(value, Mapping):
        return {name: _tagged(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_tagged(item) for item in value]
    if isinstance(value, float | np.floating) and not math.isfinite(value):
        return {_TAG: _NAMES[0] if math.isnan(value) else _NAMES[1] if value > 0 else _NAMES[2]}
    return value


def _untagged(found: dict[str, object]) -> object:
    return float(str(found[_TAG])) if len(found) == 1 and found.get(_TAG) in _NAMES else found
