"""The coordinator: find the runs that a plan still needs, hand them to a pool of workers, remember failures."""

from __future__ import annotations

import contextlib
import logging
import math
import socket
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from lthsweep.errors import StoreError
from lthsweep.launch.dispatch import Elsewhere, OnMessage, Pool, RunSummary, dispatch
from lthsweep.launch.events import Failed, Finished, Held, Message, Requeued, Stopped
from lthsweep.launch.network_check import require_networks
from lthsweep.launch.preflight import open_sweep, require_code, require_data
from lthsweep.launch.scheduler import Scheduler
from lthsweep.launch.task import Task
from lthsweep.launch.work import Work, note_timing, work_left
from lthsweep.plan.run import Plan
from lthsweep.store import failures
from lthsweep.store.layout import SweepDir

__all__ = ["RunHooks", "coordinate", "run_sweep"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunHooks:
    """Functions of the caller of a sweep.

    Attributes:
        on_message: called with every message of a worker.
        should_stop: called a few times a second; True ends the sweep with checkpoints.
        on_pool: called with the pool once it is started (a second Ctrl-C kills it).
        elsewhere: called before a run is handed out; what other coordinators' workers did with it, or None.
        patience: seconds without a run to hand out after which the rest is left to other coordinators.
    """

    on_message: OnMessage = lambda message: None
    should_stop: Callable[[], bool] = lambda: False
    on_pool: Callable[[Pool], None] = lambda pool: None
    elsewhere: Callable[[str], Elsewhere | None] = lambda key: None
    patience: Callable[[], float] = lambda: math.inf


def run_sweep(
    plan: Plan,
    sweep: SweepDir,
    start: Callable[[int], Pool],
    *,
    hooks: RunHooks | None = None,
    cache: Path | None = None,
) -> RunSummary:
    """Train all runs of a plan that have no record.

    Args:
        plan: all runs.
        sweep: the sweep directory; created if it does not exist.
        start: starts a pool, given the largest number of workers that can have something to do; not called for 0.
        hooks: of the caller.
        cache: folder of packed data; None for the default.

    Raises:
        CodeError: if user code is not allowed or has changed; nothing is written.
        MissingDataError: if data is missing; nothing is written.
        ModelError: if a network fails its trial; nothing is written.
        LaunchError: if workers cannot be started.
        StoreError: if the directory cannot be written.
    """
    hooks = hooks or RunHooks()
    require_code(plan, sweep)
    require_data(plan, cache)
    require_networks(plan, sweep, cache)
    open_sweep(plan.spec, sweep)
    for key, failure in failures.read_failures(sweep).items():
        if key in plan.runs and failure.kind == failures.CANCELLED:
            failures.clear_failure(sweep, key)  # `run` takes back an earlier `cancel`
    work = work_left(plan, sweep)
    found_done = len(work.found.done)
    started = time.monotonic()
    if not work.nodes:
        return RunSummary(found_done=found_done)
    pool = start(len(work.nodes))
    hooks.on_pool(pool)
    try:
        summary = coordinate(plan, sweep, work, pool, hooks=hooks, cache=cache)
    except BaseException:
        pool.stop()
        raise
    summary.seconds, summary.found_done = time.monotonic() - started, found_done
    return summary


def coordinate(
    plan: Plan,
    sweep: SweepDir,
    work: Work,
    pool: Pool,
    *,
    hooks: RunHooks,
    cache: Path | None = None,
    first: Collection[str] = (),
) -> RunSummary:
    """Train the runs that are left of a plan on a started pool.

    Args:
        plan: all runs.
        sweep: the sweep directory.
        work: from `work_left`.
        pool: the workers.
        hooks: of the caller; `on_pool` is not called.
        cache: folder of packed data; None for the default.
        first: runs that are handed out before all others.
    """
    points, layer_rules = plan.rewind_points(), plan.layer_rules()
    attempts: dict[str, int] = {}
    timed: set[int] = set()
    nodes, widths = work.nodes, None
    fuse = plan.spec.train.fuse
    if any(device != "cpu" for device in pool.devices()) if fuse == "auto" else fuse > 1:
        from lthsweep.launch.fused.groups import FuseWidths

        widths = FuseWidths(plan)
        nodes = tuple(widths.grouped(nodes, work.replays))

    def make_task(key: str) -> Task:
        attempts[key] = attempts.get(key, 0) + 1
        return Task(
            plan[key],
            rewind_points=points.get(key, ()),
            layer_rules=layer_rules.get(key, ()),
            attempt=attempts[key],
            checkpoint_seconds=plan.spec.local.checkpoint_seconds,
            cache=None if cache is None else str(cache),
            measure_fuse_width=widths is not None and widths.is_unknown(key),
        )

    def note(message: Message) -> None:
        if widths is not None:
            widths.note(message)
        match message.event:
            case Failed() as event:
                _log.info("%s failed on %s: %s", event.key, message.worker, event.cause)
                _record_failure(sweep, event, attempts.get(event.key, 1))
            case Stopped(key):
                failures.clear_failure(
                    sweep, key
                )  # it has a checkpoint now, so an earlier failure is obsolete
            case Held(key):
                _log.info("%s is held by a worker of another coordinator", key)
                attempts[key] -= 1
            case Requeued(key, cause):
                _log.info("%s is requeued by %s: %s", key, message.worker, cause)
                attempts[key] -= 1
            case Finished(key, seconds_per_epoch=seconds, fused=1) if seconds:
                recipe = id(plan[key].recipe)
                if recipe not in timed:
                    timed.add(recipe)
                    with contextlib.suppress(StoreError):  # advisory
                        note_timing(plan, sweep, key, seconds)
        hooks.on_message(message)

    return dispatch(
        Scheduler(nodes, retries=plan.spec.local.retries, first=first),
        pool,
        make_task,
        fuse_width=widths,
        on_message=note,
        should_stop=hooks.should_stop,
        elsewhere=hooks.elsewhere,
        patience=hooks.patience,
    )


def _record_failure(sweep: SweepDir, event: Failed, attempt: int) -> None:
    failure = failures.Failure(
        cause=event.cause,
        kind=event.error,
        host=socket.gethostname(),
        attempt=attempt,
        log=str(sweep.log(event.key).relative_to(sweep.path)),
        time=time.time(),
        infrastructure=event.infrastructure,
    )
    with contextlib.suppress(StoreError):  # a full disk fails runs, and has no space for their failures
        failures.record_failure(sweep, event.key, failure)
