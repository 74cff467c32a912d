"""Divide ready runs among new worker jobs: the pure decision of how many jobs a sweep submits now.

A worker job trains its share first and then pulls any ready run, longest remaining chain first, until none is ready or
its time is nearly over. So a share only has to be worth a job. A run that waits for another one needs no job of its
own: the worker that trains its parent pulls it, or submits more workers when the parent makes more runs ready than
there are workers.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from lthsweep.launch.scheduler import Node, Scheduler

__all__ = ["Share", "divide"]


@dataclass(frozen=True)
class Share:
    """The runs with which one worker job starts.

    Attributes:
        keys: of the runs, longest remaining chain first.
        seconds: expected time of these runs on the workers of the job.
        work: expected seconds of training of these runs and all of their descendants.
    """

    keys: tuple[str, ...]
    seconds: float
    work: float


def divide(
    nodes: Sequence[Node],
    taken: Collection[str],
    *,
    slots: int,
    shortest: float,
    has_workers: bool,
    broken: Collection[str] = (),
) -> list[Share]:
    """Divide the runs that are ready and not taken into shares, one for each new worker job.

    A share has at least one run for each worker of the job, and grows until its runs and their descendants keep the
    workers busy for `shortest` seconds. With one worker in a job, a run at least that long
    gets a job to itself.

    Args:
        nodes: remaining runs, parents before children, cost in seconds. A parent that is not among them is finished.
        taken: runs that a worker trains, or that are in the share of a job in the queue.
        slots: workers in one job.
        shortest: minimum length of a job in seconds.
        has_workers: whether worker jobs run or wait. They pull a remainder that is too short for a job, as the new
            jobs do.
        broken: runs whose last attempt broke. No worker pulls them, so they are never left as a remainder.

    Returns:
        Shares, longest remaining chain first. The same input gives the same shares.
    """
    scheduler = Scheduler(nodes)
    cost = {node.key: node.cost for node in nodes}
    below = _work_below(nodes)
    shares: list[Share] = []
    keys: list[str] = []
    work = 0.0
    while (key := scheduler.take()) is not None:
        if key in taken:
            continue
        keys.append(key)
        work += below[key]
        if len(keys) >= slots and work >= shortest * slots:
            shares.append(_share(keys, cost, work, slots))
            keys, work = [], 0.0
    is_pulled = (has_workers or shares) and not any(key in broken for key in keys)
    if keys and (work >= shortest * slots or not is_pulled):
        shares.append(_share(keys, cost, work, slots))
    return shares


def _share(keys: Sequence[str], cost: dict[str, float], work: float, slots: int) -> Share:
    free = [0.0] * slots
    for key in keys:  # list scheduling: each run goes to the first worker that is free
        free.sort()
        free[0] += cost[key]
    return Share(tuple(keys), max(free), work)


def _work_below(nodes: Sequence[Node]) -> dict[str, float]:
    """Return run → seconds of the run and all of its descendants."""
    work = {node.key: node.cost for node in nodes}
    for node in reversed(nodes):  # children come after their parents
        if node.parent in work:
            work[node.parent] += work[node.key]
    return work
