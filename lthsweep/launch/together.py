"""Several pools as one, for the one scheduling loop: MPI ranks, and a worker process beside rank 0."""

from __future__ import annotations

import time
from collections.abc import Sequence

from lthsweep.launch.pool import Heard, Pool
from lthsweep.launch.task import Task

__all__ = ["Together"]

_TURN_SECONDS = 0.002
"""While one pool is listened to, the others are not."""


class Together:
    """Pools that share one graph of runs.

    Args:
        pools: started; no two workers have one name.
    """

    def __init__(self, *pools: Pool) -> None:
        self._pools = pools
        self._pool_of: dict[str, Pool] = {}

    def idle(self) -> list[str]:
        """Workers of all pools that wait for a task."""
        found: list[str] = []
        for pool in self._pools:
            names = pool.idle()
            self._pool_of |= dict.fromkeys(names, pool)
            found += names
        return found

    def starting(self) -> int:
        """Workers of all pools that start up."""
        return sum(pool.starting() for pool in self._pools)

    def give(self, worker: str, task: Task) -> None:
        """Hand a task to an idle worker."""
        self._pool_of[worker].give(worker, task)

    def wait(self, seconds: float) -> Sequence[Heard]:
        """Messages of the workers of all pools; each pool is listened to in turn."""
        deadline = time.monotonic() + seconds
        found: list[Heard] = []
        while not found:
            for pool in self._pools:
                found += pool.wait(0.0 if found else _TURN_SECONDS)
            if time.monotonic() >= deadline:
                break
        return found

    def stop(self) -> Sequence[Heard]:
        """Stop every pool."""
        return [heard for pool in self._pools for heard in pool.stop()]

    def kill(self) -> None:
        """Kill every pool."""
        for pool in reversed(self._pools):  # the end of the MPI job is the end of this process
            pool.kill()
