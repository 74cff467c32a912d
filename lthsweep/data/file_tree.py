"""A folder, a zip, or a single CSV file as one collection of relative names with the bytes behind each."""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from lthsweep.data.archives import read_file
from lthsweep.data.decoded import Stamp
from lthsweep.errors import DataError

__all__ = ["FILE_LIMIT", "FileTree", "decode_files", "open_tree"]

FILE_LIMIT = 64 << 20
"""Bytes of one image or list: far above any real file, far below an archive made to fill the memory."""

_NAMES_LIMIT = 5_000_000
_TOTAL_LIMIT = 32 << 30  # bytes of all images
_DEPTH_LIMIT = 8
_ZIP_DAMAGE = (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError, NotImplementedError)


@dataclass(frozen=True)
class FileTree:
    """Files by relative name.

    Attributes:
        path: of the folder, zip or file.
        names: relative names with "/", sorted; hidden files and folders of the operating system are left out.
        read: returns the content of the file of a name.
        stamp: number of files and bytes.
        single: True if the tree is one file.
    """

    path: Path
    names: tuple[str, ...]
    read: Callable[[str], bytes]
    stamp: Stamp
    single: bool = False


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
        sizes = _sizes_in(path)
        stamp = Stamp(str(path), len(sizes), sum(sizes.values()))
        yield FileTree(path, tuple(sorted(sizes)), lambda name: read_file(path / name, limit=limit), stamp)
        return
    if path.suffix.lower() == ".csv":
        stamp = Stamp(str(path), 1, path.stat().st_size)
        yield FileTree(path, (path.name,), lambda name: read_file(path, limit=limit), stamp, single=True)
        return
    try:
        archive = zipfile.ZipFile(path)
        members = _members_of(archive, limit)
    except (OSError, zipfile.BadZipFile, UnicodeDecodeError, ValueError) as error:
        raise DataError(
            f"{path} is neither a folder nor a readable zip ({error}); give the path of one of them"
        ) from None
    with archive:
        stamp = Stamp(str(path), len(members), path.stat().st_size)
        yield FileTree(
            path, tuple(sorted(members)), lambda name: _read_member(archive, members[name], limit), stamp
        )


def _sizes_in(folder: Path) -> dict[str, int]:
    """Relative name → bytes. Links are followed, because the folder belongs to the user."""
    sizes: dict[str, int] = {}
    pending: list[tuple[str, int]] = [("", 0)]
    while pending:
        prefix, depth = pending.pop()
        try:
            with os.scandir(folder / prefix) as entries:
                for entry in entries:
                    name = prefix + entry.name
                    if _is_hidden(name):
                        continue
                    if entry.is_dir():
                        if depth < _DEPTH_LIMIT:  # ends a circle of links
                            pending.append((f"{name}/", depth + 1))
                    elif entry.is_file():
                        sizes[name] = entry.stat().st_size
        except OSError as error:
            raise DataError(f"cannot read {folder / prefix}: {error}; check the folder") from None
        if len(sizes) > _NAMES_LIMIT:
            raise DataError(f"{folder} contains more than {_NAMES_LIMIT:,} files; give a smaller folder")
    return sizes


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
