"""Events that a worker reports to its coordinator, each one line of JSON on the channel between them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, TypeAdapter

if TYPE_CHECKING:
    from lthsweep.training.progress import ProgressReport

__all__ = [
    "Event",
    "Failed",
    "Finished",
    "Held",
    "Message",
    "Ready",
    "Requeued",
    "RunProgress",
    "Stopped",
    "TaskOutcome",
    "event_from_json",
    "event_to_json",
]


class TaskOutcome(StrEnum):
    """How a task ended that neither failed nor was stopped."""

    FINISHED = "finished"
    DIVERGED = "diverged"  # has a record too: a loss that is not finite is a result
    PRESENT = "present"  # had its record before the task started
    REPLAYED = "replayed"  # a dense run that had its record wrote snapshots that were missing
    PROFILED = "profiled"  # one epoch was timed, nothing was stored
    SLEPT = "slept"  # a run of known length, with which the benchmarks measure dispatch


@dataclass(frozen=True)
class Ready:
    """The worker has imported torch and waits for its first task."""

    device: str = "cpu"
    kind: Literal["ready"] = "ready"


@dataclass(frozen=True)
class RunProgress:
    """How far a run is, about once a second; see `lthsweep.training.progress.ProgressReport` for the values."""

    key: str
    epoch: float = 0.0
    epochs: float = 0.0
    val_accuracy: float | None = None
    images_per_second: int | None = None
    phase: str = "train"
    kind: Literal["progress"] = "progress"

    @classmethod
    def of(cls, key: str, report: ProgressReport) -> RunProgress:
        """The progress that a training reported for the run of this key."""
        return cls(
            key, report.epoch, report.epochs, report.val_accuracy, report.images_per_second, report.phase
        )


@dataclass(frozen=True)
class Finished:
    """A task is complete.

    Attributes:
        seconds_per_epoch: median over its epochs; its share of the time where it was trained in an ensemble.
        test_accuracy: None where nothing was trained.
        fused: number of runs in its ensemble, itself included.
        fuse_width: number of such runs that pay on this device, if the worker measured it.
    """

    key: str
    outcome: TaskOutcome = TaskOutcome.FINISHED
    seconds_per_epoch: float | None = None
    test_accuracy: float | None = None
    fused: int = 1
    fuse_width: int | None = None
    kind: Literal["finished"] = "finished"

    def __str__(self) -> str:
        """One line for the log of the run."""
        if self.test_accuracy is None:
            return str(self.outcome)
        share = f", its share of {self.fused} runs" if self.fused > 1 else ""
        accuracy, seconds = f"{self.test_accuracy:.4f}", f"{self.seconds_per_epoch:.3g}"
        return f"{self.outcome}: test accuracy {accuracy}, {seconds} s per epoch{share}"


@dataclass(frozen=True)
class Failed:
    """An attempt raised an exception, or its worker died.

    Attributes:
        cause: one sentence for people.
        error: class name of the exception.
        retry: False if another attempt would fail in the same way.
        infrastructure: True if the machine is to blame, not the run.
    """

    key: str
    cause: str = ""
    error: str = "unknown"
    retry: bool = False
    infrastructure: bool = False
    kind: Literal["failed"] = "failed"


@dataclass(frozen=True)
class Stopped:
    """A run ended early because its worker was asked to leave; it has a checkpoint."""

    key: str
    kind: Literal["stopped"] = "stopped"


@dataclass(frozen=True)
class Held:
    """Another live worker holds the claim of this run."""

    key: str
    kind: Literal["held"] = "held"


@dataclass(frozen=True)
class Requeued:
    """The worker returns a run that it did not finish, to be handed out again. No attempt is lost.

    Attributes:
        cause: for the log.
        fuse_width: number of such runs that this device trains in one ensemble, if that is the reason.
        alone: True if the run must be trained alone from now on.
    """

    key: str
    cause: str = ""
    fuse_width: int | None = None
    alone: bool = False
    kind: Literal["requeued"] = "requeued"


Event = Ready | RunProgress | Finished | Failed | Stopped | Held | Requeued


@dataclass(frozen=True)
class Message:
    """An event and the name of the worker that reports it."""

    worker: str
    event: Event


_SCHEMA: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="kind")])


def event_to_json(event: Event) -> str:
    """Return the event as one line of JSON."""
    return _SCHEMA.dump_json(event).decode()


def event_from_json(line: str | bytes) -> Event:
    """Undo `event_to_json`."""
    return _SCHEMA.validate_json(line)
