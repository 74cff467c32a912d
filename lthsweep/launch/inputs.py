"""The inputs of a run: its data, and records, weights and snapshots of earlier runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, cast

import torch

from lthsweep.data.cache import open_packed
from lthsweep.errors import MissingRecordError, PruningError, TrainingError
from lthsweep.launch.checkpoint import load_checkpoint
from lthsweep.launch.outputs import snapshot_metadata
from lthsweep.launch.task import Task
from lthsweep.lottery.context import TrainingContext
from lthsweep.lottery.ticket import Parent, PreparedTicket, prepare_ticket
from lthsweep.plan.rewind import RewindPoint
from lthsweep.store.layout import SweepDir
from lthsweep.store.record import Record, decode
from lthsweep.store.weights import Arrays, load_arrays, unpack_sparse
from lthsweep.training.state import TrainingData

__all__ = ["Inputs", "ancestors_of", "context_of", "prepared_of"]

_Read = TypeVar("_Read")


@dataclass(frozen=True)
class Inputs:
    """Reads files for one run and remembers their hashes.

    Attributes:
        sweep: the sweep directory.
        weights_read: "KEY/FILE" → sha256, for the provenance of the record.
        cache: files that other runs of an ensemble have read already; None to read everything.
    """

    sweep: SweepDir
    weights_read: dict[str, str] = field(default_factory=dict)
    cache: dict[Path, object] | None = None

    def record(self, key: str) -> Record:
        """Return the record of a run from which this one descends.

        Raises:
            MissingRecordError: if there is no record.
            PruningError: if that run diverged.
        """
        path = self.sweep.record(key)
        if not path.exists():
            raise MissingRecordError(
                f"the record of its parent {key} is needed, and {path} is missing; "
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
        """Return what pruning needs of the run whose final weights are ranked."""
        path = self.sweep.final(record.key)
        packed = self._load(path, record.weights.get(path.name), {"run": record.key})
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
        """Return the weights of a dense run at a rewind point."""
        step = point.step(int(trunk.measured.steps_per_epoch))
        path = self.sweep.snapshot(trunk.key, step)
        return self._load(path, trunk.weights.get(path.name), snapshot_metadata(trunk.key, step))

    def _load(self, path: Path, sha256: str | None, metadata: Mapping[str, str]) -> Arrays:
        if not path.exists():
            raise MissingRecordError(
                f"{path} is missing, but its run has a record; move the record of run {path.parent.name} away "
                f"and run `lthsweep run SWEEP` to train it again"
            )
        arrays = self._once(path, lambda: load_arrays(path, sha256, expect_metadata=metadata))
        if sha256:
            self.weights_read[f"{path.parent.name}/{path.name}"] = sha256
        return arrays

    def _once(self, path: Path, read: Callable[[], _Read]) -> _Read:
        if self.cache is None:
            return read()
        if path not in self.cache:
            self.cache[path] = read()
        return cast(_Read, self.cache[path])


def context_of(task: Task, device: torch.device) -> TrainingContext:
    """Return data and model of a task's recipe on a device."""
    recipe = task.run.recipe
    cache = None if task.cache is None else Path(task.cache)
    return TrainingContext.of(recipe.to_dict(), open_packed(recipe.data, cache=cache), device)


def prepared_of(
    task: Task, sweep: SweepDir, context: TrainingContext, inputs: Inputs, data: TrainingData | None = None
) -> PreparedTicket:
    """Return the pruned and rewound ticket of a task, at the step of its last checkpoint.

    Args:
        task: of a ticket.
        sweep: directory of its inputs.
        context: of its recipe.
        inputs: reads files and remembers their hashes.
        data: batches that the tickets of an ensemble share; None to make them.

    Raises:
        MissingRecordError, CorruptRecordError: an input is missing or damaged.
        PruningError, TrainingError: the ticket is impossible as specified.
    """
    step = task.prune
    trunk, parent = ancestors_of(task, context, inputs)
    return prepare_ticket(
        context,
        task.run.seed,
        step,
        parent=inputs.parent(parent),
        snapshot=inputs.snapshot(trunk, step.point) if step.returns_weights else None,
        dense_val_accuracy=trunk.measured.val_accuracy,
        resume=load_checkpoint(sweep, task.key),
        data=data,
    )


def ancestors_of(task: Task, context: TrainingContext, inputs: Inputs) -> tuple[Record, Record]:
    """Return the records of the dense run and of the parent, which can be the same run.

    Raises:
        TrainingError: if the dense run was trained on other values. The key holds the digest of the source, which
            machines with other decoders read as other values.
    """
    run = task.run
    trunk = inputs.record(run.trunk)
    theirs, ours = str(trunk.provenance.get("data_fingerprint")), context.packed.fingerprint
    parent = trunk if run.parent in (None, run.trunk) else inputs.record(str(run.parent))
    if theirs != ours:
        raise TrainingError(
            f"the dense run {trunk.key} was trained on other values (fingerprint {theirs[:12]}) than are packed here "
            f"({ours[:12]}): the same files were decoded by other libraries; train on machines with equal libraries, "
            f"or copy the pack {context.packed.folder.name} from the machine of the dense run"
        )
    return trunk, parent
