"""Which run next: dependencies respected, longest remaining chain first. Pure: no clock, no disk, no processes.

With dependent runs the makespan cannot fall below max(work / workers, longest chain). Starting the run that heads the
longest remaining chain keeps both terms in view (Graham 1969, list scheduling; critical-path priority).
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass

__all__ = ["Node", "Scheduler"]


@dataclass(frozen=True, slots=True)
class Node:
    """One thing to do.

    Attributes:
        key: its name.
        parent: key of the node that must be finished before; None if it may start at once.
        cost: expected length, in any unit common to all nodes.
        group: nodes of one group may be done as one; None for one that is done alone.
    """

    key: str
    parent: str | None
    cost: float
    group: Hashable = None


class Scheduler:
    """The state of a graph of runs while it is worked off.

    Args:
        nodes: parents before children. A parent that is not among the nodes counts as finished.
        retries: how many more attempts a failed node gets.
    """

    def __init__(self, nodes: Iterable[Node], retries: int = 0) -> None:
        self._nodes: Mapping[str, Node] = {node.key: node for node in nodes}
        self._attempts_left = dict.fromkeys(self._nodes, retries + 1)
        self._alone: set[str] = set()
        self._children: dict[str, list[str]] = {}
        for node in self._nodes.values():
            if node.parent in self._nodes:
                self._children.setdefault(node.parent or "", []).append(node.key)
        self._chain = self._remaining_chains()
        self._order = {key: position for position, key in enumerate(self._nodes)}
        # Every ready node is in the first heap, and in that of its group unless it is done alone. Who is taken from one
        # stays in the other, and is passed over there because it does not wait any more.
        self._heap: list[tuple[float, int, str]] = []
        self._heaps: dict[Hashable, list[tuple[float, int, str]]] = {}
        self._waiting: set[str] = set()
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
        return self._next(self._heap)

    def take_with(self, key: str, most: int) -> list[str]:
        """More nodes to start together with one that was just taken: ready ones of its group, in the order of `take`.

        What failed once is done alone, so that it cannot take others with it again.

        Args:
            key: the node that was taken.
            most: how many more at most.
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

    def put_back(self, key: str, *, alone: bool = False) -> None:
        """Return a node that was taken and not worked on, e.g. because another coordinator holds it.

        Args:
            key: the node.
            alone: it is to be done alone from now on.
        """
        self.running.discard(key)
        if alone:
            self._alone.add(key)
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
        """How many may be started now."""
        return len(self._waiting)

    @property
    def idle(self) -> bool:
        """Nothing is running and nothing is ready: this is the end."""
        return not self.running and not self._waiting

    def __len__(self) -> int:
        return len(self._nodes)

    def remaining_chain(self, key: str) -> float:
        """Cost of the node and of the longest chain that waits for it."""
        return self._chain[key]

    def _push(self, key: str) -> None:
        entry = (-self._chain[key], self._order[key], key)
        self._waiting.add(key)
        heapq.heappush(self._heap, entry)
        if (group := self._nodes[key].group) is not None and key not in self._alone:
            heapq.heappush(self._heaps.setdefault(group, []), entry)

    def _next(self, heap: list[tuple[float, int, str]], but: Collection[str] = ()) -> str | None:
        while heap:
            key = heapq.heappop(heap)[2]
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
