"""The source of a data set: which files it was read from, and one digest that identifies their content.

The digest covers everything that determines the samples before they are decoded, and nothing else: no path, no decoder
and no option such as the size of images. It is the same for a folder and a zip of it, on a laptop and on a cluster.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lthsweep.errors import DataError

__all__ = [
    "DEPTH_LIMIT",
    "Listing",
    "Notice",
    "Report",
    "Source",
    "SourceFile",
    "digest_of_files",
    "digest_of_samples",
    "files_below",
    "has_changed",
    "is_present",
    "sha256_hex",
    "stat_file",
]

DEPTH_LIMIT = 8
"""Levels of folders below the folder of a data set; ends a circle of links."""

_NAMES_LIMIT = 5_000_000
_EXAMPLES = 3  # names in a notice
_TICK = 50_000_000  # nanoseconds, more than the clock of a file system with fractions of seconds needs
_COARSE_TICK = 2_000_000_000  # of file systems with whole seconds


@dataclass(frozen=True)
class SourceFile:
    """A file of a source, with the properties that show a change without reading it.

    Attributes:
        path: absolute.
        size: bytes.
        modified, changed: time of the last change of the content, and of content, name or permissions; nanoseconds
            since the epoch.
    """

    path: str
    size: int
    modified: int
    changed: int


@dataclass(frozen=True)
class Notice:
    """Files, rows or values of one kind, which `data prepare` shows in a line.

    Attributes:
        reason: why they are worth a line.
        count: how many.
        examples: the first names.
    """

    reason: str
    count: int
    examples: tuple[str, ...] = ()

    @classmethod
    def of(cls, reason: str, names: Collection[str]) -> tuple[Notice, ...]:
        """Return the notice of these names; nothing if there are none."""
        return (cls(reason, len(names), tuple(sorted(names)[:_EXAMPLES])),) if names else ()


@dataclass(frozen=True)
class Report:
    """How a source was read.

    Attributes:
        layout: where parts and classes were found; "" if the format of the data set leaves no choice.
        unused: files and rows that were found and not used.
        remarks: samples that are used, but were shortened, or deserve a look.
    """

    layout: str = ""
    unused: tuple[Notice, ...] = ()
    remarks: tuple[Notice, ...] = ()


@dataclass(frozen=True)
class Source:
    """Identity of the files of a data set.

    Attributes:
        digest: sha256 in hex over everything that determines the samples before they are decoded.
        files: the files that were found, sorted by path.
        folder: the folder that holds all of them, where a new file matters too; "" if they are named one by one.
        listed: when the files were listed, in nanoseconds since the epoch.
        report: how they were read. It is no part of the identity, and a pack of the same content can have another.
    """

    digest: str
    files: tuple[SourceFile, ...] = ()
    folder: str = ""
    listed: int = 0
    report: Report = Report()


@dataclass(frozen=True)
class Listing:
    """Everything below a folder, by relative names with "/".

    Attributes:
        files: name → properties of a file; hidden files too.
        empty: folders without any entry.
        others: neither files nor folders: links that lead nowhere, sockets.
    """

    files: dict[str, SourceFile]
    empty: tuple[str, ...]
    others: tuple[str, ...]


def sha256_hex(content: bytes) -> str:
    """Return the sha256 of some bytes in hex."""
    return hashlib.sha256(content).hexdigest()


def digest_of_samples(
    reader: str, classes: Sequence[str], parts: Mapping[str, Iterable[tuple[int, str]]]
) -> str:
    """Return the digest of a source by its samples.

    Args:
        reader: the reader and the version of its rules, "image_folder 1": a reader that chooses or orders samples
            in another way has another version.
        classes: names in the order of their numbers.
        parts: "train" and "test" → (class number, sha256 of the undecoded sample), in the order of the samples.
    """
    digest = hashlib.sha256(json.dumps([reader, list(classes)]).encode())
    for part, samples in parts.items():
        digest.update(f"\n{part}\n".encode())
        for label, content in samples:
            digest.update(f"{label} {content}\n".encode())
    return digest.hexdigest()


def digest_of_files(contents: Iterable[bytes]) -> str:
    """Return the digest of a source by the contents of its files, in a fixed order."""
    return sha256_hex("\n".join(map(sha256_hex, contents)).encode())


def stat_file(path: Path) -> SourceFile:
    """Return the properties of a file; links are followed.

    Raises:
        OSError: if it cannot be read.
    """
    return _source_file(str(path), path.stat())


def files_below(folder: Path) -> Listing:
    """Return everything below a folder, hidden files too. Links are followed.

    Raises:
        DataError: if a folder cannot be read, folders are nested too deeply, or there are more than 5 million files.
    """
    found: dict[str, SourceFile] = {}
    empty, others = [], []
    start = f"{folder}/"  # joining paths would take longer than reading them
    pending: list[tuple[str, int]] = [("", 0)]
    while pending:
        prefix, depth = pending.pop()
        entry = None
        try:
            with os.scandir(folder / prefix) as entries:
                for entry in entries:
                    name = prefix + entry.name
                    if entry.is_dir():
                        if depth == DEPTH_LIMIT:
                            raise DataError(
                                f"{folder / name} is more than {DEPTH_LIMIT} folders deep; remove it, or the link "
                                "that leads in a circle"
                            )
                        pending.append((f"{name}/", depth + 1))
                    elif entry.is_file():
                        found[name] = _source_file(start + name, entry.stat())
                    else:
                        others.append(name)
        except OSError as error:
            raise DataError(f"cannot read {folder / prefix}: {error}; check the folder") from None
        if entry is None:
            empty.append(prefix.rstrip("/"))
        if len(found) > _NAMES_LIMIT:
            raise DataError(f"{folder} contains more than {_NAMES_LIMIT:,} files; give a smaller folder")
    return Listing(found, tuple(sorted(empty)), tuple(sorted(others)))


def has_changed(source: Source) -> bool:
    """True if a file may have changed since the source was read: added, removed or touched; contents are not read."""
    try:
        if source.folder:
            now = tuple(sorted(files_below(Path(source.folder)).files.values(), key=lambda file: file.path))
        else:
            now = tuple(stat_file(Path(file.path)) for file in source.files)
    except (OSError, DataError):
        return True
    # A file that was written while the files were listed can change again within the same tick of its clock.
    newest = max((file.changed for file in now), default=0)
    tick = _TICK if newest % 1_000_000_000 else _COARSE_TICK
    return now != source.files or newest > source.listed - tick


def is_present(source: Source) -> bool:
    """True if the folder of a source, or one of its files, exists."""
    places = [source.folder] if source.folder else [file.path for file in source.files]
    return any(Path(place).exists() for place in places)


def _source_file(path: str, found: os.stat_result) -> SourceFile:
    return SourceFile(path, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
