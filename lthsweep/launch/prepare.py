"""A task made ready to be trained: its recipe on a device, its ticket made of what is on disk."""

from __future__ import annotations

from pathlib import Path

import torch

from lthsweep.data.cache import open_packed
from lthsweep.launch.inputs import Inputs, check_same_data
from lthsweep.launch.task import Task
from lthsweep.launch.watch import load_checkpoint
from lthsweep.lottery.context import TrainingContext
from lthsweep.lottery.ticket import PreparedTicket, prepare_ticket
from lthsweep.store.layout import SweepDir
from lthsweep.store.record import Record
from lthsweep.training.training import TrainingData

__all__ = ["ancestors_of", "material_of", "prepared_of"]


def material_of(task: Task, device: torch.device) -> TrainingContext:
    """Data and model of a task's recipe on a device."""
    cache = None if task.cache is None else Path(task.cache)
    return TrainingContext.of(task.recipe, open_packed(task.recipe["data"], cache=cache), device)


def prepared_of(
    task: Task, sweep: SweepDir, material: TrainingContext, inputs: Inputs, data: TrainingData | None = None
) -> PreparedTicket:
    """The ticket of a task, made of what is on disk, where an earlier attempt left it.

    Args:
        task: of a ticket run.
        sweep: where its inputs are.
        material: of its recipe.
        inputs: remembers what was read.
        data: of this material and the task's seed, where several tickets share it; None makes it.

    Raises:
        MissingRecordError, CorruptRecordError: an input is not there or damaged.
        PruningError, TrainingError: the ticket cannot be made as asked.
    """
    step = task.prune_step
    trunk, parent = ancestors_of(task, material, inputs)
    return prepare_ticket(
        material,
        task.seed,
        step,
        parent=inputs.parent(parent),
        snapshot=inputs.snapshot(trunk, step.point) if step.returns_weights else None,
        dense_val_accuracy=trunk.measured.val_accuracy,
        resume=load_checkpoint(sweep.checkpoint(task.key)),
        data=data,
    )


def ancestors_of(task: Task, material: TrainingContext, inputs: Inputs) -> tuple[Record, Record]:
    """Trunk and parent, which may be the same."""
    trunk = inputs.record(task.trunk)
    parent = trunk if task.parent in (None, task.trunk) else inputs.record(str(task.parent))
    check_same_data(trunk, material.packed.fingerprint)
    return trunk, parent
