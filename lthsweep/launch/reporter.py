"""The worker's side of one attempt at a run: its claim, heartbeat, log, and the events that it reports."""

from __future__ import annotations

import contextlib
import os
import socket
import time
import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING

from lthsweep.errors import CanceledError, StoreError
from lthsweep.launch.channel import Channel
from lthsweep.launch.events import Event, Finished, Requeued, RunProgress, Stopped
from lthsweep.launch.failure_cause import failure_event
from lthsweep.launch.task import Task
from lthsweep.store import claims, failures
from lthsweep.store.heartbeats import Heartbeat, write_heartbeat
from lthsweep.store.layout import SweepDir
from lthsweep.store.owners import Owner

if TYPE_CHECKING:
    from lthsweep.training.progress import ProgressReport

__all__ = ["BEAT_SECONDS", "RunReporter", "attempts_before"]

BEAT_SECONDS = 10.0
"""Time between two heartbeats."""

_REQUEUED = "--- requeued"


class RunReporter:
    """Reports one attempt at one run, until its end is reported.

    Args:
        sweep: the sweep directory.
        worker: name of the worker.
        channel: to its coordinator.
        task: the run.
        owner: of its claim; None for a run that needs none.

    Attributes:
        is_open: whether the end of the attempt was not reported yet.
        is_canceled: whether `cancel` asked for this run to stop.
        val_accuracy: last validation accuracy; NaN before the first one.
    """

    def __init__(
        self, sweep: SweepDir, worker: str, channel: Channel, task: Task, owner: Owner | None
    ) -> None:
        self.task = task
        self.channel = channel
        self.is_open = True
        self.is_canceled = False
        self.val_accuracy = float("nan")
        self._sweep = sweep
        self._worker = worker
        self._owner = owner
        self._started = time.time()
        self._next_beat = 0.0

    def begin(self) -> None:
        """Write the first line of the attempt to the log, and the first heartbeat."""
        self.log_start()
        self.beat(RunProgress(self.task.key, epochs=self.task.run.recipe.epochs))

    def log_start(self) -> None:
        """Write the first line of the attempt to the log."""
        self.log(
            f"--- {self.task.run.describe()} ({self.task.key}), attempt {self.task.attempt}, "
            f"host {socket.gethostname()} pid {os.getpid()}, {time.strftime('%Y-%m-%d %H:%M:%S')}"
        )

    def should_stop(self) -> bool:
        """Return whether the training has to end before its next step."""
        return self.is_canceled or self.channel.is_closed()

    def progress(self, report: ProgressReport) -> None:
        """Report progress. Every `BEAT_SECONDS`, refresh the claim and the heartbeat and look for a cancellation."""
        event = RunProgress.of(self.task.key, report)
        self.note_accuracy(event)
        now = time.monotonic()
        if now >= self._next_beat:
            self._next_beat = now + BEAT_SECONDS
            self.refresh_claim()
            self.beat(event)
        self.channel.send(event)

    def finish(self, event: Finished) -> None:
        """Report that the task is complete."""
        self.log(f"--- {event}")
        failures.clear_failure(self._sweep, self.task.key)
        self._end(event)

    def stop(self) -> None:
        """Report that the training ended early: canceled, or because the worker has to leave."""
        self.log("--- stopped")
        if self.is_canceled:
            self._end(failure_event(self.task.key, CanceledError(_CANCELED)))
        else:
            self._end(Stopped(self.task.key))

    def requeue(self, cause: str, *, fuse_width: int | None = None, alone: bool = False) -> None:
        """Return the run to be handed out again; see `Requeued`."""
        self.log(f"{_REQUEUED}: {cause}")
        self._end(Requeued(self.task.key, cause, fuse_width, alone))

    def fail(self, error: Exception) -> None:
        """Report that the attempt raised an exception."""
        self.log("".join(traceback.format_exception(error)).rstrip())
        self._end(failure_event(self.task.key, error))

    def close(self) -> None:
        """Release the claim of an attempt whose end can no longer be reported."""
        if self.is_open:
            self._release()

    def log(self, text: str) -> None:
        """Append a line to the log of the run."""
        # Training goes on without a log, for example on a full disk.
        with contextlib.suppress(OSError), self._sweep.log(self.task.key).open("a") as log:
            log.write(f"{text}\n")

    def note_accuracy(self, event: RunProgress) -> None:
        """Remember the validation accuracy for the next heartbeat."""
        self.val_accuracy = float("nan") if event.val_accuracy is None else event.val_accuracy

    def refresh_claim(self) -> None:
        """Show that the owner of the claim is alive, and look for a cancellation of the run."""
        if self._owner is not None:
            claims.refresh(self._sweep, self.task.key, self._owner)
        self.is_canceled = failures.is_canceled(self._sweep, self.task.key)

    def beat(self, event: RunProgress, others: Mapping[str, float] | None = None) -> None:
        """Write the heartbeat of the worker.

        Args:
            event: how far the run is.
            others: other runs of its ensemble: key → last validation accuracy.
        """
        rate = event.images_per_second
        with contextlib.suppress(StoreError):  # advisory: training goes on without a heartbeat
            write_heartbeat(
                self._sweep,
                Heartbeat(
                    worker=self._worker,
                    host=socket.gethostname(),
                    pid=os.getpid(),
                    key=self.task.key,
                    phase=event.phase,
                    epoch=event.epoch,
                    epochs=event.epochs,
                    val_accuracy=self.val_accuracy,
                    images_per_second=float("nan") if rate is None else float(rate),
                    started=self._started,
                    time=time.time(),
                    others=others or {},
                ),
            )

    def _end(self, event: Event) -> None:
        # The claim goes first: the coordinator may hand the run to another worker as soon as it receives the event.
        self._release()
        self.is_open = False
        self.channel.send(event)

    def _release(self) -> None:
        try:
            if self._owner is not None:
                claims.release(self._sweep, self.task.key, self._owner)
        except StoreError:  # reporting how the run ended is more important
            traceback.print_exc()


_CANCELED = "canceled; `lthsweep run --retry-failed` goes on with it"


def attempts_before(sweep: SweepDir, key: str) -> int:
    """Return the number of earlier attempts at a run, by its log: a coordinator counts only its own."""
    try:
        lines = sweep.log(key).read_text(errors="replace").splitlines()
    except OSError:
        return 0
    started = sum(line.startswith("--- ") and ", attempt " in line for line in lines)
    return started - sum(line.startswith(_REQUEUED) for line in lines)
