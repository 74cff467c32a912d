"""What a ticket run reads of the runs before it: records, final weights, snapshots. Every file by its hash."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from lthsweep.errors import MissingRecordError, PruningError, TrainingError
from lthsweep.lottery.context import Arrays
from lthsweep.lottery.ticket import Parent
from lthsweep.plan.rewind import RewindPoint
from lthsweep.store.layout import SweepDir
from lthsweep.store.record import Record, decode
from lthsweep.store.weights import load_arrays, unpack_sparse

__all__ = ["Inputs", "check_same_data"]

_Read = TypeVar("_Read")


@dataclass(frozen=True)
class Inputs:
    """Reads for one run, and remembers what it read.

    Attributes:
        sweep: where from.
        weights_read: "KEY/FILE" → sha256, for the provenance.
        shelf: what other runs of the same trunk have read already and this one need not; None reads everything itself.
    """

    sweep: SweepDir
    weights_read: dict[str, str] = field(default_factory=dict)
    shelf: dict[Path, Any] | None = None

    def record(self, key: str) -> Record:
        """The record of a run that this one descends from.

        Raises:
            MissingRecordError: if it is not there.
            PruningError: if that run diverged.
        """
        path = self.sweep.record(key)
        if not path.exists():
            raise MissingRecordError(
                f"the record of its parent {key} is needed, and {path} is not there; "
                f"`lthsweep run SWEEP` trains parents first"
            )
        record = self._once(path, lambda: decode(path))
        if record.outcome == "diverged":
            raise PruningError(
                f"its parent {key} diverged (loss not finite), so there are no weights to rank; "
                f"lower train.optimizer.lr or lengthen train.schedule.warmup"
            )
        return record

    def parent(self, record: Record) -> Parent:
        """What pruning needs of the run whose final weights are ranked."""
        path = self.sweep.final(record.key)
        packed = self._load(path, record.weights.get(path.name))
        return self._once(
            path.parent,
            lambda: Parent(
                weights=unpack_sparse(packed, record.masks),
                masks=dict(record.masks),
                val_accuracy=record.measured.val_accuracy,
                test_accuracy=record.measured.test_accuracy,
            ),
        )

    def snapshot(self, trunk: Record, point: RewindPoint) -> Arrays:
        """The trunk at a rewind point. One that was made later, for a grown grid, has no hash in the record."""
        path = self.sweep.snapshot(trunk.key, point.step(int(trunk.measured.steps_per_epoch)))
        return self._load(path, trunk.weights.get(path.name))

    def _load(self, path: Path, sha256: str | None) -> Arrays:
        if not path.exists():
            raise MissingRecordError(
                f"{path} is missing though its record is there; move the record of run {path.parent.name} away "
                f"and run `lthsweep run SWEEP` to train it again"
            )
        arrays = self._once(path, lambda: load_arrays(path, expect_sha256=sha256))
        if sha256:
            self.weights_read[f"{path.parent.name}/{path.name}"] = sha256
        return arrays

    def _once(self, path: Path, read: Callable[[], _Read]) -> _Read:
        if self.shelf is None:
            return read()
        if path not in self.shelf:
            self.shelf[path] = read()
        found: _Read = self.shelf[path]
        return found


def check_same_data(trunk: Record, fingerprint: str) -> None:
    """Make sure that a ticket trains on the data of its trunk: the key holds the data's name, not its content.

    Raises:
        TrainingError: if the fingerprints differ.
    """
    theirs = str(trunk.provenance.get("data_fingerprint"))
    if theirs != fingerprint:
        raise TrainingError(
            f"the trunk {trunk.key} was trained on other data (fingerprint {theirs[:12]}) than is packed here "
            f"({fingerprint[:12]}); give the changed data another data.label, or restore the old data"
        )
