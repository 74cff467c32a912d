"""A run's key: a hash of everything that changes its result, and of nothing else.

The manifest describes what a run computes. The machine, the number of threads, paths, and the way of launching are not
in it, so a run has the same key on a laptop and on a cluster.

A new option must not change the keys of existing sweeps. So an option that is added after the first release enters
`NEUTRAL` with the value at which training is as before; at that value the hash leaves it out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

__all__ = ["KEY_LENGTH", "NEUTRAL", "canonical", "key_of", "normalize"]

KEY_LENGTH = 20

NEUTRAL: Mapping[str, object] = {}
"""Dotted path in a manifest → the value at which an option added after the first release has no effect."""


def key_of(manifest: Mapping[str, object], neutral: Mapping[str, object] = NEUTRAL) -> str:
    """The first 20 hex digits (80 bits) of the sha256 of the manifest's canonical JSON."""
    return hashlib.sha256(canonical(manifest, neutral).encode()).hexdigest()[:KEY_LENGTH]


def canonical(manifest: Mapping[str, object], neutral: Mapping[str, object] = NEUTRAL) -> str:
    """JSON with sorted names, no spaces, neutral options left out, 1 and 1.0 written alike."""
    return json.dumps(normalize(manifest, neutral), sort_keys=True, separators=(",", ":"), allow_nan=False)


def normalize(value: object, neutral: Mapping[str, object] = NEUTRAL, path: str = "") -> object:
    """The manifest with neutral options dropped, and every integral float turned into an integer.

    TOML distinguishes `1` from `1.0`, but `lr = 1` and `lr = 1.0` mean the same training.
    """
    if isinstance(value, str | int):  # most values; 100,000 manifests pass here
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, dict | Mapping):
        out = {}
        for name, item in value.items():
            dotted = f"{path}.{name}" if path else str(name)
            if dotted in neutral and _same(neutral[dotted], item):
                continue
            out[str(name)] = normalize(item, neutral, dotted)
        return out
    if isinstance(value, list | tuple):
        return [normalize(item, neutral, path) for item in value]
    return value


def _same(neutral: object, value: object) -> bool:
    """Equal, where `False` is not 0 and a tuple is the list that it becomes in JSON."""
    if isinstance(neutral, bool) or isinstance(value, bool):
        return neutral is value
    return bool(normalize(neutral, {}) == normalize(value, {}))
