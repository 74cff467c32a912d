"""Heartbeats of workers: the progress of each, for `status`. Advisory; each worker writes only its own file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from lthsweep.errors import StoreError
from lthsweep.store import plainjson
from lthsweep.store.commit import replace as replace_file
from lthsweep.store.hashed import read_hashed, with_hash
from lthsweep.store.layout import SweepDir, checked_name

__all__ = ["Heartbeat", "read_heartbeats", "remove_heartbeat", "write_heartbeat"]


@dataclass(frozen=True)
class Heartbeat:
    """A worker's report about its run.

    Attributes:
        worker: its name, unique in the sweep, usable in a file name.
        host, pid: its machine and process.
        key: the run it trains; "" if none.
        phase: "idle", "data", "train", "test", or another word.
        epoch, epochs: done, and in all, of the run.
        val_accuracy: of the last epoch, 0..1; NaN if none.
        images_per_second: of the training; NaN if not known yet.
        started: when the run was started, seconds since the epoch.
        time: when this was written, seconds since the epoch.
        others: other runs of its ensemble, with the same progress: key → last validation accuracy, NaN if none.
    """

    worker: str
    host: str = ""
    pid: int = 0
    key: str = ""
    phase: str = "idle"
    epoch: float = 0
    epochs: float = 0
    val_accuracy: float = float("nan")
    images_per_second: float = float("nan")
    started: float = 0.0
    time: float = 0.0
    others: Mapping[str, float] = field(default_factory=dict)

    def of_each(self) -> list[Heartbeat]:
        """Return a heartbeat for every run that the worker trains."""
        pairs = [(self.key, self.val_accuracy), *self.others.items()]
        return [replace(self, key=key, val_accuracy=accuracy, others={}) for key, accuracy in pairs]


def write_heartbeat(sweep: SweepDir, heartbeat: Heartbeat) -> None:
    """Publish a worker's heartbeat in place of its last.

    Raises:
        StoreError: if it cannot be written; a worker can continue without it.
    """
    path = sweep.worker(heartbeat.worker)
    replace_file(path, with_hash(path, plainjson.dump(asdict(heartbeat))), durable=False)


def read_heartbeats(sweep: SweepDir) -> list[Heartbeat]:
    """Return the last heartbeat of every worker, of any age, sorted by name, without unreadable ones."""
    try:
        names = sorted(os.listdir(sweep.workers))  # noqa: PTH208 (names, not paths, are wanted)
    except (FileNotFoundError, PermissionError):  # state/ is its owner's; a reader sees the results
        return []
    found = [
        _read(sweep.workers / name) for name in names if name.endswith(".json") and not name.startswith(".")
    ]
    return [heartbeat for heartbeat in found if heartbeat is not None]


def remove_heartbeat(sweep: SweepDir, worker: str) -> None:
    """Remove the heartbeat of a worker that ended normally."""
    sweep.worker(worker).unlink(missing_ok=True)


def _read(path: Path) -> Heartbeat | None:
    try:
        content = plainjson.load(read_hashed(path))
        key = str(content["key"])
        return Heartbeat(
            worker=checked_name(str(content["worker"])),
            host=str(content["host"]),
            pid=int(content["pid"]),
            key=checked_name(key) if key else "",  # readers make paths of it
            phase=str(content["phase"]),
            epoch=float(content["epoch"]),
            epochs=float(content["epochs"]),
            val_accuracy=float(content["val_accuracy"]),
            images_per_second=float(content["images_per_second"]),
            started=float(content["started"]),
            time=float(content["time"]),
            others={checked_name(str(key)): float(value) for key, value in content.get("others", {}).items()},
        )
    except (FileNotFoundError, StoreError, ValueError, KeyError, TypeError, AttributeError):
        return None
