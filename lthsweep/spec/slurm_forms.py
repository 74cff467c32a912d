"""How values of `[slurm]` are written: the signs they are made of, times and sizes in SLURM's own forms."""

from __future__ import annotations

import math
import re

__all__ = [
    "FEATURES",
    "LINE",
    "NODES",
    "PLAIN",
    "PLAIN_TEXT",
    "SIZE",
    "WORD",
    "is_plain",
    "megabytes_of",
    "minutes_of",
]

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
_MEGABYTES = {"K": 1 / 1024, "M": 1, "G": 1024, "T": 1024**2}


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


def megabytes_of(size: str) -> int:
    """Megabytes of a size in SLURM's form, rounded up: "500K", "8000", "8G", "1T"."""
    number, unit = (size[:-1], size[-1].upper()) if size[-1].isalpha() else (size, "M")
    return math.ceil(int(number) * _MEGABYTES[unit])
