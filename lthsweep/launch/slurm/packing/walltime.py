"""How long runs take on the workers of one job, and how much walltime to ask for. Pure; times in seconds."""

from __future__ import annotations

import heapq
import math
from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass

from lthsweep.launch.scheduler import Node, Scheduler

__all__ = ["Lengths", "Shift", "expected_seconds", "walltime_minutes"]

SLACK = 1.5
"""Walltime over expected time: nodes differ and file systems have bad days; a job that is cut off queues twice."""

START_UP = 120.0
"""Seconds until workers train: modules, interpreter, torch, data."""

ROUND_TO = 5
"""Minutes; walltimes that people ask for."""


@dataclass(frozen=True)
class Lengths:
    """How long parcels should be.

    Attributes:
        workers: that train at once in one job.
        aim: about what a parcel should last.
        floor: what it should last at least; not above `aim`.
        ceiling: what a parcel of several runs may be expected to last at most; not below `aim`, perhaps infinite.
    """

    workers: int
    aim: float
    floor: float
    ceiling: float

    @classmethod
    def of(cls, workers: int, target: float, floor: float, limit: float | None) -> Lengths:
        """What is wanted, as far as the longest walltime of a job allows it.

        The ceiling is the longest expectation whose walltime still has all of its slack below the limit.
        """
        ceiling = math.inf if limit is None else max(0.0, (limit - START_UP) / SLACK)
        aim = min(target, ceiling)
        return cls(max(1, workers), aim, min(floor, aim), ceiling)

    def least(self, work: float, chain: float) -> float:
        """No order of work ends before this, for `work` in all and a longest chain of dependent runs."""
        return max(work / self.workers, chain)

    def most(self, work: float, chain: float) -> float:
        """No list schedule ends after this (Graham 1969): a worker is idle only while the longest chain moves on."""
        return chain + (work - chain) / self.workers


def expected_seconds(nodes: Sequence[Node], workers: int) -> float:
    """How long a job with so many workers takes: the schedule that it will follow, without the training.

    Args:
        nodes: parents before children, cost in seconds. A parent that is not among them is finished.
        workers: that train at once.
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
    """Minutes to ask for.

    Args:
        seconds: expected time of the longest parcel.
        floor: seconds to ask for at least.
        limit: seconds that a job may have at most.
    """
    minutes = ROUND_TO * math.ceil((SLACK * seconds + START_UP) / 60 / ROUND_TO)
    minutes = max(minutes, math.ceil(floor / 60))
    return minutes if limit is None else max(1, min(minutes, math.floor(limit / 60)))


@dataclass(frozen=True, slots=True)
class Shift:
    """What the workers of one job have to do so far; a cheap, slightly pessimistic clock for filling a parcel.

    Attributes:
        free: when each worker is done, rising.
        work: seconds of training in all.
        chain: seconds of the longest chain of dependent runs.
    """

    free: tuple[float, ...]
    work: float = 0.0
    chain: float = 0.0

    @classmethod
    def of(cls, workers: int) -> Shift:
        """Nothing to do yet."""
        return cls((0.0,) * workers)

    @property
    def seconds(self) -> float:
        """When all is done.

        The better of two schedules that could be followed: pieces dealt out one after the other, which is right for few
        long runs, and Graham's bound, which is right for many short ones.
        """
        return min(self.free[-1], self.chain + (self.work - self.chain) / len(self.free))

    def plus(self, piece: Sequence[Node]) -> Shift:
        """The shift with one more piece of a tree, parents before children, dealt out behind what is there.

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
