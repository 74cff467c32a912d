"""The line behind the HDF5 data of a record: schema version and two sha256.

HDF5 readers stop at the end that the superblock names, so they do not see it. The last hash covers every byte
before it and is the authority on whether a record is whole. The other covers what `read_summary` reads, so
that a summary is checked without reading the masks.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from lthsweep.errors import CorruptRecordError
from lthsweep.store.commit import reading

__all__ = [
    "SCHEMA",
    "SEAL_LENGTH",
    "Seal",
    "check_seal",
    "damaged",
    "is_other_version",
    "parse_seal",
    "read_seal",
    "seal",
]

SCHEMA = 1
"""Version of the content of a record; readers refuse others."""

_LINE = re.compile(
    rb"\nlthsweep-record ([0-9]{4}) summary-sha256 ([0-9a-f]{64}) sha256 ([0-9a-f]{64})\n", re.DOTALL
)
_HASH_LENGTH = 65  # 64 digits and the newline
SEAL_LENGTH = len(f"\nlthsweep-record 0001 summary-sha256 {'0' * 64} sha256 {'0' * 64}\n")


@dataclass(frozen=True)
class Seal:
    """Contents of the line.

    Attributes:
        schema: version of the record.
        summary: sha256 of the content of the summary.
        whole: sha256 of all bytes of the file up to the place where this hash stands.
    """

    schema: int
    summary: str
    whole: str


def seal(image: bytes, summary: str) -> bytes:
    """Return the image followed by its line."""
    head = image + f"\nlthsweep-record {SCHEMA:04d} summary-sha256 {summary} sha256 ".encode()
    return head + f"{hashlib.sha256(head).hexdigest()}\n".encode()


def check_seal(data: bytes, where: object) -> Seal:
    """Return the seal of a whole file, after its hash is verified.

    Raises:
        CorruptRecordError: if the line is missing, its version is unknown, or the hash is another.
    """
    found = parse_seal(data[-SEAL_LENGTH:], where)
    if hashlib.sha256(memoryview(data)[:-_HASH_LENGTH]).hexdigest() != found.whole:
        raise damaged(where, "its sha256 is not the one it was sealed with")
    return found


def parse_seal(tail: bytes, where: object) -> Seal:
    """Return the seal from the last bytes of a file; the hashes are not verified.

    Raises:
        CorruptRecordError: if the line is missing or its version is unknown.
    """
    match = _LINE.fullmatch(tail)
    if match is None:
        raise damaged(where, "the line that seals a whole record is missing")
    found = Seal(schema=int(match[1]), summary=match[2].decode(), whole=match[3].decode())
    if found.schema != SCHEMA:
        raise CorruptRecordError(
            f"{where}: the record has schema version {found.schema}, this lthsweep reads version {SCHEMA}; "
            f"install the version of lthsweep that wrote it, or move the file away to have the run "
            f"trained again"
        )
    return found


def read_seal(path: Path) -> Seal:
    """The seal of a record file, from its last bytes alone: a cheap way to see whether a record is a known
    one.

    Raises:
        FileNotFoundError: if there is no such file.
        StoreError: if the file cannot be read.
        CorruptRecordError: as `parse_seal`.
    """
    with reading(path):
        tail = _tail(path)
    return parse_seal(tail, path)


def is_other_version(path: Path) -> bool:
    """Return True if a file ends in the seal of a version of records that is unknown here."""
    try:
        match = _LINE.fullmatch(_tail(path))
    except OSError:
        return False
    return match is not None and int(match[1]) != SCHEMA


def damaged(where: object, why: str) -> CorruptRecordError:
    """Return the error for a record that this package did not write, or not completely."""
    return CorruptRecordError(
        f"{where}: this is not a whole record: {why}; `lthsweep doctor --quarantine` moves such files to "
        f"state/quarantine, then `lthsweep run` trains the run again"
    )


def _tail(path: Path) -> bytes:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(handle).st_size
        return os.pread(handle, SEAL_LENGTH, max(0, size - SEAL_LENGTH))
    finally:
        os.close(handle)
