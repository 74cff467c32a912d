"""`run --on local`: everything between a plan and its records on one machine."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lthsweep.data.pack import open_packed, prepare
from lthsweep.errors import LaunchError, MissingDataError, StoreError
from lthsweep.launch.coordinate import coordinate, work_left
from lthsweep.launch.local import LocalPool
from lthsweep.launch.machine import Slot, core_limit, count_gpus, lay_out, usable_cores
from lthsweep.launch.pool import Listener, Tally
from lthsweep.launch.task import Message, Task, task_for
from lthsweep.plan.cost import recipe_id
from lthsweep.plan.run import Plan
from lthsweep.spec import Spec, dump_spec
from lthsweep.store import commit
from lthsweep.store.layout import SweepDir

__all__ = ["LocalRun", "open_sweep", "profile_recipes", "require_data", "run_local", "slots_of", "workers_of"]

_TEMP_SECONDS = 3600.0
"""A temporary file this old has no living writer."""


@dataclass(frozen=True)
class LocalRun:
    """What a local run did: the tally, the seconds it took, and how many runs it found done already."""

    tally: Tally
    seconds: float
    found_done: int
    foreign: int


def run_local(
    plan: Plan,
    sweep: SweepDir,
    *,
    listen: Listener = lambda heard: None,
    asked_to_stop: Callable[[], bool] = lambda: False,
    on_pool: Callable[[LocalPool], None] = lambda pool: None,
    cache: Path | None = None,
) -> LocalRun:
    """Train whatever of the plan has no record yet, in local processes.

    Args:
        plan: all runs.
        sweep: the sweep directory; made if it is not there.
        listen: hears what workers say.
        asked_to_stop: true ends the work with checkpoints.
        on_pool: receives the pool once it is started (a second Ctrl-C kills it).
        cache: folder of packed data, None for the default.

    Raises:
        MissingDataError: before anything is written.
        LaunchError: if workers cannot be started.
        StoreError: if the directory cannot be written.
    """
    require_data(plan, cache)
    slots = slots_of(plan.spec)
    open_sweep(plan.spec, sweep)
    work = work_left(plan, sweep)
    started = time.monotonic()
    if not work.nodes:
        return LocalRun(Tally(), 0.0, len(work.found.done), len(work.found.foreign))
    pool = LocalPool(sweep, slots[: max(1, min(len(slots), len(work.nodes)))])
    on_pool(pool)
    try:
        tally = coordinate(
            plan,
            sweep,
            work,
            pool,
            listen=listen,
            asked_to_stop=asked_to_stop,
            cache=None if cache is None else str(cache),
        )
    except BaseException:
        pool.kill()
        pool.stop()
        raise
    return LocalRun(tally, time.monotonic() - started, len(work.found.done), len(work.found.foreign))


def require_data(plan: Plan, cache: Path | None = None) -> None:
    """Make sure that every data set of a plan is packed; what is found unpacked under the data root is packed now.

    Raises:
        MissingDataError: if one is not on this machine; the message names the command that gets it.
    """
    seen: set[str] = set()
    for run in plan.dense:
        name = repr(sorted(run.recipe.data.items()))
        if name in seen:
            continue
        seen.add(name)
        try:
            open_packed(run.recipe.data, cache=cache)
        except MissingDataError:
            prepare(run.recipe.data, root=None, cache=cache)


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


def open_sweep(spec: Spec, sweep: SweepDir) -> None:
    """Make the directory if need be, write the resolved file into it, clear what killed writers left.

    Raises:
        StoreError: if it belongs to another user or cannot be written.
    """
    if sweep.path.exists() and sweep.path.stat().st_uid != os.getuid() and os.getuid() != 0:
        raise StoreError(f"{sweep.path} belongs to another user; choose another place with --out")
    sweep.create()
    text = dump_spec(spec).encode()
    old = sweep.sweep_toml.read_bytes() if sweep.sweep_toml.exists() else text
    if old != text:
        commit.replace(sweep.previous_toml, old)
    if old != text or not sweep.sweep_toml.exists():
        commit.replace(sweep.sweep_toml, text)
    for folder in (sweep.path, sweep.records, sweep.checkpoints, sweep.failures, sweep.workers):
        commit.sweep_temps(folder, _TEMP_SECONDS)


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
