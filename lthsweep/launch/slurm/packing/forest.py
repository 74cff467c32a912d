"""A forest of runs, cut into pieces that one job can train. Pure.

A tree that fits into one job stays whole: dependencies between its runs are handled inside the job, without SLURM. A
longer tree is cut into its top part, the crown, and the subtrees below, which form a forest that is cut in the same
way.

The size of a crown decides how well the work is distributed:

- Along a path it reaches to the target length of a job. A run below one with a single child cannot start sooner in
  another job.
- It ends at a fork. Below a fork several jobs can run in parallel, and every run in the crown delays them; so trunks
end
  before their tickets.
- It has the minimum length of a job: up to `floor` it includes runs below the fork, in the order of the scheduler. So
  the number of stages is bounded by the length of the longest chain over `floor`, not by the number of forks.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from lthsweep.launch.scheduler import Node
from lthsweep.launch.slurm.packing.walltime import Lengths, expected_seconds

__all__ = ["Forest", "Piece"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A connected part of a tree, trained in one job.

    Attributes:
        runs: the root first, and parents before their children.
        rest: roots of the subtrees below the piece; empty if the tree is whole.
    """

    runs: tuple[Node, ...]
    rest: tuple[Node, ...] = ()


class Forest:
    """The remaining runs and their descendants.

    Args:
        nodes: parents before children, cost in seconds.
        in_flight: runs of submitted jobs; any other parent that is not among the nodes is finished.
        lengths: of parcels.
    """

    def __init__(self, nodes: Iterable[Node], in_flight: Collection[str], lengths: Lengths) -> None:
        self._nodes = {node.key: node for node in nodes}
        self._lengths = lengths
        self._in_flight = in_flight
        self._children: dict[str, list[Node]] = {}
        self._work = {key: node.cost for key, node in self._nodes.items()}
        self._chain = dict(self._work)
        for key, node in reversed(self._nodes.items()):  # children come after their parents
            if node.parent is not None and node.parent in self._nodes:
                self._work[node.parent] += self._work[key]
                self._chain[node.parent] = max(
                    self._chain[node.parent], self._nodes[node.parent].cost + self._chain[key]
                )
        order = sorted(self._nodes, key=lambda key: -self._chain[key])  # stable: ties in the order given
        self._rank = {key: rank for rank, key in enumerate(order)}
        for key in order:
            parent = self._nodes[key].parent
            if parent is not None and parent in self._nodes:
                self._children.setdefault(parent, []).append(self._nodes[key])

    def roots(self) -> list[Node]:
        """Return the runs whose parent is not among the nodes."""
        return self.in_order(node for node in self._nodes.values() if node.parent not in self._nodes)

    def is_unfinished(self, key: str | None) -> bool:
        """Return whether a run with this parent must wait for it."""
        return key is not None and (key in self._nodes or key in self._in_flight)

    def in_order(self, nodes: Iterable[Node]) -> list[Node]:
        """Sort runs as the scheduler does: longest remaining chain first, and so parents before their children."""
        return sorted(nodes, key=self.rank)

    def rank(self, node: Node) -> int:
        """Return the position of a run in this order."""
        return self._rank[node.key]

    def least_seconds(self, roots: Sequence[Node]) -> float:
        """Return a lower limit for the time of the trees under some roots in one job."""
        return self._lengths.least(
            sum(self._work[root.key] for root in roots),
            max((self._chain[root.key] for root in roots), default=0.0),
        )

    def cut(self, root: Node) -> Piece:
        """Return the tree under a root, or its crown.

        The tree stays whole if the part below the crown would be shorter than the minimum length of a job, because a
        longer job costs less than another wait in the queue.
        """
        if not self._below(root) or self._lasts_at_most(self._lengths.aim, root):
            return Piece(self._tree(root))
        crown = self._crown(root)
        inside = {node.key for node in crown}
        rest = [child for node in crown for child in self._below(node) if child.key not in inside]
        worth_a_job = self.least_seconds(rest) >= self._lengths.floor
        if not worth_a_job and self._lasts_at_most(self._lengths.ceiling, root):
            return Piece(self._tree(root))
        return Piece(tuple(self.in_order(crown)), tuple(self.in_order(rest)))

    def _below(self, node: Node) -> list[Node]:
        return self._children.get(node.key, [])

    def _tree(self, root: Node) -> tuple[Node, ...]:
        tree = [root]
        for node in tree:  # grows during the loop
            tree += self._below(node)
        return tuple(self.in_order(tree))

    def _lasts_at_most(self, seconds: float, root: Node) -> bool:
        work, chain = self._work[root.key], self._chain[root.key]
        if self._lengths.least(work, chain) > seconds:
            return False
        if self._lengths.most(work, chain) <= seconds:
            return True
        return expected_seconds(self._tree(root), self._lengths.workers) <= seconds

    def _crown(self, root: Node) -> list[Node]:
        path, end = [root], root.cost
        while len(below := self._below(path[-1])) == 1 and end + below[0].cost <= self._lengths.aim:
            path += below
            end += below[0].cost
        crown = self._filled_up(path, end)
        if expected_seconds(crown, self._lengths.workers) > self._lengths.ceiling:
            return path
        return crown

    def _filled_up(self, path: Sequence[Node], now: float) -> list[Node]:
        """Return a path and the runs below it that idle workers start before `floor` and finish by `aim`."""
        crown = list(path)
        ready: list[tuple[int, Node]] = []
        busy: list[tuple[float, int, Node]] = []
        self._make_ready(path[-1], ready)
        while ready or busy:
            while ready and now < self._lengths.floor and len(busy) < self._lengths.workers:
                rank, node = heapq.heappop(ready)
                if now + node.cost <= self._lengths.aim:
                    heapq.heappush(busy, (now + node.cost, rank, node))
                    crown.append(node)
            if not busy:
                break
            now, _, node = heapq.heappop(busy)
            self._make_ready(node, ready)
        return crown

    def _make_ready(self, parent: Node, ready: list[tuple[int, Node]]) -> None:
        for child in self._below(parent):
            heapq.heappush(ready, (self.rank(child), child))
