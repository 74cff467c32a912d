"""When to stop submitting, and which nodes to stay away from: judged from how runs and jobs ended. Pure.

A wrong path or a full disk fails every run of a sweep in its first second, and a loop that submits again and again
turns that into thousands of jobs. One broken node does the same to all jobs that it is given, the faster the more: it
is always the first to be free again.
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
"""What differs between two runs that fail for the same reason, and what stands for it."""


@dataclass(frozen=True)
class NodeEnd:
    """How one element ended.

    Attributes:
        node: where.
        outcome: whether it got anywhere: "worked" if so, whatever came later; "failed" if nothing that it tried got
            anywhere, "vanished" if it left no word.
        cause: what is known, for people. Nodes are not compared by it: two broken nodes break alike.
    """

    node: str
    outcome: str
    cause: str = ""


def normalized(cause: str) -> str:
    """A cause without what changes from run to run: paths, keys, addresses, numbers with their units."""
    for pattern, word in _CHANGING:
        cause = pattern.sub(word, cause)
    return " ".join(cause.split())


def trips(causes: Sequence[str], finished: int, threshold: int = 3) -> str | None:
    """Whether so much fails for one reason that more of it would be a waste.

    It does if at least `threshold` ended alike, and more than half of all that ended, so also if nothing else ended
    yet. A sweep that mostly works is not stopped by its bad corner, and a hundred finished runs do not keep going what
    then fails a hundred and one times.

    Args:
        causes: why runs failed, one each; causes are alike if they are equal when `normalized`.
        finished: how many runs finished.
        threshold: fewer than this many are no evidence.

    Returns:
        A sentence with the cause, as the first of its kind put it; None to go on.
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
    """Nodes on which nothing works while it works elsewhere.

    A node is bad if its last elements, `in_a_row` or more, came to nothing, and since the first of these `others`
    elements on other nodes worked. If nothing works anywhere, the nodes are not to blame; so never are all of them bad.
    A node that works again is good again.

    Args:
        ends: how elements ended, in the order in which they did.
        in_a_row: elements on the node.
        others: elements elsewhere.
    """
    worked = 0
    row: Counter[str] = Counter()
    worked_before: dict[str, int] = {}  # the row began; what worked since did so elsewhere
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
