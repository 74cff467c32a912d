"""The one scheduling loop: idle workers take ready runs, until nothing is left or somebody asks to stop.

A pool is any set of workers that take one task at a time: local processes here, MPI ranks elsewhere. The loop knows
nothing of how they are reached, and the scheduler knows nothing of workers. A task is one run, or several that a worker
trains as one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from lthsweep.launch.scheduler import Scheduler
from lthsweep.launch.task import Message, Task

__all__ = ["Heard", "Listener", "Most", "Pool", "Tally", "work_off"]

HELD_SECONDS = 3.0
"""How long a run that another coordinator's worker holds is left alone before it is asked for again."""


@dataclass(frozen=True)
class Heard:
    """A message of one worker; a death is heard as kind "failed" of each run that it had, with `retry` true."""

    worker: str
    message: Message


class Pool(Protocol):
    """Workers that take one task at a time."""

    def idle(self) -> Sequence[str]:
        """Names of workers that wait for a task."""

    def starting(self) -> int:
        """How many workers do not wait yet, but soon will: they start up."""

    def give(self, worker: str, task: Task) -> None:
        """Hand a task to an idle worker."""

    def wait(self, seconds: float) -> Sequence[Heard]:
        """Messages of workers, at the latest after `seconds`; failed workers are replaced on the way.

        Raises:
            LaunchError: if no worker can be kept alive.
        """

    def stop(self) -> Sequence[Heard]:
        """Ask all workers to write checkpoints and leave, wait for them, return their last messages."""

    def kill(self) -> None:
        """End all workers now; their runs go on from their last checkpoints another time."""


Listener = Callable[[Heard], None]

Most = Callable[[str, str], int]
"""(worker, key) → how many runs that worker may train as one, the named run among them."""


@dataclass
class Tally:
    """What a coordinator did: keys by how they ended.

    Attributes:
        finished: with a record, diverged ones among them.
        present: found finished by somebody else in the meantime.
        failed: key → cause, after all attempts.
        blocked: wait for a failed one.
        cut_off: cannot be trained, because a run they descend from diverged.
        stopped: somebody asked to stop before the end.
    """

    finished: list[str] = field(default_factory=list)
    present: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    blocked: list[str] = field(default_factory=list)
    cut_off: list[str] = field(default_factory=list)
    stopped: bool = False


def work_off(
    scheduler: Scheduler,
    pool: Pool,
    make_task: Callable[[str], Task],
    *,
    most: Most = lambda worker, key: 1,
    listen: Listener = lambda heard: None,
    asked_to_stop: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.monotonic,
) -> Tally:
    """Work off a graph of runs.

    Args:
        scheduler: what is left to do.
        pool: who does it.
        make_task: key → the task to hand out, called once per attempt.
        most: how many runs of one group go to a worker at once, as long as enough is left for the others.
        listen: hears every message, after the scheduler has taken note of it.
        asked_to_stop: looked at a few times a second.
        clock: seconds, monotonic.
    """
    tally = Tally()
    held: dict[str, float] = {}
    while not scheduler.idle:
        if asked_to_stop():
            for heard in pool.stop():
                _note(heard, scheduler, tally, held, clock())
                listen(heard)
            tally.stopped = True
            break
        for key in [key for key, since in held.items() if clock() - since >= HELD_SECONDS]:
            del held[key]
            scheduler.put_back(key)
        if scheduler.ready:  # most messages of many workers are mere progress; do not list the idle for each
            _hand_out(scheduler, pool, make_task, most)
        for heard in pool.wait(0.25):
            _note(heard, scheduler, tally, held, clock())
            listen(heard)
    else:
        for heard in pool.stop():
            listen(heard)
    tally.blocked = sorted(scheduler.blocked)
    tally.cut_off = sorted(scheduler.cut_off)
    return tally


def _hand_out(scheduler: Scheduler, pool: Pool, make_task: Callable[[str], Task], most: Most) -> None:
    idle = pool.idle()
    free = len(idle) + pool.starting()
    for number, worker in enumerate(idle):
        share = math.ceil(scheduler.ready / (free - number))
        key = scheduler.take()
        if key is None:
            break
        task = make_task(key)
        if companions := scheduler.take_with(key, min(share, most(worker, key)) - 1):
            task = replace(task, companions=[make_task(companion) for companion in companions])
        pool.give(worker, task)


def _note(heard: Heard, scheduler: Scheduler, tally: Tally, held: dict[str, float], now: float) -> None:
    message = heard.message
    if message.key not in scheduler.running:
        return
    if message.kind == "finished":
        if message.values.get("outcome") == "diverged":
            scheduler.finish_without_children(message.key)
        else:
            scheduler.finish(message.key)
        (tally.present if message.values.get("outcome") == "present" else tally.finished).append(message.key)
    elif message.kind == "failed":
        if not scheduler.fail(message.key, retry=bool(message.values.get("retry"))):
            tally.failed[message.key] = str(message.values.get("cause", ""))
    elif message.kind == "held":
        held[message.key] = now
    elif message.kind == "stopped":
        scheduler.put_back(message.key)
    elif message.kind == "returned":
        scheduler.put_back(message.key, alone=bool(message.values.get("alone")))
