"""A task: one run of the plan that a coordinator hands to a worker, as one line of JSON."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from pydantic import TypeAdapter

from lthsweep.plan.prune_step import LayerRules, PruneStep
from lthsweep.plan.rewind import RewindPoint
from lthsweep.plan.run import Run

__all__ = ["STALE_SECONDS", "Operation", "Task"]

STALE_SECONDS = 900.0
"""A claim from another host without a heartbeat for this long is abandoned: a dead node cannot release its claims."""


class Operation(StrEnum):
    """The work of a task."""

    TRAIN = "train"
    PROFILE = "profile"  # time one epoch, store nothing
    SLEEP = "sleep"  # wait `Task.sleep_seconds`, store nothing: the benchmarks measure dispatch with it


@dataclass(frozen=True)
class Task:
    """One run for a worker.

    Attributes:
        run: what to train.
        rewind_points: of a dense run: the points whose snapshots must exist when the task is finished.
        layer_rules: of a dense run: the rules of its tickets, which are checked before it is trained.
        attempt: 1 for the first attempt.
        checkpoint_seconds: time between two periodic checkpoints.
        cache: folder of packed data; None for the default.
        companions: other tickets to train with it in one ensemble (`lthsweep.launch.fused`). Each has its own claim,
            log, checkpoint and record.
        measure_fuse_width: whether the worker has to measure how many such tickets pay on its device.
    """

    run: Run
    rewind_points: tuple[RewindPoint, ...] = ()
    layer_rules: tuple[LayerRules, ...] = ()
    operation: Operation = Operation.TRAIN
    sleep_seconds: float = 0.0
    attempt: int = 1
    checkpoint_seconds: float = 300.0
    cache: str | None = None
    companions: tuple[Task, ...] = ()
    measure_fuse_width: bool = False

    @property
    def key(self) -> str:
        """Key of the run."""
        return self.run.key

    @property
    def prune(self) -> PruneStep:
        """The pruning step of a ticket."""
        assert self.run.prune is not None, f"{self.key} is a dense run"
        return self.run.prune

    @property
    def each(self) -> list[Task]:
        """This task and its companions, each as a task for a single run."""
        return [replace(self, companions=()), *self.companions] if self.companions else [self]

    def to_json(self) -> str:
        """Return the task as one line of JSON."""
        return _SCHEMA.dump_json(self).decode()

    @classmethod
    def from_json(cls, line: str) -> Task:
        """Undo `to_json`."""
        return _SCHEMA.validate_json(line)


_SCHEMA: TypeAdapter[Task] = TypeAdapter(Task)
