"""Which runs can be trained as one ensemble, and how many of them to hand to a worker (`train.fuse`).

Tickets of one dense run and one rewind point see the same batches at the same learning rates; they differ only in
weights and masks. How many of them pay depends on the device and the network. With "auto", the worker that receives the
first ones measures it and requeues the rest.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Hashable, Iterable
from dataclasses import replace
from typing import Literal

from lthsweep.launch.events import Finished, Message, Ready, Requeued
from lthsweep.launch.scheduler import Node
from lthsweep.plan.run import Plan, Run
from lthsweep.pruning.registry import criterion_of

__all__ = ["MAX_ENSEMBLE", "FuseWidths", "group_of", "largest_ensemble"]

MAX_ENSEMBLE = 128
"""Most runs that are handed to a GPU at once, unless the file asks for a number."""


def group_of(run: Run) -> Hashable:
    """Return what runs that can be trained as one have in common; None for a run that is trained alone.

    Dense runs have nothing in common; networks without whole filters differ in shape; a run with a time budget follows
    its own clock. Tickets whose survivors keep their trained weights (`rewind` "lr" and "none") follow other learning
    rates than those that rewind.
    """
    step = run.prune
    if step is None or step.budget is not None or criterion_of(step.method).structured:
        return None
    return run.trunk, step.point, step.manifest()["rewind"]


def largest_ensemble(plan: Plan) -> int:
    """Return how many runs of a plan can be trained as one at most: runs of one group that no other run waits for."""
    parents = {run.parent for run in plan.runs.values()}
    groups = Counter(group_of(run) for run in plan.runs.values() if run.key not in parents)
    del groups[None]
    return max(groups.values(), default=1)


class FuseWidths:
    """How many runs each worker can train as one, as far as it is known.

    Args:
        plan: all runs.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._fuse: int | Literal["auto"] = plan.spec.train.fuse
        self._devices: dict[str, str] = {}
        self._measured: dict[str, int] = {}

    def grouped(self, nodes: Iterable[Node], replayed: Collection[str]) -> list[Node]:
        """Return the nodes with their groups; a dense run that is replayed has none."""
        return [
            node if node.key in replayed else replace(node, group=group_of(self._plan[node.key]))
            for node in nodes
        ]

    def is_unknown(self, key: str) -> bool:
        """Return whether a worker has to measure how many runs like `key` pay."""
        return self._fuse == "auto" and self._recipe(key) not in self._measured

    def __call__(self, worker: str, key: str) -> int:
        """Return how many runs like `key` a worker gets at most."""
        if self._fuse == "auto":
            most = 1 if self._devices.get(worker, "cpu") == "cpu" else MAX_ENSEMBLE
        else:
            most = self._fuse
        return min(most, self._measured.get(self._recipe(key), most))

    def note(self, message: Message) -> None:
        """Remember the device of a worker, and how many runs of a recipe it trains as one."""
        event = message.event
        if isinstance(event, Ready):
            self._devices[message.worker] = event.device
        elif isinstance(event, Finished | Requeued) and event.fuse_width:
            name = self._recipe(event.key)
            self._measured[name] = min(event.fuse_width, self._measured.get(name, event.fuse_width))

    def _recipe(self, key: str) -> str:
        return json.dumps(self._plan[key].recipe.to_dict(), sort_keys=True)
