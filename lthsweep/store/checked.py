"""Which records of a sweep are undamaged: the sha256 over all bytes decides, once for each version of a file.

Hashing a record takes longer than reading its seal, so a file is hashed again only if its size, its times or its inode
changed since it was found undamaged. The kernel sets the change time (ctime), and no ordinary program can set it back:
whatever writes to a record is noticed by the next command. Bits that change on the disk without a write change no time;
`full` finds them, and so do `merge --full` and `doctor`.

The notes are in `state/checked.json`. They decide only whether a file is hashed again: the table does not depend on
them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from lthsweep.errors import CorruptRecordError, StoreError
from lthsweep.store import commit, plainjson
from lthsweep.store.hashed import read_hashed, with_hash
from lthsweep.store.layout import SweepDir
from lthsweep.store.record import Summary, read_checked

__all__ = ["CheckedRecords", "check_records", "note_checked"]

_Stamp: TypeAlias = list[int]
"""Size, mtime and ctime in nanoseconds, and inode of a file."""


@dataclass(frozen=True)
class CheckedRecords:
    """Undamaged and damaged records.

    Attributes:
        digests: key → sha256 of each undamaged record.
        damaged: key → error of each damaged record: changed bytes, another run's record, or another version.
        stamps: key → (sha256, size, times, inode) of each undamaged record.
    """

    digests: Mapping[str, str]
    damaged: Mapping[str, str]
    stamps: Mapping[str, tuple[str, _Stamp]]


def check_records(
    sweep: SweepDir,
    keys: Collection[str] | None = None,
    *,
    full: bool = False,
    keep: Callable[[Summary], None] = lambda summary: None,
) -> CheckedRecords:
    """Return which records are undamaged. Writes nothing; see `note_checked`.

    Args:
        sweep: the sweep directory.
        keys: of the records to check; None for all. Missing ones are left out.
        full: hash every file, also unchanged ones.
        keep: called with the summary of each record that was read, so that the caller need not read it again.

    Raises:
        StoreError: if a record cannot be read, for example without permission.
    """
    known = {} if full else _read_notes(sweep)
    digests: dict[str, str] = {}
    damaged: dict[str, str] = {}
    stamps: dict[str, tuple[str, _Stamp]] = {}
    for key in sweep.record_keys() if keys is None else keys:
        path = sweep.record(key)
        try:
            stamp = _stamp(path)  # before reading: a change in between then counts as a change
            digest, last = known.get(key, ("", []))
            if last != stamp:
                summary = read_checked(path)
                if summary.key != key:
                    raise CorruptRecordError(f"{path} is the record of run {summary.key}")
                digest = summary.sha256
                keep(summary)
        except FileNotFoundError:  # removed since the folder was listed
            continue
        except CorruptRecordError as error:
            damaged[key] = str(error)
            continue
        digests[key] = digest
        stamps[key] = digest, stamp
    return CheckedRecords(digests, damaged, stamps)


def note_checked(sweep: SweepDir, checked: CheckedRecords) -> None:
    """Remember which files were found undamaged; an error of writing only costs time later."""
    content = with_hash(sweep.checked, plainjson.dump(checked.stamps))
    try:
        if not sweep.checked.exists() or sweep.checked.read_bytes() != content:
            sweep.state.mkdir(mode=0o700, exist_ok=True)
            commit.replace(sweep.checked, content, durable=False)
    except OSError:
        return


def _read_notes(sweep: SweepDir) -> dict[str, tuple[str, _Stamp]]:
    try:
        content = plainjson.load(read_hashed(sweep.checked))
        return {str(key): (str(digest), list(stamp)) for key, (digest, stamp) in content.items()}
    except (FileNotFoundError, StoreError, ValueError, AttributeError, TypeError):
        return {}  # missing, damaged, or not readable by this user: every record is hashed


def _stamp(path: Path) -> _Stamp:
    with commit.reading(path):
        status = os.stat(path)  # noqa: PTH116 (half the time of Path.stat, 10,000 times)
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
