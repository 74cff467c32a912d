"""A folder or a zip of files seen as one thing: relative names, and the bytes behind each."""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Protocol, Self

from lthsweep.data.archives import read_file
from lthsweep.data.decoded import Stamp
from lthsweep.errors import DataError

__all__ = ["FILE_LIMIT", "FileTree", "FolderTree", "Tree", "ZipTree", "open_tree"]

FILE_LIMIT = 64 << 20  # bytes of one image or list file: far above any real one, far below a bomb
_NAMES_LIMIT = 5_000_000
_DEPTH_LIMIT = 8


class Tree(Protocol):
    """Files by relative name, parts joined by "/"."""

    def names(self) -> list[str]:
        """All file names, sorted; hidden files and system litter left out."""
        ...

    def read(self, name: str) -> bytes:
        """The content of one file of at most FILE_LIMIT bytes."""
        ...

    def stamp(self) -> Stamp:
        """How many files and bytes there are."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_tree(path: Path, *, limit: int | None = None) -> Tree:
    """Open a folder or a zip file, or a lone CSV file as if it were alone in a folder.

    Args:
        path: of the folder or file.
        limit: bytes that one file in it may have; FILE_LIMIT if left out.

    Raises:
        DataError: if `path` is neither.
    """
    if path.is_dir():
        return FolderTree(path, limit=limit)
    if path.suffix.lower() == ".csv":
        return FileTree(path, limit=limit)
    try:
        return ZipTree(path, limit=limit)
    except (OSError, zipfile.BadZipFile, UnicodeDecodeError, ValueError) as error:
        raise DataError(
            f"{path} is neither a folder nor a readable zip ({error}); give one of both"
        ) from None


class FolderTree:
    """A folder on disk. Links are followed: the folder is the user's own."""

    def __init__(self, path: Path, *, limit: int | None = None) -> None:
        self._path = path
        self._limit = FILE_LIMIT if limit is None else limit

    def names(self) -> list[str]:
        """All file names below the folder, at most eight levels deep."""
        return sorted(name for name, _ in self._walk())

    def read(self, name: str) -> bytes:
        """The content of one file."""
        return read_file(self._path / name, limit=self._limit)

    def stamp(self) -> Stamp:
        """How many files and bytes the folder holds."""
        sizes = [size for _, size in self._walk()]
        return Stamp(str(self._path), len(sizes), sum(sizes))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def _walk(self) -> list[tuple[str, int]]:
        found: list[tuple[str, int]] = []
        pending: list[tuple[str, int]] = [("", 0)]
        while pending:
            prefix, depth = pending.pop()
            try:
                with os.scandir(self._path / prefix) as entries:
                    for entry in entries:
                        name = prefix + entry.name
                        if _is_litter(name):
                            continue
                        if entry.is_dir():
                            if depth < _DEPTH_LIMIT:  # also what ends a circle of links
                                pending.append((f"{name}/", depth + 1))
                        elif entry.is_file():
                            found.append((name, entry.stat().st_size))
            except OSError as error:
                raise DataError(f"cannot read {self._path / prefix}: {error}; check the folder") from None
            if len(found) > _NAMES_LIMIT:
                raise DataError(f"{self._path} holds more than {_NAMES_LIMIT:,} files; give a smaller folder")
        return found


class FileTree:
    """One file by itself."""

    def __init__(self, path: Path, *, limit: int | None = None) -> None:
        self._path = path
        self._limit = FILE_LIMIT if limit is None else limit

    def names(self) -> list[str]:
        """Its name."""
        return [self._path.name]

    def read(self, name: str) -> bytes:
        """Its content."""
        return read_file(self._path, limit=self._limit)

    def stamp(self) -> Stamp:
        """One file, and its bytes."""
        return Stamp(str(self._path), 1, self._path.stat().st_size)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class ZipTree:
    """A zip file, read member by member in memory; nothing is extracted."""

    def __init__(self, path: Path, *, limit: int | None = None) -> None:
        self._path = path
        self._limit = FILE_LIMIT if limit is None else limit
        self._zip = zipfile.ZipFile(path)
        self._members: dict[str, zipfile.ZipInfo] = {}
        for member in self._zip.infolist():
            name = member.filename
            if member.is_dir() or _is_litter(name):
                continue
            if name.startswith("/") or "\\" in name or ".." in PurePosixPath(name).parts:
                raise ValueError(f"member {name!r} points outside of the archive")
            if member.file_size > self._limit:
                raise ValueError(f"member {name!r} unpacks to {member.file_size:,} bytes")
            self._members[name] = member
        if len(self._members) > _NAMES_LIMIT:
            raise ValueError(f"more than {_NAMES_LIMIT:,} members")

    def names(self) -> list[str]:
        """All member names but folders."""
        return sorted(self._members)

    def read(self, name: str) -> bytes:
        """The content of one member; its CRC is checked."""
        try:
            with self._zip.open(self._members[name]) as file:
                content = file.read(self._limit + 1)
        except (
            OSError,
            EOFError,
            zlib.error,
            zipfile.BadZipFile,
            RuntimeError,
            NotImplementedError,
        ) as error:
            raise DataError(f"{self._path}: member {name!r} is unreadable ({error}); get it again") from None
        if len(content) > self._limit:
            raise DataError(f"{self._path}: member {name!r} unpacks to more than {self._limit:,} bytes")
        return content

    def stamp(self) -> Stamp:
        """How many members the zip has, and its own bytes."""
        return Stamp(str(self._path), len(self._members), self._path.stat().st_size)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()


def _is_litter(name: str) -> bool:
    parts = name.split("/")
    return any(part.startswith(".") and part != ".." for part in parts) or parts[0] == "__MACOSX"
