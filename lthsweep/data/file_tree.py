"""A folder, a zip, or a single CSV file as one collection of relative names with the bytes behind each."""

from __future__ import annotations

import math
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from lthsweep.data.archives import read_file
from lthsweep.data.source import Source, SourceFile, files_below, sha256_hex, stat_file
from lthsweep.errors import DataError

__all__ = ["FILE_LIMIT", "FileTree", "decode_files", "open_tree"]

FILE_LIMIT = 64 << 20
"""Bytes of one image or list: far above any real file, far below an archive made to fill the memory."""

_NAMES_LIMIT = 5_000_000
_TOTAL_LIMIT = 32 << 30  # bytes of all images
_ZIP_DAMAGE = (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError, NotImplementedError)


@dataclass(frozen=True)
class FileTree:
    """Files by relative name.

    Attributes:
        path: of the folder, zip or file.
        names: relative names with "/", sorted; hidden files and folders of the operating system are left out.
        content_of: returns the content of the file of a name.
        files: on disk, sorted by path: all below a folder, or the archive.
        single: True if the tree is one file.
        hashes: name → sha256 of each file that was read.
        listed: when it was opened, in nanoseconds since the epoch.
    """

    path: Path
    names: tuple[str, ...]
    content_of: Callable[[str], bytes]
    files: tuple[SourceFile, ...]
    single: bool = False
    hashes: dict[str, str] = field(default_factory=dict)
    listed: int = field(default_factory=time.time_ns)

    def read(self, name: str) -> bytes:
        """Return the content of a file, and remember its hash."""
        content = self.content_of(name)
        self.hashes[name] = sha256_hex(content)
        return content

    def source(self, digest: str) -> Source:
        """Return the source of a data set that was read from this tree."""
        folder = str(self.path) if self.path.is_dir() else ""
        return Source(digest, self.files, folder, self.listed)


def decode_files(
    tree: FileTree,
    names: Sequence[str],
    shape: tuple[int, int, int],
    decode: Callable[[bytes, str], NDArray[np.uint8]],
    remedy: str,
) -> NDArray[np.uint8]:
    """Decode one image from each file of a tree, in the order of `names`, to uint8 [N, *shape].

    Args:
        tree: the files.
        names: of the files.
        shape: (height, width, channels) of an image.
        decode: returns the image of a file's content; also gets the file's name, for messages.
        remedy: the end of the message if the array would need more than 32 GiB.

    Raises:
        DataError: as `decode`, or if the array would be too large.
    """
    needed = len(names) * math.prod(shape)
    if needed > _TOTAL_LIMIT:
        raise DataError(
            f"{tree.path}: {len(names):,} images of {shape[0]}x{shape[1]} need {needed >> 30} GiB; {remedy}"
        )
    images = np.empty((len(names), *shape), np.uint8)
    for row, name in enumerate(names):
        images[row] = decode(tree.read(name), f"{tree.path}/{name}")
    return images


@contextmanager
def open_tree(path: Path, *, limit: int | None = None) -> Iterator[FileTree]:
    """Open a folder, a zip, or a CSV file. A zip is read in memory; nothing is extracted.

    Args:
        path: of the folder or file.
        limit: largest number of bytes of one file in it; default FILE_LIMIT.

    Raises:
        DataError: if `path` is none of these, or a file in it is too large.
    """
    limit = FILE_LIMIT if limit is None else limit
    if path.is_dir():
        found = files_below(path)
        files = tuple(sorted(found.values(), key=lambda file: file.path))
        names = tuple(sorted(name for name in found if not _is_hidden(name)))
        yield FileTree(path, names, lambda name: read_file(path / name, limit=limit), files)
        return
    if path.suffix.lower() == ".csv":
        files = (stat_file(path),)
        yield FileTree(path, (path.name,), lambda name: read_file(path, limit=limit), files, single=True)
        return
    try:
        archive = zipfile.ZipFile(path)
        members = _members_of(archive, limit)
    except (OSError, zipfile.BadZipFile, UnicodeDecodeError, ValueError) as error:
        raise DataError(
            f"{path} is neither a folder nor a readable zip ({error}); give the path of one of them"
        ) from None
    with archive:
        yield FileTree(
            path,
            tuple(sorted(members)),
            lambda name: _read_member(archive, members[name], limit),
            (stat_file(path),),
        )


def _members_of(archive: zipfile.ZipFile, limit: int) -> Mapping[str, zipfile.ZipInfo]:
    members: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        name = member.filename
        if member.is_dir() or _is_hidden(name):
            continue
        if name.startswith("/") or "\\" in name or ".." in PurePosixPath(name).parts:
            raise ValueError(f"member {name!r} points outside of the archive")
        if member.file_size > limit:
            raise ValueError(f"member {name!r} unpacks to {member.file_size:,} bytes")
        members[name] = member
    if len(members) > _NAMES_LIMIT:
        raise ValueError(f"more than {_NAMES_LIMIT:,} members")
    return members


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limit: int) -> bytes:
    """The content of one member; its CRC is checked, and the declared size is not trusted."""
    where = f"{archive.filename}: member {member.filename!r}"
    try:
        with archive.open(member) as file:
            content = file.read(limit + 1)
    except _ZIP_DAMAGE as error:
        raise DataError(f"{where} is unreadable ({error}); get the archive again") from None
    if len(content) > limit:
        raise DataError(f"{where} unpacks to more than {limit:,} bytes; remove it from the archive")
    return content


def _is_hidden(name: str) -> bool:
    parts = name.split("/")
    return any(part.startswith(".") and part != ".." for part in parts) or parts[0] == "__MACOSX"
