"""Time that the finished runs took, from the table and from the records that are newer than it."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from lthsweep.errors import StoreError
from lthsweep.reduce.table import TableFile
from lthsweep.store.layout import SweepDir
from lthsweep.store.record import read_summary

__all__ = ["TimeUsed", "time_used"]

_MOST_OPENED = 500
"""Number of records that are opened, at a third of a millisecond each; the time of further ones is extrapolated."""


@dataclass(frozen=True)
class TimeUsed:
    """Seconds of training in finished runs, interrupted attempts and evaluation included.

    Attributes:
        cpu_seconds, gpu_seconds: by the device of the training; seconds of a worker, several of which can share a GPU.
        runs: how many.
        exact: True if the time of every run was read; otherwise a part is extrapolated.
    """

    cpu_seconds: float
    gpu_seconds: float
    runs: int
    exact: bool


def time_used(sweep: SweepDir, keys: Collection[str]) -> TimeUsed:
    """Add up the seconds of finished runs.

    Args:
        sweep: the sweep directory.
        keys: of runs with a record.
    """
    known = {key: seconds for key, seconds in _of_table(sweep) if key in keys}
    later = [key for key in keys if key not in known]
    for key in later[:_MOST_OPENED]:
        try:
            found = read_summary(sweep.record(key))
        except (StoreError, FileNotFoundError):  # damaged: `doctor` reports it
            continue
        known[key] = _seconds(found.metrics, str(found.provenance.get("device", "")))
    scale = len(keys) / len(known) if known else 0.0
    return TimeUsed(
        cpu_seconds=scale * sum(seconds for on_gpu, seconds in known.values() if not on_gpu),
        gpu_seconds=scale * sum(seconds for on_gpu, seconds in known.values() if on_gpu),
        runs=len(keys),
        exact=len(known) == len(keys),
    )


def _of_table(sweep: SweepDir) -> Iterator[tuple[str, tuple[bool, float]]]:
    """Yield key, (on a GPU?, seconds) of the runs in the table; nothing if it is missing or damaged."""
    try:
        runs = TableFile(sweep.table)["runs"]
        columns = [
            runs[name].tolist() for name in ("key", "record", "device", "seconds_wall", "seconds_train")
        ]
    except (StoreError, FileNotFoundError, ValueError):
        return
    for key, record, device, wall, train in zip(*columns, strict=True):
        if record:
            metrics = {"seconds_wall": wall, "seconds_train": train}
            yield key.decode(), _seconds(metrics, device.decode())


def _seconds(metrics: Mapping[str, float], device: str) -> tuple[bool, float]:
    """Return whether the run was on a GPU, and the seconds of its last attempt or of all epochs, if these are more."""
    seconds = [float(metrics.get(name, math.nan)) for name in ("seconds_wall", "seconds_train")]
    return device not in ("cpu", ""), max((s for s in seconds if math.isfinite(s)), default=0.0)
