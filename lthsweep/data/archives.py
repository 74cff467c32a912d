"""Reading gzip and tar archives into memory: nothing is extracted, nothing may grow past what was declared.

Members are picked by exact name and never written under the name an archive gives them, so there is no path
to traverse and no link to follow.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO, cast

from lthsweep.errors import DataError

__all__ = ["read_file", "read_gzip", "read_tar_gz"]

_DAMAGED = (OSError, EOFError, zlib.error, tarfile.TarError, ValueError)
_CHUNK = 1 << 20


def read_file(path: Path, *, limit: int) -> bytes:
    """The whole content of a file of at most `limit` bytes.

    Raises:
        DataError: if it is larger, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error}; check the file and its permissions") from None
    if len(content) > limit:
        raise _too_large(path, limit)
    return content


def read_gzip(path: Path, *, limit: int) -> bytes:
    """Unpack a gzip file of at most `limit` bytes unpacked; its CRC is checked.

    Raises:
        DataError: if it holds more, is cut short or is no gzip file.
    """
    try:
        with gzip.open(path, "rb") as file:
            content = file.read(limit + 1)
    except _DAMAGED as error:
        raise _damaged(path, error) from None
    if len(content) > limit:
        raise _too_large(path, limit)
    return content


def read_tar_gz(path: Path, names: Collection[str], *, limit: int) -> dict[str, bytes]:
    """The members of a .tar.gz that have one of `names`, and are ordinary files.

    Args:
        path: the archive.
        names: full member names, with / and without a leading "./".
        limit: bytes that the whole archive may unpack to.

    Returns:
        name → content; names that the archive has not are absent.

    Raises:
        DataError: if the archive is damaged (its CRC is checked to the end) or unpacks to more than `limit`.
    """
    found: dict[str, bytes] = {}
    try:
        with gzip.open(path, "rb") as unpacked:
            capped = _Capped(cast(BinaryIO, unpacked), path, limit)
            with tarfile.open(fileobj=cast(BinaryIO, capped), mode="r:") as archive:
                for member in archive:
                    name = member.name.removeprefix("./")
                    file = archive.extractfile(member) if member.isreg() and name in names else None
                    if file is not None:
                        found[name] = file.read()
            while capped.read(_CHUNK):  # to the end, where gzip checks its CRC
                pass
    except _DAMAGED as error:
        raise _damaged(path, error) from None
    return found


class _Capped(io.RawIOBase):
    """A forward reader that refuses to go past a limit, whatever sizes the headers inside declare."""

    def __init__(self, inner: BinaryIO, path: Path, limit: int) -> None:
        self._inner = inner
        self._path = path
        self._limit = limit

    def read(self, size: int = -1) -> bytes:
        if size < 0 or self._inner.tell() + size > self._limit + _CHUNK:
            raise _too_large(self._path, self._limit)
        content = self._inner.read(size)
        if self._inner.tell() > self._limit:
            raise _too_large(self._path, self._limit)
        return content

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET or offset > self._limit:
            raise _too_large(self._path, self._limit)
        return self._inner.seek(offset)

    def tell(self) -> int:
        return self._inner.tell()


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} is damaged or not what its name says ({error}); remove it and get it again")


def _too_large(path: Path, limit: int) -> DataError:
    return DataError(f"{path} holds more than {limit:,} bytes, which this file never does; get it again")
