"""Choose the next run: dependencies first, then the longest remaining chain. Pure: no clock, no disk, no processes.

With dependent runs the makespan is at least max(work / workers, longest chain). Starting the run at the head of the
longest remaining chain keeps both terms small (Graham 1969, list scheduling with critical-path priority).
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Node", "Scheduler"]


@dataclass(frozen=True, slots=True)
class Node:
    """One run of the graph.

    Attributes:
        key: of the run.
        parent: key of the node that must finish first; None if there is none.
        cost: expected length, in a unit common to all nodes.
        group: nodes of one group can be trained as one; None for a node that is trained alone.
    """

    key: str
    parent: str | None
    cost: float
    group: Hashable = None


_Entry: TypeAlias = tuple[tuple[bool, float, int], str]
"""The rank of a ready node, smallest first, and its key."""


class Scheduler:
    """The state of a graph of runs while they are trained.

    Args:
        nodes: parents before children. A parent that is not among the nodes is finished.
        retries: number of further attempts for a failed node.
        first: nodes that come before all others, longest remaining chain first.
    """

    def __init__(self, nodes: Iterable[Node], retries: int = 0, first: Collection[str] = ()) -> None:
        self._nodes: Mapping[str, Node] = {node.key: node for node in nodes}
        self._attempts_left = dict.fromkeys(self._nodes, retries + 1)
        self._alone: set[str] = set()
        self._children: dict[str, list[str]] = {}
        for node in self._nodes.values():
            if node.parent in self._nodes:
                self._children.setdefault(node.parent or "", []).append(node.key)
        self._chain = self._remaining_chains()
        self._order = {
            key: (key not in first, -self._chain[key], position) for position, key in enumerate(self._nodes)
        }
        # Every ready node is in the first heap, and in the heap of its group unless it is trained alone. A node that is
        # taken from one heap stays in the other, where it is skipped because it is no longer in `_waiting`.
        self._heap: list[_Entry] = []
        self._heaps: dict[Hashable, list[_Entry]] = {}
        self._waiting: set[str] = set()
        self.running: set[str] = set()
        self.finished: set[str] = set()
        self.failed: set[str] = set()
        self.blocked: set[str] = set()
        self.skipped: set[str] = set()
        for node in self._nodes.values():
            if node.parent not in self._nodes:
                self._push(node.key)

    def take(self) -> str | None:
        """Return the next node to start; None if no node is ready."""
        return self._next(self._heap)

    def take_with(self, key: str, most: int) -> list[str]:
        """Return more ready nodes of the same group to start together with a node, in the order of `take`.

        A node that failed once is trained alone, so that it cannot fail others again.

        Args:
            key: the node that `take` returned.
            most: largest number of further nodes.
        """
        group = self._nodes[key].group
        if group is None or key in self._alone:
            return []
        heap = self._heaps.get(group, [])
        taken: list[str] = []
        while len(taken) < most and (more := self._next(heap, but=self._alone)) is not None:
            taken.append(more)
        return taken

    def finish(self, key: str) -> list[str]:
        """Mark a node as finished; return the nodes that are ready because of it."""
        self.running.discard(key)
        self.finished.add(key)
        ready = self._children.get(key, [])
        for child in ready:
            self._push(child)
        return list(ready)

    def finish_without_children(self, key: str) -> None:
        """Mark a node as finished with a result that has no use for its descendants, which are skipped."""
        self.running.discard(key)
        self.finished.add(key)
        self.skipped.update(self._descendants(key))

    def requeue(self, key: str, *, alone: bool = False) -> None:
        """Return a node that was taken but not trained, for example because another coordinator holds it.

        Args:
            key: the node.
            alone: whether it must be trained alone from now on.
        """
        self.running.discard(key)
        if alone:
            self._alone.add(key)
        self._push(key)

    def fail(self, key: str, *, retry: bool = True) -> bool:
        """Mark an attempt as failed.

        Args:
            key: the node.
            retry: False if another attempt would fail in the same way.

        Returns:
            Whether the node is tried again. If not, its descendants are blocked.
        """
        self.running.discard(key)
        self._alone.add(key)
        self._attempts_left[key] -= 1
        if retry and self._attempts_left[key] > 0:
            self._push(key)
            return True
        self.failed.add(key)
        self.blocked.update(self._descendants(key))
        return False

    @property
    def ready(self) -> int:
        """Number of nodes that can start now."""
        return len(self._waiting)

    @property
    def idle(self) -> bool:
        """True at the end: no node is running and none is ready."""
        return not self.running and not self._waiting

    def __len__(self) -> int:
        return len(self._nodes)

    def remaining_chain(self, key: str) -> float:
        """Return the cost of a node and of the longest chain of its descendants."""
        return self._chain[key]

    def _push(self, key: str) -> None:
        entry = (self._order[key], key)
        self._waiting.add(key)
        heapq.heappush(self._heap, entry)
        if (group := self._nodes[key].group) is not None and key not in self._alone:
            heapq.heappush(self._heaps.setdefault(group, []), entry)

    def _next(self, heap: list[_Entry], but: Collection[str] = ()) -> str | None:
        while heap:
            key = heapq.heappop(heap)[1]
            if key in self._waiting and key not in but:
                self._waiting.remove(key)
                self.running.add(key)
                return key
        return None

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
