"""The members of a zip or a tar, listed and read in memory.

Nothing is extracted: members are bytes under a relative name, links are never followed, and sizes in headers are not
trusted.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from lthsweep.data.archives import Capped
from lthsweep.errors import DataError

__all__ = ["TAR_SUFFIXES", "Members", "open_archive"]

_OPENERS: Mapping[str, Callable[[Path], object]] = {
    ".tar": lambda path: path.open("rb"),
    ".tar.gz": gzip.open,
    ".tgz": gzip.open,
    ".tar.bz2": bz2.open,
    ".tbz2": bz2.open,
    ".tar.xz": lzma.open,
    ".txz": lzma.open,
}
TAR_SUFFIXES = tuple(_OPENERS)
"""Endings of the tar files that are read."""

_MEMBERS_LIMIT = 5_000_000
_UNPACKED_LIMIT = 32 << 30  # bytes of a whole tar
_CHUNK = 1 << 20
_TAR_BLOCK = 512
_UTF8_NAME = 0x800  # flag of a zip member
_DAMAGE = (
    *(
        OSError,
        EOFError,
        ValueError,
        RuntimeError,
        NotImplementedError,
    ),  # the last two: encrypted, unknown method
    *(zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError),
)


@dataclass(frozen=True)
class Members:
    """The content of an archive.

    Attributes:
        read: returns the content of the file of a name.
        names: of files → the position at which to read them; ascending positions are fastest.
        folders: that the archive lists.
        links: and devices, which are not read.
    """

    read: Callable[[str], bytes]
    names: dict[str, int] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)

    def add(self, name: str, position: int, size: int, limit: int) -> None:
        """Add a file.

        Raises:
            ValueError: if its name occurred before, it is too large, or there are too many.
        """
        if name in self.names:
            raise ValueError(f"it has two members {name!r}")
        if size > limit:
            raise ValueError(f"member {name!r} unpacks to {size:,} bytes")
        if len(self.names) == _MEMBERS_LIMIT:
            raise ValueError(f"more than {_MEMBERS_LIMIT:,} members")
        self.names[name] = position


@contextmanager
def open_archive(path: Path, limit: int) -> Iterator[Members]:
    """Open a tar, if the name ends like one, or a zip.

    Args:
        path: the archive.
        limit: largest number of bytes of one file in it.

    Raises:
        DataError: if it is damaged, holds the same name twice or names outside of it, or a file is too large.
    """
    opener = _open_tar if path.name.lower().endswith(TAR_SUFFIXES) else _open_zip
    with opener(path, limit) as members:
        yield members


@contextmanager
def _open_zip(path: Path, limit: int) -> Iterator[Members]:
    infos: dict[str, zipfile.ZipInfo] = {}
    try:
        archive = zipfile.ZipFile(path)
        members = Members(lambda name: _read(lambda: archive.open(infos[name]), path, name, limit))
        for position, info in enumerate(archive.infolist()):
            name = _inside(_zip_name(info))
            if info.is_dir() or info.filename.endswith("\\"):
                members.folders.append(name)
            elif stat.S_ISLNK(info.external_attr >> 16):
                members.links.append(name)
            else:
                members.add(name, position, info.file_size, limit)
                infos[name] = info
    except _DAMAGE as error:
        raise DataError(
            f"{path} is neither a folder nor a readable zip or tar ({error}); give the path of one of them"
        ) from None
    with archive:
        yield members


@contextmanager
def _open_tar(path: Path, limit: int) -> Iterator[Members]:
    opener = next(_OPENERS[suffix] for suffix in TAR_SUFFIXES if path.name.lower().endswith(suffix))
    sizes: dict[str, int] = {}
    file: BinaryIO | None = None

    def read(name: str) -> bytes:
        assert file is not None
        file.seek(members.names[name])  # backward means from the start again, where the tar is compressed
        return file.read(sizes[name])

    members = Members(lambda name: _guarded(lambda: read(name), path, name))
    try:
        file = cast(BinaryIO, opener(path))
        capped = Capped(file, path, _UNPACKED_LIMIT)
        with tarfile.open(fileobj=cast(BinaryIO, capped), mode="r:") as archive:
            for info in archive:
                name = _inside(info.name)
                if info.isdir():
                    members.folders.append(name)
                elif info.isreg() and not info.issparse():
                    members.add(name, info.offset_data, info.size, limit)
                    sizes[name] = info.size
                else:
                    members.links.append(name)
            capped.seek(archive.offset)
            if capped.read(_TAR_BLOCK) != bytes(_TAR_BLOCK):
                raise ValueError("it has no end mark: it was cut short")
        while capped.read(_CHUNK):  # a checksum of the compression is at the end of the file
            pass
    except DataError:
        raise
    except _DAMAGE as error:
        raise DataError(f"{path} is not a readable tar ({error}); get the archive again") from None
    with file:
        yield members


def _zip_name(info: zipfile.ZipInfo) -> str:
    r"""The name of a zip member: PowerShell writes a\b, and macOS writes UTF-8 without the flag for it."""
    name = info.filename
    if not info.flag_bits & _UTF8_NAME and not name.isascii():
        with contextlib.suppress(UnicodeError):  # a code page of Windows, which the zip does not name
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")


def _inside(name: str) -> str:
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or name[1:3] == ":/":
        raise ValueError(f"member {name!r} points outside of the archive")
    return "/".join(parts)


def _read(opened: Callable[[], object], path: Path, name: str, limit: int) -> bytes:
    """The content of a zip member; its CRC is checked, and the declared size is not trusted."""

    def read() -> bytes:
        with cast(BinaryIO, opened()) as file:
            return file.read(limit + 1)

    content = _guarded(read, path, name)
    if len(content) > limit:
        raise DataError(
            f"{path}: member {name!r} unpacks to more than {limit:,} bytes; remove it from the archive"
        )
    return content


def _guarded(read: Callable[[], bytes], path: Path, name: str) -> bytes:
    try:
        return read()
    except _DAMAGE as error:
        raise DataError(f"{path}: member {name!r} is unreadable ({error}); get the archive again") from None
