"""Comparing published files on this machine with their published checksums."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lthsweep.data.download import md5_of
from lthsweep.data.entry import PublishedFile
from lthsweep.data.files import Files
from lthsweep.errors import DataError

__all__ = ["FileCheck", "check_published", "is_verified"]


@dataclass(frozen=True)
class FileCheck:
    """Result of comparing one file or pack with its checksum.

    Attributes:
        what: file or pack.
        where: its path, "" if absent.
        verdict: `good`, `different` (not the published file), `damaged`, `absent` (nothing to check), `unchecked` (it
            is here, unpacked, and only the packed file has a published checksum).
        detail: why.
    """

    what: str
    where: str
    verdict: Literal["good", "different", "damaged", "absent", "unchecked"]
    detail: str

    @property
    def ok(self) -> bool:
        """True if nothing is wrong."""
        return self.verdict in ("good", "absent", "unchecked")


def is_verified(files: Files) -> bool:
    """True if every published file of a data set on this machine has its published content.

    Returns:
        False if some are unpacked, and only the packed files have published checksums.

    Raises:
        DataError: if a file has another content; the message names it.
    """
    checks = [check_published(files, published) for published in files.dataset.files]
    wrong = next((check for check in checks if not check.ok), None)
    if wrong is not None:
        raise DataError(
            f"{wrong.where} is not the published file of {files.dataset.name}: {wrong.detail}; remove it and get it "
            "again, or use your files as your own data (data.name = image_folder, or a reader that you wrote)"
        )
    return all(check.verdict == "good" for check in checks)


def check_published(files: Files, published: PublishedFile) -> FileCheck:
    """Compare a published file on this machine, packed or unpacked, with its published checksum."""
    path = files.find_published(published)
    if path is None:
        return FileCheck(published.file, "", "absent", "not below the data root")
    if published.unpacked_md5 is None and path.name == published.unpacked:
        detail = f"unpacked, and only {published.file} has a published checksum"
        return FileCheck(published.file, str(path), "unchecked", detail)
    try:
        digest = md5_of(path)
        if digest in (published.md5, published.unpacked_md5):
            return FileCheck(published.file, str(path), "good", f"md5 {digest}, as published")
        if (
            published.unpacked_md5 is not None and path.suffix == ".gz"
        ):  # the same content, compressed by a mirror
            content = _content_md5(path)
            if content == published.unpacked_md5:
                return FileCheck(published.file, str(path), "good", f"content md5 {content}, as published")
    except (OSError, EOFError, zlib.error) as error:
        return FileCheck(published.file, str(path), "damaged", f"{error}; remove it and get it again")
    return FileCheck(published.file, str(path), "different", f"md5 {digest}, published is {published.md5}")


def _content_md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with gzip.open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
