"""Store the record of a finished run, exactly once.

The first record stays unchanged. The record of a second finisher (a worker that was considered dead, a job that the
scheduler started twice) is compared with it: trainings are deterministic, so they agree except for their timings. A
difference is an error of a machine or of this package, and the later record is kept for inspection.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lthsweep.errors import CorruptRecordError, StoreError
from lthsweep.plan.keys import canonical
from lthsweep.store.commit import commit_new
from lthsweep.store.layout import SweepDir
from lthsweep.store.metrics import TIMING_METRICS
from lthsweep.store.record import Record, decode, encode

__all__ = ["CommitOutcome", "commit_record", "differences"]


@dataclass(frozen=True)
class CommitOutcome:
    """The outcome of storing a record.

    Attributes:
        verdict: "first" if it is now the record of its run, "same" if an equal one existed, "differs" if the
            existing one has other contents.
        path: the record of the run.
        kept: path of the later record, if it differs.
        differences: in words; empty unless `verdict` is "differs".
    """

    verdict: Literal["first", "same", "differs"]
    path: Path
    kept: Path | None = None
    differences: tuple[str, ...] = ()


def commit_record(sweep: SweepDir, record: Record, *, durable: bool = True) -> CommitOutcome:
    """Publish the record of a run, unless the run has one; never overwrites.

    Args:
        sweep: its folders must exist (`SweepDir.create`).
        record: of a run that ended, well or diverged; never of one that failed.
        durable: see `lthsweep.store.commit.commit_new`.

    Raises:
        StoreError: if it cannot be written; then nothing was changed.
    """
    path = sweep.record(record.key)
    data = encode(record)
    if commit_new(path, data, durable=durable):
        return CommitOutcome("first", path)
    try:
        found = differences(decode(path), record)
    except CorruptRecordError as error:
        found = (f"the record that is there cannot be read: {error}",)
    if not found:
        return CommitOutcome("same", path)
    return CommitOutcome("differs", path, _keep(sweep, record.key, data, durable), found)


def differences(first: Record, second: Record) -> tuple[str, ...]:
    """Return the differences between two records of one run, without timings, provenance, audit and weights."""
    found = [name for name in ("key", "kind", "outcome") if getattr(first, name) != getattr(second, name)]
    if canonical(first.manifest) != canonical(second.manifest):  # an older version knew fewer options
        found.append("manifest")
    ours, theirs = _science(first.metrics), _science(second.metrics)
    found += [f"metric {name}" for name in sorted(ours.keys() | theirs.keys()) if _unlike(name, ours, theirs)]
    found += _table_differences("curves", first.curves, second.curves, leave_out=("seconds",))
    found += _table_differences("layers", first.layers, second.layers)
    for name in sorted(first.masks.keys() | second.masks.keys()):
        ours_kept, theirs_kept = first.masks.get(name), second.masks.get(name)
        if ours_kept is None or theirs_kept is None or not np.array_equal(ours_kept, theirs_kept):
            found.append(f"mask {name}")
    return tuple(found)


def _keep(sweep: SweepDir, key: str, data: bytes, durable: bool) -> Path:
    try:
        sweep.conflicts.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"cannot make {sweep.conflicts}: {error.strerror or error}; check its permissions"
        ) from error
    path = sweep.conflict(key, os.urandom(4).hex())
    commit_new(path, data, durable=durable)
    return path


def _science(metrics: Mapping[str, float | int]) -> dict[str, float]:
    """Return the measured metrics except timings: NaN is the same as absent."""
    return {name: value for name, value in metrics.items() if name not in TIMING_METRICS and value == value}


def _unlike(name: str, ours: Mapping[str, float], theirs: Mapping[str, float]) -> bool:
    return name not in ours or name not in theirs or ours[name] != theirs[name]


def _table_differences(
    what: str, ours: NDArray[np.void], theirs: NDArray[np.void], leave_out: tuple[str, ...] = ()
) -> list[str]:
    if len(ours) != len(theirs):
        return [f"{what}: {len(ours)} rows and {len(theirs)}"]
    columns = [name for name in ours.dtype.names or () if name not in leave_out]
    return [f"{what}: {name}" for name in columns if ours[name].tobytes() != theirs[name].tobytes()]
