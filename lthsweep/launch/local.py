"""`run --on local`: train a plan in worker processes of this machine."""

from __future__ import annotations

import tempfile
from pathlib import Path

from lthsweep.errors import LaunchError
from lthsweep.launch.coordinator import RunHooks, run_sweep
from lthsweep.launch.dispatch import RunSummary
from lthsweep.launch.events import Failed, Finished
from lthsweep.launch.local_pool import LocalPool
from lthsweep.launch.preflight import require_data
from lthsweep.launch.slots import Slot, core_limit, count_gpus, place_workers, usable_cores
from lthsweep.launch.task import Operation, Task
from lthsweep.plan.estimate import recipe_id
from lthsweep.plan.run import Plan
from lthsweep.spec import Spec
from lthsweep.store.layout import SweepDir

__all__ = ["profile_recipes", "run_local", "slots_of", "workers_of"]


def run_local(
    plan: Plan, sweep: SweepDir, *, hooks: RunHooks | None = None, cache: Path | None = None
) -> RunSummary:
    """Train all runs of a plan that have no record, in local processes.

    Arguments and errors are those of `lthsweep.launch.coordinator.run_sweep`.
    """
    slots = slots_of(plan.spec)
    return run_sweep(
        plan,
        sweep,
        lambda most: LocalPool(sweep, slots[: max(1, min(len(slots), most))]),
        hooks=hooks,
        cache=cache,
    )


def slots_of(spec: Spec) -> list[Slot]:
    """Return the slots of the workers of a sweep on this machine, by its `[local]` table."""
    cores = usable_cores()
    return place_workers(
        workers=spec.local.workers,
        threads=spec.local.threads,
        devices=spec.local.devices,
        pin=spec.local.pin,
        cores=cores,
        limit=core_limit(cores),
        gpus=count_gpus() if spec.local.devices != "cpu" else 0,
    )


def workers_of(spec: Spec) -> int:
    """Return the number of workers of the `[local]` table; its GPUs can be those of another machine."""
    named = spec.local.devices if isinstance(spec.local.devices, tuple | list) else ()
    if spec.local.workers == "auto" and named:
        return len(named)
    return int(spec.local.workers) if spec.local.workers != "auto" else len(slots_of(spec))


def profile_recipes(plan: Plan, cache: Path | None = None) -> dict[str, float]:
    """Measure one epoch of every recipe of a plan on one worker, without storing anything.

    Returns:
        `recipe_id` → seconds.

    Raises:
        LaunchError: if the worker fails.
    """
    require_data(plan, cache)
    runs = {recipe_id(run.recipe): run for run in plan.dense}
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="lthsweep-profile-") as folder:
        pool = LocalPool(SweepDir(Path(folder)).create(), slots_of(plan.spec)[:1])
        try:
            for name, run in runs.items():
                task = Task(run, operation=Operation.PROFILE, cache=None if cache is None else str(cache))
                event = _end_of(pool, task)
                if isinstance(event, Failed) or event.seconds_per_epoch is None:
                    cause = event.cause if isinstance(event, Failed) else event.outcome
                    raise LaunchError(f"profiling {name} failed: {cause}")
                found[name] = event.seconds_per_epoch
        finally:
            pool.stop()
    return found


def _end_of(pool: LocalPool, task: Task) -> Finished | Failed:
    """Give a task to the first idle worker and return the event of its end."""
    given = False
    while True:
        if not given and (idle := pool.idle()):
            pool.give(idle[0], task)
            given = True
        for message in pool.wait(0.25):
            if isinstance(message.event, Finished | Failed) and message.event.key == task.key:
                return message.event
