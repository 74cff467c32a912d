"""A spec as a file, with every default written out."""

from __future__ import annotations

from typing import Any

import tomli_w

from lthsweep.spec.spec import Spec

__all__ = ["dump_spec"]


def dump_spec(spec: Spec) -> str:
    """The resolved TOML of a spec; reading it gives an equal spec.

    A key without a value (those of [slurm] that are the site profile's to say) is left out: TOML has no null.
    """
    return tomli_w.dumps(_plain(spec.model_dump()))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        names = sorted(value, key=lambda key: key != "name")  # the name says what the other keys mean
        return {key: _plain(value[key]) for key in names if value[key] is not None}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
