"""Tasks for tests that hand out runs without training them."""

from __future__ import annotations

from lthsweep.launch.task import Operation, Task
from lthsweep.plan.run import Recipe, Run

RECIPE = Recipe(model={}, data={}, train={"epochs": 1})


def make_task(key: str, *companions: str, sleep_seconds: float = 0.0) -> Task:
    """A task that sleeps, with companions that sleep too."""
    return Task(
        Run(key, {}, RECIPE, seed=0, trunk=key),
        operation=Operation.SLEEP,
        sleep_seconds=sleep_seconds,
        companions=tuple(make_task(name, sleep_seconds=sleep_seconds) for name in companions),
    )
