"""Tasks and workers for tests that hand out runs without training them."""

from __future__ import annotations

from collections import deque

from lthsweep.launch.events import Finished, Message, Stopped
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


class ScriptedPool:
    """Workers that answer each run at once: with the next event of the script of its key, else `Finished`.

    Args:
        script: run → events.
        workers: their names.
    """

    def __init__(self, script=(), workers=("a", "b")):
        self.script = {key: deque(events) for key, events in dict(script).items()}
        self.workers = workers
        self.given = []
        self.busy = {}
        self.stopped = False
        self.late = 0

    @property
    def given_keys(self):
        return [[one.key for one in task.each] for task in self.given]

    def devices(self):
        return {"cpu"}

    def idle(self):
        return [name for name in self.workers if name not in self.busy]

    def starting(self):
        return self.late

    def give(self, worker, task):
        self.given.append(task)
        self.busy[worker] = task

    def wait(self, seconds):
        return self._each_run(self._answer)

    def stop(self):
        self.stopped = True
        return self._each_run(Stopped)

    def _each_run(self, event_of):
        found = [
            Message(worker, event_of(one.key)) for worker, task in self.busy.items() for one in task.each
        ]
        self.busy.clear()
        return found

    def _answer(self, key):
        script = self.script.get(key)
        return script.popleft() if script else Finished(key)
