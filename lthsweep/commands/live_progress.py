"""Progress and time left of a running sweep, from the events of its workers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from lthsweep.launch.eta import fraction_done
from lthsweep.launch.events import Failed, Finished, Held, Requeued, RunProgress, Stopped
from lthsweep.launch.work import Work
from lthsweep.plan.run import Plan

__all__ = ["LiveProgress"]


@dataclass(frozen=True, slots=True)
class WorkAmount:
    """An amount of work: epochs, and seconds of runs with a time budget."""

    epochs: float = 0.0
    seconds: float = 0.0

    def __add__(self, other: WorkAmount) -> WorkAmount:
        return WorkAmount(self.epochs + other.epochs, self.seconds + other.seconds)

    def __mul__(self, fraction: float) -> WorkAmount:
        return WorkAmount(self.epochs * fraction, self.seconds * fraction)

    def at(self, epoch_seconds: float) -> float:
        """The amount in seconds, for the given seconds per epoch."""
        return self.epochs * epoch_seconds + self.seconds


@dataclass(slots=True)
class _RunningRun:
    """A run that a worker trains: times of its first and last event, and its progress at the last."""

    first: float
    last: float
    epoch: float
    fraction: float = 0.0


class LiveProgress:
    """Sums the work of finished and running runs.

    Epochs and seconds can be added once an epoch was timed. The estimate assumes that the remaining work has as many
    workers as the finished work had.

    Args:
        plan: all runs.
        work: the runs left to train.
        clock: monotonic seconds.
    """

    def __init__(self, plan: Plan, work: Work, clock: Callable[[], float] = time.monotonic) -> None:
        self._plan, self._clock, self._started = plan, clock, clock()
        self._amounts = {node.key: _amount(plan, node.key, node.cost) for node in work.nodes}
        self._all, self._done = sum(self._amounts.values(), WorkAmount()), WorkAmount()
        self._running: dict[str, _RunningRun] = {}
        self._timed = WorkAmount()  # timed epochs, and their seconds

    def note(self, event: RunProgress | Finished | Failed | Stopped | Held | Requeued) -> None:
        """Update the run of an event."""
        if isinstance(event, RunProgress):
            self._progress(event)
        elif event.key in self._amounts:
            self._running.pop(event.key, None)
            if isinstance(event, Finished):
                amount = self._amounts.pop(event.key)
                self._done += amount
                seconds = event.seconds_per_epoch
                if seconds and amount.epochs:  # a short run can end before its second event
                    self._timed += WorkAmount(amount.epochs, amount.epochs * seconds)

    def fraction_of(self, key: str) -> float:
        """The fraction of a running run that is done, 0 to 1."""
        return self._running[key].fraction if key in self._running else 0.0

    def fraction(self) -> float:
        """The fraction of all work that is done; 0 while epochs and seconds cannot be added."""
        epoch = self._epoch()
        if epoch is None:
            if self._all.seconds:
                return 0.0
            epoch = 1.0
        return self._so_far().at(epoch) / whole if (whole := self._all.at(epoch)) else 0.0

    def seconds_left(self) -> float | None:
        """Estimated seconds left; None before any work is done, and at the end."""
        epoch = self._epoch()
        if epoch is None or not 0 < self.fraction() < 1:
            return None
        done = self._so_far().at(epoch)
        elapsed = max(1e-9, self._clock() - self._started)
        workers = max(1.0, done / elapsed)  # below 1 only because of the start-up time
        return (self._all.at(epoch) - done) / workers

    def _epoch(self) -> float | None:
        """Seconds per epoch, None if unknown; 0 if no run counts epochs."""
        if self._timed.epochs:
            return self._timed.seconds / self._timed.epochs
        return None if self._all.epochs else 0.0

    def _so_far(self) -> WorkAmount:
        return sum((self._amounts[key] * run.fraction for key, run in self._running.items()), self._done)

    def _progress(self, event: RunProgress) -> None:
        key, epoch, now = event.key, event.epoch, self._clock()
        if key not in self._amounts:
            return
        run = self._running.setdefault(key, _RunningRun(now, now, epoch))
        if self._amounts[key].epochs:
            self._timed += WorkAmount(epoch - run.epoch, now - run.last)
        run.last, run.epoch = now, epoch
        run.fraction = fraction_done(self._plan[key], epoch, event.epochs, event.phase, now - run.first)


def _amount(plan: Plan, key: str, epochs: float) -> WorkAmount:
    budget = plan[key].budget
    return WorkAmount(epochs=epochs) if budget is None else WorkAmount(seconds=budget.seconds)
