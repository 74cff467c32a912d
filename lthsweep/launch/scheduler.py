"""Which run next: dependencies respected, longest remaining chain first. Pure: no clock, no disk, no processes.

With dependent runs the makespan cannot fall below max(work / workers, longest chain). Starting the run that heads the
longest remaining chain keeps both terms in view (Graham 1969, list scheduling; critical-path priority).
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

__all__ = ["Node", "Scheduler"]


@dataclass(frozen=True, slots=True)
class Node:
    """One thing to do.

    Attributes:
        key: its name.
        parent: key of the node that must be finished before; None if it may start at once.
        cost: expected length, in any unit common to all nodes.
    """

    key: str
    parent: str | None
    cost: float


class Scheduler:
    """The state of a graph of runs while it is worked off.

    Args:
        nodes: parents before children. A parent that is not among the nodes counts as finished.
        retries: how many more attempts a failed node gets.
    """

    def __init__(self, nodes: Iterable[Node], retries: int = 0) -> None:
        self._nodes: Mapping[str, Node] = {node.key: node for node in nodes}
        self._attempts_left = dict.fromkeys(self._nodes, retries + 1)
        self._children: dict[str, list[str]] = {}
        for node in self._nodes.values():
            if node.parent in self._nodes:
                self._children.setdefault(node.parent or "", []).append(node.key)
        self._chain = self._remaining_chains()
        self._order = {key: position for position, key in enumerate(self._nodes)}
        self._ready: list[tuple[float, int, str]] = []
        self.running: set[str] = set()
        self.finished: set[str] = set()
        self.failed: set[str] = set()
        self.blocked: set[str] = set()
        self.cut_off: set[str] = set()
        for node in self._nodes.values():
            if node.parent not in self._nodes:
                self._push(node.key)

    def take(self) -> str | None:
        """The next node to start, or None if nothing is ready now."""
        if not self._ready:
            return None
        key = heapq.heappop(self._ready)[2]
        self.running.add(key)
        return key

    def finish(self, key: str) -> list[str]:
        """Mark a node as done; returns the nodes this made ready."""
        self.running.discard(key)
        self.finished.add(key)
        ready = self._children.get(key, [])
        for child in ready:
            self._push(child)
        return list(ready)

    def finish_without_children(self, key: str) -> None:
        """Mark a node as done, with a result that nothing can be built on; all that depends on it is cut off."""
        self.running.discard(key)
        self.finished.add(key)
        self.cut_off.update(self._descendants(key))

    def put_back(self, key: str) -> None:
        """Return a node that was taken and not worked on, e.g. because another coordinator holds it."""
        self.running.discard(key)
        self._push(key)

    def fail(self, key: str, *, retry: bool = True) -> bool:
        """Mark an attempt as failed.

        Args:
            key: the node.
            retry: False if another attempt would fail the same way.

        Returns:
            Whether the node is tried again; if not, all that depends on it is blocked.
        """
        self.running.discard(key)
        self._attempts_left[key] -= 1
        if retry and self._attempts_left[key] > 0:
            self._push(key)
            return True
        self.failed.add(key)
        self.blocked.update(self._descendants(key))
        return False

    @property
    def ready(self) -> bool:
        """Something may be started now."""
        return bool(self._ready)

    @property
    def idle(self) -> bool:
        """Nothing is running and nothing is ready: this is the end."""
        return not self.running and not self._ready

    def __len__(self) -> int:
        return len(self._nodes)

    def remaining_chain(self, key: str) -> float:
        """Cost of the node and of the longest chain that waits for it."""
        return self._chain[key]

    def _push(self, key: str) -> None:
        heapq.heappush(self._ready, (-self._chain[key], self._order[key], key))

    def _remaining_chains(self) -> dict[str, float]:
        chain: dict[str, float] = {}
        for key in reversed(list(self._nodes)):  # children come after their parents
            below = max((chain[child] for child in self._children.get(key, [])), default=0.0)
            chain[key] = self._nodes[key].cost + below
        return chain

    def _descendants(self, key: str) -> Collection[str]:
        found: list[str] = []
        pending = list(self._children.get(key, []))
        while pending:
            child = pending.pop()
            found.append(child)
            pending.extend(self._children.get(child, []))
        return found
