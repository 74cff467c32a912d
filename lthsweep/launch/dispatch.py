"""The scheduling loop: idle workers receive ready runs until none is left.

A pool is any set of workers that take one task at a time: processes of this machine, or MPI ranks. The loop does not
know how a pool reaches its workers, and the scheduler does not know workers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Protocol

from lthsweep.launch.events import Failed, Finished, Held, Message, Ready, Requeued, Stopped, TaskOutcome
from lthsweep.launch.scheduler import Scheduler
from lthsweep.launch.task import Task

__all__ = ["HELD_SECONDS", "Elsewhere", "OnMessage", "Pool", "RunSummary", "dispatch"]

HELD_SECONDS = 3.0
"""How long to wait before a run that another coordinator's worker holds is handed out again."""

OnMessage = Callable[[Message], None]


class Elsewhere(Enum):
    """What another coordinator's workers did with a run."""

    DONE = auto()
    DIVERGED = auto()
    FAILED = auto()
    HELD = auto()  # ask again later


class Pool(Protocol):
    """Workers that take one task at a time."""

    def devices(self) -> Collection[str]:
        """Return the devices on which the workers train."""

    def idle(self) -> Sequence[str]:
        """Return the names of workers that wait for a task."""

    def starting(self) -> int:
        """Return how many workers are starting up."""

    def give(self, worker: str, task: Task) -> None:
        """Send a task to an idle worker."""

    def wait(self, seconds: float) -> Sequence[Message]:
        """Return messages of workers, after `seconds` at the latest. Workers that died are replaced.

        The death of a worker appears as an event for each of its runs: `Failed` with `retry`, or `Requeued` if it had
        not begun them.

        Raises:
            LaunchError: if no worker can be kept alive.
        """

    def stop(self) -> Sequence[Message]:
        """Ask all workers to write checkpoints and leave, wait for them, and return their last messages."""

    def kill(self) -> None:
        """End all workers now. Their runs continue from their last checkpoints another time."""


@dataclass
class RunSummary:
    """The end of a sweep: keys of runs by outcome.

    Attributes:
        finished: got a record, diverged runs included.
        present: got their record from another coordinator in the meantime.
        failed: key → cause, after the last attempt.
        blocked: descend from a failed run.
        skipped: descend from a run that diverged, and cannot be trained.
        stopped: whether the sweep was asked to stop before its end.
        seconds: wall time from the first worker to the last.
        found_done: number of runs that had a record before.
    """

    finished: list[str] = field(default_factory=list)
    present: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    blocked: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    stopped: bool = False
    seconds: float = 0.0
    found_done: int = 0


def dispatch(
    scheduler: Scheduler,
    pool: Pool,
    make_task: Callable[[str], Task],
    *,
    fuse_width: Callable[[str, str], int] | None = None,
    on_message: OnMessage = lambda message: None,
    should_stop: Callable[[], bool] = lambda: False,
    elsewhere: Callable[[str], Elsewhere | None] = lambda key: None,
    patience: Callable[[], float] = lambda: math.inf,
    clock: Callable[[], float] = time.monotonic,
) -> RunSummary:
    """Hand out all runs of a graph and return the summary.

    Args:
        scheduler: the runs that are left.
        pool: the workers.
        make_task: key → task; called once for each attempt.
        fuse_width: (worker, key) → how many runs of the key's group the worker can train as one, the key's included;
            None to hand out single runs.
        on_message: called with every message, after the scheduler was updated; the `retry` of a failed run is true
            only if it has an attempt left.
        should_stop: called a few times a second; True stops the workers.
        elsewhere: called before a run is handed out; returns its state at other workers, or None if it is free.
        patience: seconds without a run for any worker after which the loop ends and leaves the rest to others.
        clock: monotonic seconds.
    """
    summary = RunSummary()
    held: dict[str, float] = {}
    last_busy = clock()
    while not scheduler.idle:
        if should_stop():
            summary.stopped = True
            break
        for key in [key for key, since in held.items() if clock() - since >= HELD_SECONDS]:
            del held[key]
            scheduler.requeue(key)
        # Most messages of many workers are progress: the idle workers are not listed for each.
        if scheduler.ready:
            _hand_out(
                scheduler,
                pool,
                make_task,
                fuse_width,
                lambda key: _is_free(key, scheduler, summary, held, elsewhere, clock),
            )
        if scheduler.ready or len(scheduler.running) > len(held):
            last_busy = clock()
        elif clock() - last_busy > patience():
            break
        for message in pool.wait(0.25):
            on_message(_note(message, scheduler, summary, held, clock()))
    for message in pool.stop():
        on_message(_note(message, scheduler, summary, held, clock()))
    summary.blocked = sorted(scheduler.blocked)
    summary.skipped = sorted(scheduler.skipped)
    return summary


def _hand_out(
    scheduler: Scheduler,
    pool: Pool,
    make_task: Callable[[str], Task],
    fuse_width: Callable[[str, str], int] | None,
    is_free: Callable[[str], bool],
) -> None:
    idle = pool.idle()
    free = len(idle) + pool.starting()
    for number, worker in enumerate(idle):
        share = math.ceil(scheduler.ready / (free - number))
        while (key := scheduler.take()) is not None and not is_free(key):
            pass
        if key is None:
            break
        task = make_task(key)
        if fuse_width is not None:
            companions = scheduler.take_with(key, min(share, fuse_width(worker, key)) - 1)
            task = replace(task, companions=tuple(make_task(one) for one in companions if is_free(one)))
        pool.give(worker, task)


def _is_free(
    key: str,
    scheduler: Scheduler,
    summary: RunSummary,
    held: dict[str, float],
    elsewhere: Callable[[str], Elsewhere | None],
    clock: Callable[[], float],
) -> bool:
    """Return whether a run can be handed out; note a run that others finished or hold."""
    match elsewhere(key):
        case None:
            return True
        case Elsewhere.HELD:
            held[key] = clock()
        case Elsewhere.FAILED:
            scheduler.fail(key, retry=False)
        case Elsewhere.DONE:
            scheduler.finish(key)
            summary.present.append(key)
        case Elsewhere.DIVERGED:
            scheduler.finish_without_children(key)
            summary.present.append(key)
    return False


def _note(
    message: Message, scheduler: Scheduler, summary: RunSummary, held: dict[str, float], now: float
) -> Message:
    """Update the scheduler; return the message, in which a failed run has `retry` only if it is tried again."""
    event = message.event
    if isinstance(event, Ready) or event.key not in scheduler.running:
        return message
    match event:
        case Finished():
            if event.outcome is TaskOutcome.DIVERGED:
                scheduler.finish_without_children(event.key)
            else:
                scheduler.finish(event.key)
            found = summary.present if event.outcome is TaskOutcome.PRESENT else summary.finished
            found.append(event.key)
        case Failed():
            if not scheduler.fail(event.key, retry=event.retry):
                summary.failed[event.key] = event.cause
                return replace(message, event=replace(event, retry=False))
        case Held():
            held[event.key] = now
        case Stopped():
            scheduler.requeue(event.key)
        case Requeued():
            scheduler.requeue(event.key, alone=event.alone)
    return message
