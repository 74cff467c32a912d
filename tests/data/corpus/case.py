"""A case of the corpus: files to generate, and what must come of them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Link:
    """A symbolic link, to a path relative to its folder."""

    target: str


Files = Mapping[str, bytes | Link | None]
"""Relative name → content; None for an empty folder."""


@dataclass(frozen=True)
class Used:
    """The data is read. Findings are matched by a part of their reason and by their count, and there are no others.

    Attributes:
        train, test: class → values of its samples, in order; equal to those that are decoded.
        pool: class → values in both parts together, each class in both; in place of `train` and `test`.
        unused, remarks: part of a reason → count.
        layout: part of the layout's text.
    """

    train: Mapping[str, list[object]] = field(default_factory=dict)
    test: Mapping[str, list[object]] = field(default_factory=dict)
    pool: Mapping[str, list[object]] = field(default_factory=dict)
    unused: Mapping[str, int] = field(default_factory=dict)
    remarks: Mapping[str, int] = field(default_factory=dict)
    layout: str = ""


@dataclass(frozen=True)
class Refused:
    """The data is refused with a message that contains all of these words: problem, place, and remedy."""

    words: tuple[str, ...]


def refused(*words: str) -> Refused:
    return Refused(words)


@dataclass(frozen=True)
class Case:
    """One input.

    Attributes:
        name: a few words.
        files: what to generate.
        outcome: what must come of it.
        target: what `data.path` names, relative to the folder of the case; an ending makes it an archive.
        write: writes the files in another way than as a folder or a plain archive.
        options: further options of the data set.
    """

    name: str
    files: Files
    outcome: Used | Refused
    target: str = "data"
    write: Callable[[Path, Files], None] | None = None
    options: Mapping[str, object] = field(default_factory=dict)


def write(case: Case, folder: Path) -> Path:
    """Generate the files of a case and return the path for `data.path`."""
    path = folder / case.target
    if case.write is not None:
        case.write(path, case.files)
    elif path.suffix == ".zip":
        write_zip(path, case.files)
    elif ".tar" in path.name or path.suffix == ".tgz":
        write_tar(path, case.files)
    else:
        write_folder(folder if path.suffix == ".csv" else path, case.files)
    return path


def write_folder(path: Path, files: Files) -> None:
    path.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            (path / name).mkdir(exist_ok=True)
        elif isinstance(content, Link):
            (path / name).symlink_to(content.target)
        else:
            (path / name).write_bytes(content)


def write_zip(path: Path, files: Files) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo("placeholder")
            info.filename = name if content is not None else f"{name}/"
            if isinstance(content, Link):
                info.external_attr = 0o120777 << 16
            archive.writestr(info, content.target if isinstance(content, Link) else content or b"")


def tar_bytes(files: Files) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            if content is None:
                info.type = tarfile.DIRTYPE
            elif isinstance(content, Link):
                info.type, info.linkname = tarfile.SYMTYPE, content.target
            else:
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return stream.getvalue()


def write_tar(path: Path, files: Files) -> None:
    compress = {".gz": gzip.compress, ".tgz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
    path.write_bytes(compress.get(path.suffix, bytes)(tar_bytes(files)))
