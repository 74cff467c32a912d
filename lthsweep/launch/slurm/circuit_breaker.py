"""Circuit breaker and blocklist: when to stop submitting, and which nodes to avoid, by how runs and jobs ended. Pure.

A wrong path or a full disk fails every run of a sweep within a second, and repeated submission turns that into
thousands of jobs. A broken node does the same to all jobs that it receives, and the faster it fails them, the more it
receives: it is always the first node to be free again.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["NodeEnd", "bad_nodes", "normalized", "trips"]

_CHANGING = (
    (re.compile(r"(?<![\w.~$-])[\w.~$-]*(?:/[\w.@+~:$-]+)+/?"), "PATH"),
    (re.compile(r"\b0x[0-9a-f]+\b", re.IGNORECASE), "HEX"),
    (re.compile(r"\b(?=[0-9a-f]*[0-9])[0-9a-f]{6,}\b", re.IGNORECASE), "HEX"),  # keys, hashes; and long pids
    (re.compile(r"[-+]?\d+(?:[.,]\d+)*(?:e[-+]?\d+)?(?:\s*[kmgt]?i?b\b)?", re.IGNORECASE), "N"),
)
"""Text that differs between two runs with the same failure, and its placeholder."""


@dataclass(frozen=True)
class NodeEnd:
    """How one element ended.

    Attributes:
        node: on which it ran.
        outcome: "worked" if a run made progress, whatever happened later; "failed" if no run made progress; "vanished"
            if the element wrote no end.
        cause: known details, for the user. Nodes are not compared by it, because two broken nodes can fail alike.
    """

    node: str
    outcome: str
    cause: str = ""


def normalized(cause: str) -> str:
    """Remove variable parts from a cause: paths, keys, addresses, numbers with their units."""
    for pattern, word in _CHANGING:
        cause = pattern.sub(word, cause)
    return " ".join(cause.split())


def trips(causes: Sequence[str], finished: int, threshold: int = 3) -> str | None:
    """Return the reason to halt if most runs fail in the same way, else None.

    The breaker trips if at least `threshold` runs failed alike, and these are more than half of all runs that ended. So
    it also trips if no run has finished yet, a few failing cells do not stop a sweep that mostly works, and a hundred
    finished runs do not prevent a halt after a hundred and one equal failures.

    Args:
        causes: one per failed run; causes are alike if they are equal when `normalized`.
        finished: number of finished runs.
        threshold: minimum number of equal failures.

    Returns:
        A sentence with the first cause of the most frequent kind; None to continue.
    """
    kinds = [normalized(cause) for cause in causes]
    if not kinds:
        return None
    kind, count = Counter(kinds).most_common(1)[0]
    if count < threshold or 2 * count <= len(kinds) + finished:
        return None
    example = " ".join(causes[kinds.index(kind)].split())
    others = f"only {finished} finished" if finished else "none finished"
    return f"{count} failed in the same way and {others}: {example}"


def bad_nodes(ends: Sequence[NodeEnd], in_a_row: int = 3, others: int = 2) -> frozenset[str]:
    """Return the nodes on which elements keep failing while others work.

    A node is bad if its last elements, `in_a_row` or more, made no progress, and since the first of these `others`
    elements on other nodes worked. If no element works anywhere, the nodes are not the cause, so never all nodes are
    bad. A node on which an element works again is good again.

    Args:
        ends: in the order in which the elements ended.
        in_a_row: elements on the node.
        others: elements on other nodes.
    """
    worked = 0
    row: Counter[str] = Counter()
    worked_before: dict[str, int] = {}  # elements that worked before the failures of a node in a row began
    for end in ends:
        if end.outcome == "worked":
            worked += 1
            del row[end.node]
            worked_before.pop(end.node, None)
        else:
            row[end.node] += 1
            worked_before.setdefault(end.node, worked)
    return frozenset(
        node for node, count in row.items() if count >= in_a_row and worked - worked_before[node] >= others
    )
