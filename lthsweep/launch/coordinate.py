"""Run a plan on a pool: find what is left, hand it out, remember what failed."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lthsweep.errors import StoreError
from lthsweep.launch.bundles import Widths, group_of
from lthsweep.launch.pool import Heard, Listener, Pool, Tally, work_off
from lthsweep.launch.scheduler import Node, Scheduler
from lthsweep.launch.survey import Survey, missing_snapshots, note_timing, seconds_per_epoch, survey
from lthsweep.launch.task import Task, task_for
from lthsweep.plan.estimate import recipe_id
from lthsweep.plan.run import Plan, Run
from lthsweep.plan.steps import recipe_steps
from lthsweep.store import failures
from lthsweep.store.layout import SweepDir

__all__ = ["Work", "coordinate", "work_left"]


@dataclass(frozen=True)
class Work:
    """What is left of a plan.

    Attributes:
        nodes: runs to train and trunks to walk again, parents first.
        found: the survey it was made from.
        walks: trunks among the nodes that are finished and only lack snapshots.
    """

    nodes: tuple[Node, ...]
    found: Survey
    walks: frozenset[str]


def work_left(plan: Plan, sweep: SweepDir) -> Work:
    """Everything that has no record yet. Failed runs are tried again: whoever runs a sweep wants them."""
    found = survey(plan, sweep)
    walks = missing_snapshots(plan, sweep, found.states)
    known = seconds_per_epoch(plan, sweep) if any(run.budget for run in plan.runs.values()) else {}
    nodes = []
    for key, run in plan.runs.items():
        if key in walks:
            nodes.append(Node(key, None, walks[key]))
        elif found.states[key] not in ("done", "cut off"):
            nodes.append(Node(key, run.parent, _length(run, known), group_of(run)))
    return Work(tuple(nodes), found, frozenset(walks))


def _length(run: Run, known: Mapping[str, float]) -> float:
    """Epochs; of a budget run as many as fit into its time, at a second each until one was measured."""
    if run.budget is None:
        return run.epochs(recipe_steps(run.recipe))
    return run.budget.seconds / known.get(recipe_id(run.recipe), 1.0)


def coordinate(
    plan: Plan,
    sweep: SweepDir,
    work: Work,
    pool: Pool,
    *,
    listen: Listener = lambda heard: None,
    asked_to_stop: Callable[[], bool] = lambda: False,
    cache: str | None = None,
) -> Tally:
    """Train what is left.

    Args:
        plan: all runs.
        sweep: where records go.
        work: what is left, from `work_left`.
        pool: started workers.
        listen: hears what workers say.
        asked_to_stop: true ends the work with checkpoints.
        cache: folder of packed data, None for the default.
    """
    points, layer_rules = plan.rewind_points(), plan.layer_rules()
    attempts: dict[str, int] = {}
    scheduler = Scheduler(work.nodes, retries=plan.spec.local.retries)
    widths = Widths(plan)

    def make_task(key: str) -> Task:
        attempts[key] = attempts.get(key, 0) + 1
        run = plan[key]
        return task_for(
            run,
            points.get(key, ()),
            layer_rules.get(key, ()),
            attempt=attempts[key],
            checkpoint_seconds=plan.spec.local.checkpoint_seconds,
            cache=cache,
            measure_width=widths.is_unknown(key),
        )

    timed: set[str] = set()

    def note(heard: Heard) -> None:
        message = heard.message
        widths.hear(heard)
        if message.kind == "failed":
            _note_failure(sweep, heard, attempts.get(message.key, 1))
        elif message.kind == "stopped":
            failures.clear_failure(
                sweep, message.key
            )  # it has a checkpoint now; an earlier attempt's end is history
        elif message.kind in ("held", "returned"):
            attempts[message.key] -= 1  # it was never tried, or it did not end by itself
        elif message.kind == "finished":
            recipe = str(id(plan[message.key].recipe))
            seconds = message.values.get("seconds_per_epoch")
            if seconds and recipe not in timed and message.values.get("fused", 1) == 1:
                timed.add(recipe)
                with contextlib.suppress(StoreError):  # advice only
                    note_timing(plan, sweep, message.key, float(seconds))
        listen(heard)

    return work_off(scheduler, pool, make_task, most=widths, listen=note, asked_to_stop=asked_to_stop)


def _note_failure(sweep: SweepDir, heard: Heard, attempt: int) -> None:
    values = heard.message.values
    failure = failures.Failure(
        cause=str(values.get("cause", "unknown")),
        kind=str(values.get("error", "unknown")),
        host=socket.gethostname(),
        attempt=attempt,
        log=str(sweep.log(heard.message.key).relative_to(sweep.path)),
        time=time.time(),
        infrastructure=bool(values.get("infrastructure")),
    )
    with contextlib.suppress(StoreError):  # a full disk fails runs faster than it can be told of them
        failures.record_failure(sweep, heard.message.key, failure)
