"""Which runs may be trained as one, and how many of them a worker gets (`train.fuse`).

Tickets that descend from one trunk and return to the same point of it see the same batches at the same learning rates;
they differ in their weights and masks only. How many of them pay depends on the device and the network, so with "auto"
the worker that gets the first of them finds out, and returns the others.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable
from typing import Literal

from lthsweep.launch.pool import Heard
from lthsweep.plan.run import Plan, Run
from lthsweep.pruning.registry import criterion_of

__all__ = ["MOST_AT_ONCE", "Widths", "group_of", "most_together"]

MOST_AT_ONCE = 128
"""No more runs are handed out to a GPU at once, unless a number is asked for."""


def group_of(run: Run) -> Hashable:
    """What runs that may be trained as one have in common; None for a run that is trained alone.

    Dense runs have nothing in common; a network without whole filters has a shape of its own; a budget run trains by
    its own clock. Survivors that keep their trained weights (`rewind` "lr" and "none") follow other learning rates than
    those that return.
    """
    step = run.prune
    if step is None or step.budget is not None or criterion_of(step.method).structured:
        return None
    return run.trunk, step.point, step.manifest()["rewind"]


def most_together(plan: Plan) -> int:
    """How many runs of a plan can ever be trained as one: of a group's, as many as nothing descends from, for so many
    can be ready at the same time and no more."""
    parents = {run.parent for run in plan.runs.values()}
    groups = Counter(group_of(run) for run in plan.runs.values() if run.key not in parents)
    del groups[None]
    return max(groups.values(), default=1)


class Widths:
    """How many runs each worker may train as one, as far as it is known (a `Most`).

    Args:
        plan: all runs.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._fuse: int | Literal["auto"] = plan.spec.train.fuse
        self._devices: dict[str, str] = {}
        self._found: dict[str, int] = {}

    def is_unknown(self, key: str) -> bool:
        """Whether a worker is to find out how many runs like `key` pay."""
        return self._fuse == "auto" and self._recipe(key) not in self._found

    def __call__(self, worker: str, key: str) -> int:
        """How many runs like `key` to hand to a worker at most."""
        if self._fuse == "auto":
            most = 1 if self._devices.get(worker, "cpu") == "cpu" else MOST_AT_ONCE
        else:
            most = self._fuse
        return min(most, self._found.get(self._recipe(key), most))

    def hear(self, heard: Heard) -> None:
        """Take note of what a worker works on, and of how many runs of a recipe it trains as one."""
        message = heard.message
        if message.kind == "ready":
            self._devices[heard.worker] = str(message.values.get("device", "cpu"))
        elif message.kind in ("finished", "returned") and (width := message.values.get("width")):
            name = self._recipe(message.key)
            self._found[name] = min(int(width), self._found.get(name, int(width)))

    def _recipe(self, key: str) -> str:
        return json.dumps(self._plan[key].recipe.to_dict(), sort_keys=True)
