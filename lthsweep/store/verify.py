"""Check all files of a sweep, and move damaged ones away.

Findings of severity "error" make a result wrong or doubtful; `quarantine` moves their files away, so that
`run` trains those runs again. "warning" and "note" change no result.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lthsweep.errors import CorruptRecordError, StoreError
from lthsweep.plan.keys import key_of
from lthsweep.store.commit import is_temporary, read_whole
from lthsweep.store.layout import RECORD_SUFFIX, SweepDir
from lthsweep.store.record import Record, decode
from lthsweep.store.seal import is_other_version
from lthsweep.store.weights import load_arrays

__all__ = ["Finding", "quarantine", "set_aside", "verify"]

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """A problem of a sweep directory.

    Attributes:
        severity: "error", "warning" or "note".
        path: the file or folder.
        what: the problem.
        remedy: the action to take.
        record: the record that vouches for damaged weights; it is moved away with them.
    """

    severity: Severity
    path: Path
    what: str
    remedy: str
    record: Path | None = None


def verify(sweep: SweepDir, *, temps_older_than: float = 3600.0, now: float | None = None) -> list[Finding]:
    """Read every record and every file of weights, and compare them with their hashes and keys.

    Args:
        sweep: to check; missing folders are empty ones.
        temps_older_than: age in seconds from which a temporary file counts as left behind.
        now: seconds since the epoch; the present if None.

    Returns:
        Findings in order of path; empty without problems.
    """
    moment = time.time() if now is None else now
    known: dict[str, Record | None] = {}
    found: list[Finding] = []
    for path in _files(sweep.records):
        record, findings = _check_record(path)
        found += findings
        known[path.name.removesuffix(RECORD_SUFFIX)] = record
        if record is not None and not any(finding.severity == "error" for finding in findings):
            found += _check_weights(sweep, record)
    found += _orphans(sweep, known)
    found += _left_behind(sweep, moment - temps_older_than)
    found += [
        Finding(
            "warning",
            path,
            "another finisher of this run came to another result",
            "compare it with the run's record; on equal hardware and versions this is a "
            "defect, please report it",
        )
        for path in _files(sweep.conflicts)
    ]
    return sorted(found, key=lambda finding: (str(finding.path), finding.what))


def quarantine(sweep: SweepDir, findings: Iterable[Finding]) -> list[Path]:
    """Move the files of all errors to `state/quarantine/`, and with damaged weights the record that vouches
    for them.

    Returns:
        Where the files are now.

    Raises:
        StoreError: if one cannot be moved; those before it are.
    """
    doomed: set[Path] = set()
    for finding in findings:
        if finding.severity == "error":
            doomed.add(finding.path)
            if finding.record is not None:
                doomed.add(finding.record)
    moved = [set_aside(sweep, path) for path in sorted(doomed)]
    return [path for path in moved if path is not None]


def set_aside(sweep: SweepDir, path: Path) -> Path | None:
    """Move a damaged file to `state/quarantine/`; return where it is now, or None if it is already gone.

    Raises:
        StoreError: if it cannot be moved.
    """
    origin = path.relative_to(sweep.path)
    target = sweep.quarantine / f"{os.urandom(4).hex()}-{'-'.join(origin.parts)}"
    try:
        sweep.quarantine.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.rename(target)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(
            f"cannot move {path} to {sweep.quarantine}: {error.strerror or error}; move it away by hand"
        ) from error
    return target


def _check_record(path: Path) -> tuple[Record | None, list[Finding]]:
    retrain = "`lthsweep doctor --quarantine` moves it away, then `lthsweep run` trains the run again"
    name = path.name.removesuffix(RECORD_SUFFIX)
    if name == path.name:
        return None, [Finding("note", path, "this is not a record", "move it elsewhere")]
    try:
        record = decode(path)
    except FileNotFoundError:
        return None, []
    except CorruptRecordError as error:
        if is_other_version(path):
            return None, [Finding("warning", path, str(error), "read it with the lthsweep that wrote it")]
        return None, [Finding("error", path, str(error), retrain)]
    except StoreError as error:
        return None, [
            Finding("warning", path, str(error), "check permissions and the file system, then look again")
        ]
    found = []
    if record.key != name:
        found.append(Finding("error", path, f"it holds the record of run {record.key}", retrain))
    if key_of(record.manifest) != record.key:
        found.append(
            Finding(
                "error", path, f"its manifest hashes to {key_of(record.manifest)}, not to its key", retrain
            )
        )
    if record.audit.get("ok", True) is not True:
        found.append(
            Finding("error", path, f"the run failed its own audit: {_failed_audit(record)}", retrain)
        )
    return record, found


def _failed_audit(record: Record) -> str:
    failed = [name for name, value in record.audit.items() if value is False and name != "ok"]
    return ", ".join(sorted(failed)) or "no reason was recorded"


def _check_weights(sweep: SweepDir, record: Record) -> Iterator[Finding]:
    for name, digest in sorted(record.weights.items()):
        try:
            path = sweep.weights_file(record.key, name)
        except StoreError as error:
            yield Finding(
                "error", sweep.record(record.key), str(error), "the record is foreign; move it away"
            )
            continue
        try:
            found = hashlib.sha256(read_whole(path)).hexdigest()
        except FileNotFoundError:
            yield Finding(
                "warning",
                path,
                "these weights are in the run's record but not on disk",
                "results stand without them; to have them again, move the record away and `lthsweep run`",
            )
            continue
        except StoreError as error:
            yield Finding(
                "warning", path, str(error), "check permissions and the file system, then look again"
            )
            continue
        if found != digest:
            yield Finding(
                "error",
                path,
                f"its sha256 is {found[:12]}…, in the record it is {digest[:12]}…",
                "`lthsweep doctor --quarantine` moves it and its record away, "
                "then `lthsweep run` trains the run again",
                record=sweep.record(record.key),
            )


def _orphans(sweep: SweepDir, known: dict[str, Record | None]) -> Iterator[Finding]:
    unfinished = "delete it, unless the run is being trained or its record is in quarantine"
    for folder in _entries(sweep.weights):
        if folder.name not in known:
            if not sweep.checkpoint(folder.name).exists():  # else `run` continues it
                yield Finding("note", folder, "weights of a run that has no record", unfinished)
            continue
        record = known[folder.name]
        for path in _files(folder):
            if record is None or path.name in record.weights:
                continue
            if record.kind == "dense" and path.name.startswith("step-"):
                yield from _check_later_snapshot(path)
            else:
                yield Finding("note", path, "weights that the run's record does not name", "delete it")


def _check_later_snapshot(path: Path) -> Iterator[Finding]:
    """Check a snapshot that was made after the dense run's record, which has no hash for it."""
    try:
        load_arrays(path)
    except CorruptRecordError as error:
        yield Finding(
            "error",
            path,
            str(error),
            "`lthsweep doctor --quarantine` moves it away; `lthsweep run` makes it again when a ticket needs it",
        )
    except FileNotFoundError:
        return


def _left_behind(sweep: SweepDir, before: float) -> Iterator[Finding]:
    folders = [
        sweep.path,
        sweep.records,
        sweep.checkpoints,
        sweep.claims,
        sweep.failures,
        sweep.workers,
        sweep.conflicts,
    ]
    for folder in [*folders, *(entry for entry in _entries(sweep.weights) if entry.is_dir())]:
        for path in _entries(folder, hidden=True):
            try:
                if is_temporary(path.name) and path.lstat().st_mtime <= before:
                    yield Finding("note", path, "a killed writer left this behind", "delete it")
            except FileNotFoundError:
                continue


def _files(folder: Path) -> list[Path]:
    return [path for path in _entries(folder) if not path.is_dir()]


def _entries(folder: Path, hidden: bool = False) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if hidden or not path.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError, PermissionError):  # state/ is closed to other readers
        return []
