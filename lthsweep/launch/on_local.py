"""`run --on local`: everything between a plan and its records on one machine."""

from __future__ import annotations

import tempfile
from pathlib import Path

from lthsweep.errors import LaunchError
from lthsweep.launch.local import LocalPool
from lthsweep.launch.machine import Slot, core_limit, count_gpus, lay_out, usable_cores
from lthsweep.launch.on_pool import UNATTENDED, Attended, SweepRun, require_data, run_on_pool
from lthsweep.launch.task import Message, Task, task_for
from lthsweep.plan.estimate import recipe_id
from lthsweep.plan.run import Plan
from lthsweep.spec import Spec
from lthsweep.store.layout import SweepDir

__all__ = ["profile_recipes", "run_local", "slots_of", "workers_of"]


def run_local(
    plan: Plan,
    sweep: SweepDir,
    *,
    attended: Attended = UNATTENDED,
    cache: Path | None = None,
) -> SweepRun:
    """Train whatever of the plan has no record yet, in local processes.

    Args:
        plan: all runs.
        sweep: the sweep directory; made if it is not there.
        attended: by whom.
        cache: folder of packed data, None for the default.

    Raises:
        MissingDataError: before anything is written.
        LaunchError: if workers cannot be started.
        StoreError: if the directory cannot be written.
    """
    slots = slots_of(plan.spec)
    return run_on_pool(
        plan,
        sweep,
        lambda most: LocalPool(sweep, slots[: max(1, min(len(slots), most))]),
        attended=attended,
        cache=cache,
    )


def slots_of(spec: Spec) -> list[Slot]:
    """Where the workers of a sweep run on this machine, as its `[local]` table says."""
    cores = usable_cores()
    return lay_out(
        workers=spec.local.workers,
        threads=spec.local.threads,
        devices=spec.local.devices,
        pin=spec.local.pin,
        cores=cores,
        limit=core_limit(cores),
        gpus=count_gpus() if spec.local.devices != "cpu" else 0,
    )


def workers_of(spec: Spec) -> int:
    """How many workers the `[local]` table asks for; the GPUs it names need not be on this machine."""
    named = spec.local.devices if isinstance(spec.local.devices, tuple | list) else ()
    if spec.local.workers == "auto" and named:
        return len(named)
    return int(spec.local.workers) if spec.local.workers != "auto" else len(slots_of(spec))


def profile_recipes(plan: Plan, cache: Path | None = None) -> dict[str, float]:
    """Measure the seconds of one epoch of every recipe of a plan, on one worker; leaves nothing behind.

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
                task = task_for(run, operation="profile", cache=None if cache is None else str(cache))
                message = _answer(pool, task)
                if message.kind != "finished":
                    raise LaunchError(f"profiling {name} failed: {message.values.get('cause')}")
                found[name] = float(message.values["seconds_per_epoch"])
        finally:
            pool.stop()
    return found


def _answer(pool: LocalPool, task: Task) -> Message:
    """Give a task to the first worker that is free and wait for how it ends."""
    given = False
    while True:
        if not given and (idle := pool.idle()):
            pool.give(idle[0], task)
            given = True
        for heard in pool.wait(0.25):
            if heard.message.key == task.key and heard.message.kind in ("finished", "failed"):
                return heard.message
