"""The name of a sweep, in any script, and the folder of its results, which is unique to the name."""

from __future__ import annotations

import hashlib
import re
import unicodedata

__all__ = ["NAME", "default_name", "folder_name"]

_SHOWN = "[^\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
NAME = f"^{_SHOWN}{{1,100}}$"
"""Pattern of a name: one line of at most 100 characters, none of which controls a terminal."""

_MOST_CHARACTERS = 64
_MOST_BYTES = 160
"""Limits of a folder's name. File systems take 255 bytes, and a temporary file next to it needs some of these."""


def folder_name(name: str) -> str:
    """Return the name of the results folder of a sweep: the same text, or a similar one with a hash of the name.

    Lower-case letters and digits of any script, `.`, `_` and `-` are kept, and a name of these alone is its folder.
    Other characters become `-`, and a long name is cut; then `+` and 8 digits of the sha256 of the name follow. So two
    names never share a folder, also where upper and lower case are one.
    """
    kept = "".join(c if _is_kept(c) else "-" for c in unicodedata.normalize("NFC", name).lower())
    kept = re.sub(r"-+", "-", kept) if kept != name else kept
    kept = kept.strip("._-")[:_MOST_CHARACTERS]
    while len(kept.encode()) > _MOST_BYTES:
        kept = kept[:-1]
    if kept == name == name.casefold():  # `ß` is `ss` where upper and lower case are one
        return kept
    digest = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:8]
    return f"{kept.rstrip('._-') or 'sweep'}+{digest}"


def default_name(stem: str) -> str:
    """Return the name of a sweep whose file gives none: the stem of the file's name, if that is a valid name."""
    return (
        stem
        if re.fullmatch(NAME, stem) and stem.isprintable() and stem.strip() == stem
        else folder_name(stem)
    )


def _is_kept(character: str) -> bool:
    # Marks belong to their letter: without them, words of many scripts cannot be read.
    return character in "._-" or character.isalnum() or unicodedata.category(character)[0] == "M"
