"""How values are written: TOML on one line, lengths of time, and the times and sizes of SLURM."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import tomli_w

__all__ = [
    "DURATION_TEXT",
    "FEATURES",
    "LINE",
    "NODES",
    "PLAIN",
    "PLAIN_TEXT",
    "SIZE",
    "WORD",
    "as_duration",
    "in_seconds",
    "inline",
    "inline_key",
    "is_plain",
    "minutes_of",
]

DURATION_TEXT = 'a time above zero such as "90s", "20m" or "1.5h"'
"""Completes "must be …"."""

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smh])")
_UNITS = {"h": 3600, "m": 60, "s": 1}

PLAIN = r"^[A-Za-z0-9._:,=@%+/][A-Za-z0-9._:,=@%+/-]{0,254}$"
"""What neither a shell nor sbatch nor a terminal takes for more than itself."""

PLAIN_TEXT = "of letters, digits and ._:,=@%+/-"
"""The same for people."""

NODES = r"^[A-Za-z0-9][A-Za-z0-9._,\[\]-]{0,254}$"
"""Nodes, also in SLURM's short form: "node[01-03,7]"."""

FEATURES = r"^[A-Za-z0-9(\[][A-Za-z0-9._:,=@%+/&|*()\[\]-]{0,254}$"
"""Features of nodes: "a100", "a100|h100", "[rack1*2&rack2]". sbatch reads these lines, and no shell does."""

WORD = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""A name without a colon or comma."""

LINE = r"^[^\x00-\x08\x0a-\x1f\x7f-\x9f]+$"
"""Text on one line without terminal control characters; tabs are allowed."""

SIZE = r"^[1-9][0-9]{0,8}[KMGTkmgt]?$"
"""Memory in SLURM's form."""

_TIME = re.compile(
    r"(?P<days>\d{1,4})-(?P<hours>\d{1,2})(?::(?P<minutes>\d{1,2})(?::(?P<seconds>\d{1,2}))?)?"
    r"|(?P<h>\d{1,5}):(?P<m>\d{1,2}):(?P<s>\d{1,2})"
    r"|(?P<only_minutes>\d{1,7})(?::(?P<and_seconds>\d{1,2}))?",
    re.ASCII,
)


def inline(value: object) -> str:
    """A value as TOML on one line, lists and tables too; `repr` for types that TOML does not have."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(inline(item) for item in value)}]"
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{inline_key(str(name))} = {inline(item)}" for name, item in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    try:
        return tomli_w.dumps({"v": value}).removeprefix("v = ").strip()
    except TypeError:
        return repr(value)


def inline_key(name: str) -> str:
    """A key as it is written in a file, in quotes if necessary."""
    return tomli_w.dumps({name: 0}).removesuffix(" = 0\n")


def in_seconds(written: str) -> float | None:
    """1200 for `20m`; None if the text is not a duration above zero."""
    found = _DURATION.fullmatch(written)
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    return seconds or None


def as_duration(seconds: float) -> str:
    """`20m` for 1200, `90s` for 90: the largest unit in which it is a whole number."""
    unit, length = next(
        (unit, length) for unit, length in _UNITS.items() if seconds % length == 0 or unit == "s"
    )
    return f"{seconds / length:.10g}{unit}"


def is_plain(text: str) -> bool:
    """Whether a text means nothing but itself to a shell, sbatch and a terminal."""
    return re.fullmatch(PLAIN, text) is not None


def minutes_of(time: str | int) -> int | None:
    """Whole minutes, rounded up as SLURM does, of a time in one of SLURM's forms; None if it is none or is 0.

    Minutes, "minutes:seconds", "hours:minutes:seconds", "days-hours", "days-hours:minutes",
    "days-hours:minutes:seconds".
    """
    found = _TIME.fullmatch(str(time))
    if found is None:
        return None
    part = {name: int(text or 0) for name, text in found.groupdict().items()}
    minutes = 60 * (24 * part["days"] + part["hours"] + part["h"])
    minutes += part["minutes"] + part["m"] + part["only_minutes"]
    seconds = part["seconds"] + part["s"] + part["and_seconds"]
    return minutes + math.ceil(seconds / 60) or None
