"""Estimate the time of runs on the workers of one job, and its walltime. Pure; times in seconds."""

from __future__ import annotations

import heapq
import math
from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass

from lthsweep.launch.scheduler import Node, Scheduler

__all__ = ["Lengths", "Shift", "expected_seconds", "walltime_minutes"]

SLACK = 1.5
"""Walltime over expected time: nodes differ and file systems can be slow; a job that times out waits twice."""

START_UP = 120.0
"""Seconds until workers train: modules, interpreter, torch, data."""

ROUND_TO = 5
"""Minutes; users request walltimes in such steps."""


@dataclass(frozen=True)
class Lengths:
    """Target lengths of parcels.

    Attributes:
        workers: in one job.
        aim: target length of a parcel.
        floor: minimum length; not above `aim`.
        ceiling: maximum expected length of a parcel with several runs; not below `aim`, can be infinite.
    """

    workers: int
    aim: float
    floor: float
    ceiling: float

    @classmethod
    def of(cls, workers: int, target: float, floor: float, limit: float | None) -> Lengths:
        """Return target lengths that respect the longest walltime of a job.

        The ceiling is the longest expected time whose walltime, including all of its slack, is below the limit.
        """
        ceiling = math.inf if limit is None else max(0.0, (limit - START_UP) / SLACK)
        aim = min(target, ceiling)
        return cls(max(1, workers), aim, min(floor, aim), ceiling)

    def least(self, work: float, chain: float) -> float:
        """Return a lower limit for the time of total `work` with a longest chain of dependent runs."""
        return max(work / self.workers, chain)

    def most(self, work: float, chain: float) -> float:
        """Return an upper limit for list schedules (Graham 1969): workers idle only while the longest chain runs."""
        return chain + (work - chain) / self.workers


def expected_seconds(nodes: Sequence[Node], workers: int) -> float:
    """Return the time of a job by simulating its schedule.

    Args:
        nodes: parents before children, cost in seconds. A parent that is not among them is finished.
        workers: in the job.
    """
    if len(nodes) == 1:
        return nodes[0].cost
    scheduler = Scheduler(nodes)
    cost = {node.key: node.cost for node in nodes}
    busy: list[tuple[float, str]] = []
    now = 0.0
    while not scheduler.idle:
        while len(busy) < workers and (key := scheduler.take()) is not None:
            heapq.heappush(busy, (now + cost[key], key))
        now, done = heapq.heappop(busy)
        scheduler.finish(done)
    return now


def walltime_minutes(seconds: float, floor: float, limit: float | None) -> int:
    """Return the walltime to request, in minutes.

    Args:
        seconds: expected time of the longest parcel.
        floor: minimum request in seconds.
        limit: maximum length of a job in seconds.
    """
    minutes = ROUND_TO * math.ceil((SLACK * seconds + START_UP) / 60 / ROUND_TO)
    minutes = max(minutes, math.ceil(floor / 60))
    return minutes if limit is None else max(1, min(minutes, math.floor(limit / 60)))


@dataclass(frozen=True, slots=True)
class Shift:
    """Work assigned to the workers of one job; a fast, slightly pessimistic clock for filling a parcel.

    Attributes:
        free: when each worker is done, ascending.
        work: total seconds of training.
        chain: seconds of the longest chain of dependent runs.
    """

    free: tuple[float, ...]
    work: float = 0.0
    chain: float = 0.0

    @classmethod
    def of(cls, workers: int) -> Shift:
        """Return an empty shift."""
        return cls((0.0,) * workers)

    @property
    def seconds(self) -> float:
        """Return when all work is done.

        The minimum of two estimates: pieces assigned one after the other, which is accurate for few long runs, and
        Graham's bound, which is accurate for many short ones.
        """
        return min(self.free[-1], self.chain + (self.work - self.chain) / len(self.free))

    def plus(self, piece: Sequence[Node]) -> Shift:
        """Return the shift with one more piece of a tree, parents before children, after the assigned work.

        Each run goes to the worker that would be idle for the shortest time before it.
        """
        free = list(self.free)
        work, chain = self.work, self.chain
        ends: dict[str | None, float] = {}
        depth: dict[str | None, float] = {}
        for node in piece:
            ready = ends.get(node.parent, 0.0)
            start = max(free.pop(max(bisect_right(free, ready) - 1, 0)), ready)
            ends[node.key] = start + node.cost
            insort(free, start + node.cost)
            depth[node.key] = depth.get(node.parent, 0.0) + node.cost
            work += node.cost
            chain = max(chain, depth[node.key])
        return Shift(tuple(free), work, chain)
