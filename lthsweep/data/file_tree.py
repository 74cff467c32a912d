"""A folder, a zip, a tar, or a single CSV file as one collection of relative names with the bytes behind each."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lthsweep.data.archives import read_file
from lthsweep.data.source import Notice, Report, Source, SourceFile, files_below, sha256_hex, stat_file
from lthsweep.data.zip_and_tar import open_archive
from lthsweep.errors import DataError

__all__ = ["FILE_LIMIT", "FileTree", "decode_files", "listed_tree", "open_tree"]

FILE_LIMIT = 64 << 20
"""Bytes of one image or list: far above any real file, far below an archive made to fill the memory."""

_TOTAL_LIMIT = 32 << 30  # bytes of all images
_LITTER = frozenset(
    [
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "icon\r",
        "__macosx",
        "@eadir",
        "#recycle",
        "$recycle.bin",
        "lost+found",
    ]
)
"""Lower-case names of files and folders that operating systems and file servers leave behind."""


@dataclass(frozen=True)
class FileTree:
    """Files by relative name.

    Attributes:
        path: of the folder, archive or file.
        names: relative names with "/", sorted; hidden files and litter of operating systems are left out.
        content_of: returns the content of the file of a name.
        files: on disk, sorted by path: all below a folder, the archive, or the files of a list.
        single: True if the tree is one CSV file, or the files that one names.
        folders: relative names of folders, also of those without files; hidden ones are left out.
        passed: hidden files, links and the like, by the reason why they are not read.
        positions: name → where it is in an archive; files are read fastest in this order.
        hashes: name → sha256 of each file that was read.
        listed: when it was opened, in nanoseconds since the epoch.
    """

    path: Path
    names: tuple[str, ...]
    content_of: Callable[[str], bytes]
    files: tuple[SourceFile, ...]
    single: bool = False
    folders: tuple[str, ...] = ()
    passed: tuple[Notice, ...] = ()
    positions: Mapping[str, int] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    listed: int = field(default_factory=time.time_ns)

    def read(self, name: str) -> bytes:
        """Return the content of a file, and remember its hash."""
        content = self.content_of(name)
        self.hashes[name] = sha256_hex(content)
        return content

    def source(self, digest: str, report: Report) -> Source:
        """Return the source of a data set that was read from this tree."""
        folder = "" if self.single or not self.path.is_dir() else str(self.path)
        return Source(digest, self.files, folder, self.listed, report)


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
    for row in sorted(range(len(names)), key=lambda row: tree.positions.get(names[row], 0)):
        images[row] = decode(tree.read(names[row]), f"{tree.path}/{names[row]}")
    return images


@contextmanager
def open_tree(path: Path, *, limit: int | None = None) -> Iterator[FileTree]:
    """Open a folder, a zip, a tar, or a CSV file. Archives are read in memory; nothing is extracted.

    Args:
        path: of the folder or file.
        limit: largest number of bytes of one file in it; default FILE_LIMIT.

    Raises:
        DataError: if `path` is none of these, or a file in it is too large.
    """
    limit = FILE_LIMIT if limit is None else limit
    if path.is_dir():
        found = files_below(path)
        files = tuple(sorted(found.files.values(), key=lambda file: file.path))
        yield _tree(
            path,
            found.files,
            found.empty,
            Notice.of("links that lead nowhere, or special files", _visible(found.others)),
            lambda name: read_file(path / name, limit=limit),
            files,
        )
    elif path.suffix.lower() == ".csv":
        files = (stat_file(path),)
        yield FileTree(path, (path.name,), lambda name: read_file(path, limit=limit), files, single=True)
    else:
        with open_archive(path, limit) as members:
            links = Notice.of("links in the archive", _visible(members.links))
            files = (stat_file(path),)
            yield _tree(path, members.names, members.folders, links, members.read, files)


def listed_tree(folder: Path, list_file: Path, names: Sequence[str]) -> FileTree:
    """Return the tree of the files that a list names, relative to its folder; other files are no part of it."""
    found = sorted((stat_file(path) for path in (list_file, *(folder / name for name in names))), key=_path)
    return FileTree(
        folder,
        tuple(sorted(names)),
        lambda name: read_file(folder / name, limit=FILE_LIMIT),
        tuple(found),
        single=True,
    )


def _tree(
    path: Path,
    names: Mapping[str, object],
    folders: Sequence[str],
    passed: tuple[Notice, ...],
    content_of: Callable[[str], bytes],
    files: tuple[SourceFile, ...],
) -> FileTree:
    visible = _visible(names)
    hidden = names.keys() - set(visible)
    return FileTree(
        path,
        tuple(sorted(visible)),
        content_of,
        files,
        folders=tuple(sorted(_visible(_parents(names, folders)))),
        passed=Notice.of("hidden files, and files that operating systems leave behind", hidden) + passed,
        positions={name: position for name, position in names.items() if isinstance(position, int)},
    )


def _parents(names: Iterable[str], folders: Iterable[str]) -> set[str]:
    """The folders, and every folder that holds a file or another folder."""
    found = {name for name in folders if name}
    for name in (*names, *folders):
        while (name := name.rpartition("/")[0]) and name not in found:
            found.add(name)
    return found


def _visible(names: Iterable[str]) -> list[str]:
    return [
        name
        for name in names
        if not any(part.startswith(".") or part.lower() in _LITTER for part in name.split("/"))
    ]


def _path(file: SourceFile) -> str:
    return file.path
