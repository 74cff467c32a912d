"""Every file name of a sweep directory, in one place.

`records/` holds the results, `weights/` large files, `state/` advisory data: it can be deleted
while no worker runs, and only progress is lost. Names are checked before they become paths, so no name
that comes from a file on disk can point outside the directory.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from lthsweep.errors import StoreError

__all__ = ["RECORD_SUFFIX", "SweepDir", "checked_name"]

RECORD_SUFFIX = ".h5"
_SNAPSHOT = re.compile(r"step-(\d{8,})\.safetensors")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True)
class SweepDir:
    """The directory of one sweep. A value: making one touches no disk.

    Attributes:
        path: the directory, usually `results/<name>`.
    """

    path: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))

    def create(self) -> SweepDir:
        """Create the missing folders; `state/` is readable by its owner
        only.

        Raises:
            StoreError: if a folder cannot be made.
        """
        try:
            for folder in (self.records, self.weights, self.logs):
                folder.mkdir(parents=True, exist_ok=True)
            # 0700 from the start: another user with write permission could mislead the workers.
            for folder in (self.state, self.claims, self.failures, self.workers, self.checkpoints):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"cannot make the sweep directory {self.path}: {error.strerror or error}; "
                f"choose another place with --out, or ask for permission to write there"
            ) from error
        return self

    def exists(self) -> bool:
        """True for a sweep directory: it has a `sweep.toml` or a `records/`."""
        return self.sweep_toml.is_file() or self.records.is_dir()

    def is_table_alone(self) -> bool:
        """True for results copied without their records: they can be read, but not merged again."""
        return self.table.is_file() and not self.records.is_dir()

    # Results
    # --------------------------------------------------------------------------------------------------

    @property
    def sweep_toml(self) -> Path:
        """The file as resolved, defaults written out."""
        return self.path / "sweep.toml"

    @property
    def previous_toml(self) -> Path:
        """The file as it was before the last change."""
        return self.path / "sweep.previous.toml"

    @property
    def records(self) -> Path:
        """Folder of the records, one per finished run."""
        return self.path / "records"

    def record(self, key: str) -> Path:
        """The record of one run; if this file exists, the run is finished."""
        return self.records / f"{checked_name(key)}{RECORD_SUFFIX}"

    def has_record(self, key: str) -> bool:
        """True if the run is finished. NFS can show a new record late: absence is not proof."""
        return self.record(key).exists()

    def record_keys(self) -> list[str]:
        """Keys of all finished runs, sorted, by one listing of the folder: nothing is opened."""
        try:
            names = os.listdir(self.records)  # noqa: PTH208 (names are enough: 10,000 Path objects are not)
        except FileNotFoundError:
            return []
        end = -len(RECORD_SUFFIX)
        return sorted(n[:end] for n in names if n.endswith(RECORD_SUFFIX) and _NAME.fullmatch(n))

    # Large files
    # -------------------------------------------------------------------------------------------------

    @property
    def weights(self) -> Path:
        """Folder of the weights, one folder per run inside."""
        return self.path / "weights"

    def weights_of(self, key: str) -> Path:
        """Folder of the weights of one run."""
        return self.weights / checked_name(key)

    def weights_file(self, key: str, name: str) -> Path:
        """A file among the weights of a run, by the bare name that the run's record gives it."""
        return self.weights_of(key) / checked_name(name)

    def snapshot(self, key: str, step: int) -> Path:
        """Weights and optimizer state of a dense run after `step` iterations."""
        return self.weights_of(key) / f"step-{step:08d}.safetensors"

    def snapshot_steps(self, key: str) -> list[int]:
        """Iterations with a snapshot of a dense run, sorted, from one listing of its folder."""
        try:
            names = os.listdir(self.weights_of(key))  # noqa: PTH208 (names are enough)
        except FileNotFoundError:
            return []
        return sorted(int(found[1]) for name in names if (found := _SNAPSHOT.fullmatch(name)))

    def final(self, key: str) -> Path:
        """Weights of a run at the end of its training."""
        return self.weights_of(key) / "final.safetensors"

    # Advisory files
    # ----------------------------------------------------------------------------------------------

    @property
    def state(self) -> Path:
        """Folder of everything that may be deleted while no worker runs."""
        return self.path / "state"

    @property
    def checkpoints(self) -> Path:
        """Folder of checkpoints of running and interrupted runs."""
        return self.state / "checkpoints"

    def checkpoint(self, key: str) -> Path:
        """Checkpoint from which an interrupted run continues."""
        return self.checkpoints / f"{checked_name(key)}.safetensors"

    @property
    def failures(self) -> Path:
        """Folder of the last failure of each failed run."""
        return self.state / "failures"

    def failure(self, key: str) -> Path:
        """The last failure of one run."""
        return self.failures / f"{checked_name(key)}.json"

    @property
    def claims(self) -> Path:
        """Folder of the claims of workers on runs."""
        return self.state / "claims"

    def claim(self, key: str, generation: int = 0) -> Path:
        """The claim on a run; a claim that was taken over is followed by one of the next generation."""
        return self.claims / (f"{checked_name(key)}.json" if generation == 0 else f"{key}.json.{generation}")

    @property
    def workers(self) -> Path:
        """Folder of the heartbeats of workers."""
        return self.state / "workers"

    def worker(self, name: str) -> Path:
        """The heartbeat of one worker."""
        return self.workers / f"{checked_name(name)}.json"

    @property
    def timings(self) -> Path:
        """Measured seconds per epoch, from which a plan's time is estimated."""
        return self.state / "timings.json"

    @property
    def checked(self) -> Path:
        """Size and times of the records whose sha256 was verified, so that an unchanged file is hashed once."""
        return self.state / "checked.json"

    @property
    def conflicts(self) -> Path:
        """Folder of later records that differ from the record that came first."""
        return self.state / "conflicts"

    def conflict(self, key: str, attempt: str) -> Path:
        """A later record that differs, kept for inspection."""
        return self.conflicts / f"{checked_name(key)}-{checked_name(attempt)}{RECORD_SUFFIX}"

    @property
    def quarantine(self) -> Path:
        """Folder of files that `doctor` took out of the sweep."""
        return self.state / "quarantine"

    @property
    def slurm(self) -> Path:
        """Folder of the submissions to SLURM, one folder each."""
        return self.state / "slurm"

    def submission(self, name: str) -> Path:
        """Folder of one submission: its intent, its fate, its job's id, scripts and logs."""
        return self.slurm / checked_name(name)

    # Files for the user
    # --------------------------------------------------------------------------------------------

    @property
    def logs(self) -> Path:
        """Folder of the logs."""
        return self.path / "logs"

    def log(self, key: str) -> Path:
        """The log of one run, all attempts in one file."""
        return self.logs / f"{checked_name(key)}.log"

    @property
    def table(self) -> Path:
        """The table that the reducer writes."""
        return self.path / "table.h5"

    @property
    def report(self) -> Path:
        """The offline page."""
        return self.path / "report.html"

    @property
    def figures(self) -> Path:
        """Folder of the figures for a paper."""
        return self.path / "figures"


def checked_name(name: str) -> str:
    """Return `name`, if it can be part of a path.

    Raises:
        StoreError: if it has other characters than letters, digits, `.`, `_`, `-`, starts with one of the
            last three, or is longer than 128.
    """
    if not _NAME.fullmatch(name):
        raise StoreError(
            f"{name[:80]!r} cannot name a file of a sweep; use letters, digits, '.', '_', '-', at most 128, "
            f"the first a letter or digit"
        )
    return name
