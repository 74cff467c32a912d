"""How much of a running sweep's work is done, and when the rest may be, by what its workers say."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from lthsweep.launch.eta import fraction_done
from lthsweep.launch.events import Failed, Finished, Held, Requeued, RunProgress, Stopped
from lthsweep.launch.work import Work
from lthsweep.plan.run import Plan

__all__ = ["Pace"]


@dataclass(frozen=True, slots=True)
class _Amount:
    """Work: epochs, and the seconds of runs that have a time of their own."""

    epochs: float = 0.0
    seconds: float = 0.0

    def __add__(self, other: _Amount) -> _Amount:
        return _Amount(self.epochs + other.epochs, self.seconds + other.seconds)

    def __mul__(self, part: float) -> _Amount:
        return _Amount(self.epochs * part, self.seconds * part)

    def at(self, epoch: float) -> float:
        """All of it in seconds, where an epoch takes so many."""
        return self.epochs * epoch + self.seconds


@dataclass(slots=True)
class _UnderWay:
    """A run that a worker has: when it was first and last heard of, and the epoch and the part done by then."""

    first: float
    last: float
    epoch: float
    part: float = 0.0


class Pace:
    """Adds up the runs that are done and those under way.

    Epochs and seconds add up as soon as an epoch was timed. The rest is taken to go on as many workers at a time as
    what was done.

    Args:
        plan: all runs.
        work: what is left to do.
        clock: seconds, never going back.
    """

    def __init__(self, plan: Plan, work: Work, clock: Callable[[], float] = time.monotonic) -> None:
        self._plan, self._clock, self._started = plan, clock, clock()
        self._amounts = {node.key: _amount(plan, node.key, node.cost) for node in work.nodes}
        self._all, self._done = sum(self._amounts.values(), _Amount()), _Amount()
        self._under_way: dict[str, _UnderWay] = {}
        self._timed = _Amount()  # epochs, and the seconds that they took

    def note(self, event: RunProgress | Finished | Failed | Stopped | Held | Requeued) -> None:
        """Update the run of an event."""
        if isinstance(event, RunProgress):
            self._progress(event)
        elif event.key in self._amounts:
            self._under_way.pop(event.key, None)
            if isinstance(event, Finished):
                amount = self._amounts.pop(event.key)
                self._done += amount
                seconds = event.seconds_per_epoch
                if seconds and amount.epochs:  # a short run may be over before it is heard of twice
                    self._timed += _Amount(amount.epochs, amount.epochs * seconds)

    def part_of(self, key: str) -> float:
        """The part of a run under way that is done, 0 to 1."""
        return self._under_way[key].part if key in self._under_way else 0.0

    def part(self) -> float:
        """The part of all work that is done, 0 to 1; 0 while epochs and seconds do not add up."""
        epoch = self._epoch()
        if epoch is None:
            if self._all.seconds:
                return 0.0
            epoch = 1.0
        return self._so_far().at(epoch) / whole if (whole := self._all.at(epoch)) else 0.0

    def seconds_left(self) -> float | None:
        """None before anything is done, and after everything is."""
        epoch = self._epoch()
        if epoch is None or not 0 < self.part() < 1:
            return None
        done = self._so_far().at(epoch)
        elapsed = max(1e-9, self._clock() - self._started)
        at_a_time = max(1.0, done / elapsed)  # if fewer, it is the start that took long
        return (self._all.at(epoch) - done) / at_a_time

    def _epoch(self) -> float | None:
        """Seconds that an epoch takes; any number will do where there are none to train."""
        if self._timed.epochs:
            return self._timed.seconds / self._timed.epochs
        return None if self._all.epochs else 0.0

    def _so_far(self) -> _Amount:
        return sum((self._amounts[key] * run.part for key, run in self._under_way.items()), self._done)

    def _progress(self, event: RunProgress) -> None:
        key, epoch, now = event.key, event.epoch, self._clock()
        if key not in self._amounts:
            return
        run = self._under_way.setdefault(key, _UnderWay(now, now, epoch))
        if self._amounts[key].epochs:
            self._timed += _Amount(epoch - run.epoch, now - run.last)
        run.last, run.epoch = now, epoch
        run.part = fraction_done(self._plan[key], epoch, event.epochs, event.phase, now - run.first)


def _amount(plan: Plan, key: str, epochs: float) -> _Amount:
    budget = plan[key].budget
    return _Amount(epochs=epochs) if budget is None else _Amount(seconds=budget.seconds)
