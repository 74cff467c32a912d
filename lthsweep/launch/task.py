"""What a coordinator hands to a worker, and what it hears back: plain nouns with a JSON form."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from lthsweep.plan.prune_step import LayerRules, PruneStep
from lthsweep.plan.rewind import RewindPoint
from lthsweep.plan.run import Run

__all__ = ["LEAVING", "STALE_SECONDS", "Message", "Task", "task_for"]

LEAVING = 75
"""Exit status of a worker whose device is of no use to it any more. What it was given meanwhile it has not begun."""

STALE_SECONDS = 900.0
"""A claim of another host without a heartbeat for this long counts as abandoned: a node that died says nothing."""

Operation = Literal["train", "profile", "sleep"]
MessageKind = Literal["ready", "progress", "finished", "failed", "stopped", "held", "returned"]


@dataclass(frozen=True)
class Task:
    """One run for a worker, and others to be trained with it as one.

    Attributes:
        key, kind, manifest, trunk, parent, level, seed: of the run.
        label: one line for people.
        recipe: model, data and train tables.
        prune: the pruning step as `PruneStep.manifest` writes it, with `scope` always given; None for a dense run.
        snapshots: rewind points of the trunk whose snapshots must exist when the task is finished.
        layer_rules: [exclude, rates] of its tickets, see `LayerRules`, checked before a trunk is trained.
        operation: "train", or "profile" to time one epoch and store nothing, or "sleep" to take `recipe["seconds"]` and
            store nothing: a training of known length, on which dispatch is measured (tests/benchmarks).
        attempt: 1 for the first.
        checkpoint_seconds: time between periodic checkpoints.
        cache: folder of packed data; None for the default.
        companions: other tickets of its trunk and rewind point. Each has its own claim, log, checkpoint and record.
        measure_width: the worker is to find out how many of them pay, and to return the others.
    """

    key: str
    kind: str
    manifest: dict[str, Any]
    trunk: str
    parent: str | None
    level: int
    seed: int
    label: str
    recipe: dict[str, Any]
    prune: dict[str, Any] | None
    snapshots: list[dict[str, Any]] = field(default_factory=list)
    layer_rules: list[list[Any]] = field(default_factory=list)
    operation: Operation = "train"
    attempt: int = 1
    checkpoint_seconds: float = 300.0
    cache: str | None = None
    companions: list[Task] = field(default_factory=list)
    measure_width: bool = False

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Task:
        """Undo `to_json`."""
        values = json.loads(line)
        return cls(**{**values, "companions": [cls(**companion) for companion in values["companions"]]})

    @property
    def together(self) -> list[Task]:
        """This run and its companions, each by itself."""
        return [replace(self, companions=[]), *self.companions]

    @property
    def prune_step(self) -> PruneStep:
        """The pruning step of a ticket run."""
        assert self.prune is not None, f"{self.key} is a dense run"
        return PruneStep.of_manifest(self.prune)

    @property
    def snapshot_points(self) -> list[RewindPoint]:
        """`snapshots` as rewind points."""
        return [RewindPoint(**point) for point in self.snapshots]


def task_for(
    run: Run,
    points: tuple[RewindPoint, ...] = (),
    layer_rules: Collection[LayerRules] = (),
    *,
    operation: Operation = "train",
    attempt: int = 1,
    checkpoint_seconds: float = 300.0,
    cache: str | None = None,
    measure_width: bool = False,
) -> Task:
    """The task that trains a run; `points` are the snapshots a trunk must leave, `layer_rules` what to check first."""
    return Task(
        key=run.key,
        kind=run.kind,
        manifest=dict(run.manifest),
        trunk=run.trunk,
        parent=run.parent,
        level=run.level,
        seed=run.seed,
        label=run.describe(),
        recipe=run.recipe.to_dict(),
        prune=None if run.prune is None else run.prune.manifest() | {"scope": run.prune.scope},
        snapshots=[asdict(point) for point in points],
        layer_rules=[[list(rules.exclude), [list(pair) for pair in rules.rates]] for rules in layer_rules],
        operation=operation,
        attempt=attempt,
        checkpoint_seconds=checkpoint_seconds,
        cache=cache,
        measure_width=measure_width,
    )


@dataclass(frozen=True)
class Message:
    """What a worker says.

    Attributes:
        kind: "ready" (imported, waiting), "progress", "finished", "failed" (an exception), "stopped" (asked to, after
            a checkpoint), "held" (another live worker has the run), "returned" (nobody asked to stop, and the run is to
            be handed out again: the worker trains fewer as one, or those it was trained with were interrupted).
        key: the run; empty for "ready".
        values: "ready": device; "progress": epoch, epochs, images_per_second, val_accuracy, perhaps phase; "finished":
            outcome, seconds_per_epoch, test_accuracy, fused (how many were trained as one), perhaps width (so many
            are to be trained as one at most); "failed": cause, error, retry; "held": owner; "returned": cause, perhaps
            width, or alone (true if it is to be trained alone).
    """

    kind: MessageKind
    key: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, line: str) -> Message:
        """Undo `to_json`."""
        return cls(**json.loads(line))
