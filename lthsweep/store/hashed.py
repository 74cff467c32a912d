"""Small files of `state/` with their sha256: a changed digit would be another number, and no reader could tell.

The hash is the last line, and covers the names of the file and its folder: a file that was copied over another one is
damaged, too. A file without this line was written by a user, and is read as it is.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from lthsweep.errors import CorruptRecordError
from lthsweep.store.commit import read_whole

__all__ = ["read_hashed", "with_hash"]

_MARK = b"\nsha256 "


def with_hash(path: Path, content: bytes) -> bytes:
    """Return the bytes of a file with some content and its hash, to be written to `path`."""
    return content + _MARK + _digest(path, content) + b"\n"


def read_hashed(path: Path) -> bytes:
    """Return the content of a file that `with_hash` made.

    Raises:
        FileNotFoundError: if it does not exist.
        CorruptRecordError: if its content does not have its hash.
        StoreError: if it cannot be read.
    """
    content, mark, digest = read_whole(path).rpartition(_MARK)
    if not mark:
        return digest
    if digest != _digest(path, content) + b"\n":
        raise CorruptRecordError(f"{path} is damaged: its sha256 is another; delete it")
    return content


def _digest(path: Path, content: bytes) -> bytes:
    named = f"{path.parent.name}/{path.name}\n".encode() + content
    return hashlib.sha256(named).hexdigest().encode()
