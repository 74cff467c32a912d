"""Reading gzip and tar archives into memory, without extracting them and with a limit on the unpacked size.

Members are selected by exact name and never written to disk, so no path in an archive can traverse folders and no link
is followed.
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

__all__ = ["Capped", "read_file", "read_tar_gz"]

_DAMAGED = (OSError, EOFError, zlib.error, tarfile.TarError, ValueError)
_CHUNK = 1 << 20


def read_file(path: Path, *, limit: int) -> bytes:
    """Return the content of a file, unpacked if its name ends in .gz.

    Args:
        path: the file. The CRC of a gzip file is checked.
        limit: largest number of bytes, unpacked.

    Raises:
        DataError: if the file is larger, damaged, or unreadable.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(limit + 1)
    except _DAMAGED as error:
        raise _unreadable(path, error) from None
    if len(content) > limit:
        raise _too_large(path, limit)
    return content


def read_tar_gz(path: Path, names: Collection[str], *, limit: int) -> dict[str, bytes]:
    """Return the members of a .tar.gz that have one of `names` and are regular files.

    Args:
        path: the archive.
        names: full member names with "/"; a leading "./" in the archive is ignored.
        limit: largest number of bytes to which the whole archive may unpack.

    Returns:
        name → content; names that the archive does not contain are absent.

    Raises:
        DataError: if the archive is damaged (its CRC is checked to the end) or unpacks to more than `limit`.
    """
    found: dict[str, bytes] = {}
    try:
        with gzip.open(path, "rb") as unpacked:
            capped = Capped(cast(BinaryIO, unpacked), path, limit)
            with tarfile.open(fileobj=cast(BinaryIO, capped), mode="r:") as archive:
                for member in archive:
                    name = member.name.removeprefix("./")
                    file = archive.extractfile(member) if member.isreg() and name in names else None
                    if file is not None:
                        found[name] = file.read()
            while capped.read(_CHUNK):  # gzip checks its CRC at the end of the file
                pass
    except _DAMAGED as error:
        raise _unreadable(path, error) from None
    return found


class Capped(io.RawIOBase):
    """A forward reader that stops at a limit, whatever sizes the headers declare."""

    def __init__(self, inner: BinaryIO, path: Path, limit: int) -> None:
        self._inner = inner
        self._path = path
        self._limit = limit

    def read(self, size: int = -1) -> bytes:
        """Return the next `size` bytes."""
        if size < 0 or self._inner.tell() + size > self._limit + _CHUNK:
            raise _too_large(self._path, self._limit)
        content = self._inner.read(size)
        if self._inner.tell() > self._limit:
            raise _too_large(self._path, self._limit)
        return content

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to an offset from the start."""
        if whence != io.SEEK_SET or offset > self._limit:
            raise _too_large(self._path, self._limit)
        return self._inner.seek(offset)

    def tell(self) -> int:
        """Return the offset from the start."""
        return self._inner.tell()


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path} is damaged or cannot be read ({error}); check its permissions, or remove it and get it again"
    )


def _too_large(path: Path, limit: int) -> DataError:
    return DataError(f"{path} contains more than the possible {limit:,} bytes; remove it and get it again")
