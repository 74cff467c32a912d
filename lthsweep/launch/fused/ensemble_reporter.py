"""Reports the attempts of an ensemble: one heartbeat for all its runs, but a claim, a log and an end for each."""

from __future__ import annotations

import time
from collections.abc import Sequence

from lthsweep.launch.checkpoint import ReportProgress
from lthsweep.launch.events import RunProgress
from lthsweep.launch.reporter import BEAT_SECONDS, RunReporter
from lthsweep.training.progress import ProgressReport

__all__ = ["EnsembleReporter"]


class EnsembleReporter:
    """The reporters of runs that are trained together.

    Args:
        members: one for each run; output goes to the log of the first one.
    """

    def __init__(self, members: Sequence[RunReporter]) -> None:
        self.members = list(members)
        self._next_beat = 0.0

    @property
    def open(self) -> list[RunReporter]:
        """Members whose end is not reported yet."""
        return [member for member in self.members if member.is_open]

    def begin(self) -> None:
        """Write the first lines of every log, and the first heartbeat."""
        keys = [member.task.key for member in self.members]
        for member in self.members:
            member.log_start()
            others = ", ".join(key for key in keys if key != member.task.key)
            member.log(f"in one ensemble with {others}; output until its end goes to {keys[0]}.log")
        first = self.members[0].task
        self._beat(RunProgress(first.key, epochs=first.run.recipe.epochs))

    def should_stop(self) -> bool:
        """Return whether all members have to stop: one of them was canceled, or the worker has to leave."""
        return any(member.is_canceled for member in self.members) or self.members[0].channel.is_closed()

    def progress_of(self, member: RunReporter) -> ReportProgress:
        """Return the function that reports the progress of a member."""

        def report(progress: ProgressReport) -> None:
            event = RunProgress.of(member.task.key, progress)
            member.note_accuracy(event)
            now = time.monotonic()
            if now >= self._next_beat:
                self._next_beat = now + BEAT_SECONDS
                for one in self.open:
                    one.refresh_claim()
                self._beat(event)
            member.channel.send(event)

        return report

    def stop(self, member: RunReporter) -> None:
        """Report that a member was stopped. If only another member was canceled, it goes back into the queue."""
        if member.is_canceled or member.channel.is_closed():
            member.stop()
        else:
            member.log("--- stopped")
            member.requeue("another run of its ensemble was canceled")

    def _beat(self, event: RunProgress) -> None:
        first, *rest = self.open
        first.beat(event, {member.task.key: member.val_accuracy for member in rest})
