"""Everything between a plan and its records that is the same for every pool."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lthsweep.data.cache import open_packed, prepare
from lthsweep.errors import MissingDataError, StoreError
from lthsweep.launch.coordinate import coordinate, work_left
from lthsweep.launch.pool import Listener, Pool, Tally
from lthsweep.plan.run import Plan
from lthsweep.spec import Spec, dump_spec
from lthsweep.store import commit, failures
from lthsweep.store.layout import SweepDir
from lthsweep.usercode import is_code, require_allowed

__all__ = ["UNATTENDED", "Attended", "SweepRun", "open_sweep", "require_code", "require_data", "run_on_pool"]

_TEMP_SECONDS = 3600.0
"""A temporary file this old has no living writer."""


@dataclass(frozen=True)
class Attended:
    """Who looks on while a sweep is worked off, and may end it.

    Attributes:
        listen: hears what workers say.
        asked_to_stop: true ends the work with checkpoints.
        on_pool: receives the pool once it is started (a second Ctrl-C kills it).
    """

    listen: Listener = lambda heard: None
    asked_to_stop: Callable[[], bool] = lambda: False
    on_pool: Callable[[Pool], None] = lambda pool: None


UNATTENDED = Attended()
"""Nobody: to the end, without a word."""


@dataclass(frozen=True)
class SweepRun:
    """What running a sweep did: the tally, the seconds it took, and how many runs it found done already."""

    tally: Tally
    seconds: float
    found_done: int
    foreign: int


def run_on_pool(
    plan: Plan,
    sweep: SweepDir,
    start: Callable[[int], Pool],
    *,
    attended: Attended = UNATTENDED,
    cache: Path | None = None,
) -> SweepRun:
    """Train whatever of the plan has no record yet.

    Args:
        plan: all runs.
        sweep: the sweep directory; made if it is not there.
        start: starts the pool, given how many workers can find something to do at most; not called if none can.
        attended: by whom.
        cache: folder of packed data, None for the default.

    Raises:
        CodeError: before anything is written, if code of the user's own is not allowed or not what it was.
        MissingDataError: before anything is written.
        LaunchError: if workers cannot be started.
        StoreError: if the directory cannot be written.
    """
    require_code(plan, sweep)
    require_data(plan, cache)
    open_sweep(plan.spec, sweep)
    _forget_canceled(plan, sweep)
    work = work_left(plan, sweep)
    started = time.monotonic()
    if not work.nodes:
        return SweepRun(Tally(), 0.0, len(work.found.done), len(work.found.foreign))
    pool = start(len(work.nodes))
    attended.on_pool(pool)
    try:
        tally = coordinate(
            plan,
            sweep,
            work,
            pool,
            listen=attended.listen,
            asked_to_stop=attended.asked_to_stop,
            cache=None if cache is None else str(cache),
        )
    except BaseException:
        pool.stop()
        raise
    return SweepRun(tally, time.monotonic() - started, len(work.found.done), len(work.found.foreign))


def _forget_canceled(plan: Plan, sweep: SweepDir) -> None:
    """Whoever runs a sweep wants its runs."""
    for key, failure in failures.read_failures(sweep).items():
        if key in plan.runs and failure.kind == failures.CANCELLED:
            failures.clear_failure(sweep, key)


def require_code(plan: Plan, sweep: SweepDir) -> None:
    """Make sure that code of the user's own, which workers will run, is allowed, here and unchanged.

    What has its records already needs no code any more, so an older version of it may be gone.

    Raises:
        CodeError: if it is not; the message names the way to allow it.
    """
    named = {
        (name, key)
        for key, run in plan.runs.items()
        for name in (str(run.recipe.model["init"]), run.prune.method if run.prune else "")
        if is_code(name)
    }
    for name in sorted({name for name, key in named if not sweep.has_record(key)}):
        require_allowed(name)


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
