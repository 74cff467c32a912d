"""The runs that a plan still needs, given the records on disk, and the measured length of an epoch."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from lthsweep.errors import CorruptRecordError, StoreError
from lthsweep.launch.disk_status import DiskStatus, RunStatus, read_disk_status
from lthsweep.launch.scheduler import Node
from lthsweep.plan.estimate import recipe_id
from lthsweep.plan.run import Plan, Run
from lthsweep.plan.steps import recipe_steps
from lthsweep.store import commit
from lthsweep.store.hashed import read_hashed, with_hash
from lthsweep.store.layout import SweepDir
from lthsweep.store.record import read_summary

__all__ = ["Work", "note_timing", "seconds_of", "seconds_per_epoch", "work_left"]


@dataclass(frozen=True)
class Work:
    """The runs of a plan that are left.

    Attributes:
        nodes: runs to train and dense runs to replay, parents first.
        found: the status from which they follow.
        replays: dense runs among the nodes that have a record, but lack snapshots.
    """

    nodes: tuple[Node, ...]
    found: DiskStatus
    replays: frozenset[str]


def work_left(plan: Plan, sweep: SweepDir) -> Work:
    """Return the runs that have no record and need no damaged one. Failed runs are among them: they are tried again."""
    found = read_disk_status(plan, sweep)
    replays = _missing_snapshots(plan, sweep, found.states)
    known = seconds_per_epoch(plan, sweep) if any(run.budget for run in plan.runs.values()) else {}
    nodes = []
    held = set(found.damaged)  # and the runs that need one of these records
    for key, run in plan.runs.items():
        if key in replays:
            nodes.append(Node(key, None, replays[key]))
        elif found.states[key] not in (RunStatus.DONE, RunStatus.SKIPPED, RunStatus.DAMAGED):
            parent = run.parent
            if parent and found.states[parent] is RunStatus.DONE:
                parent = run.trunk  # not done if its record was moved away after the parent was trained
            if parent in held:
                held.add(key)
            else:
                nodes.append(Node(key, parent, _length(run, known)))
    return Work(tuple(nodes), found, frozenset(replays))


def seconds_per_epoch(plan: Plan, sweep: SweepDir) -> dict[str, float]:
    """Return `recipe_id` → seconds of one epoch, as earlier runs of this directory measured it."""
    known: dict[str, float] = {}
    try:
        saved = json.loads(read_hashed(sweep.timings))
        known |= {str(name): float(value) for name, value in saved.items()}
    except (FileNotFoundError, StoreError, ValueError, AttributeError, TypeError):
        pass  # advisory: the records hold the same numbers
    recorded = set(sweep.record_keys())
    for run in plan.dense:
        name = recipe_id(run.recipe)
        if name not in known and run.key in recorded:
            with contextlib.suppress(CorruptRecordError, FileNotFoundError):
                curves = read_summary(sweep.record(run.key)).curves
                known[name] = float(curves["seconds"].mean())
    return known


def seconds_of(plan: Plan, node: Node, known: Mapping[str, float]) -> float | None:
    """Return the expected seconds of a run.

    Args:
        plan: all runs.
        node: the run, cost in epochs.
        known: from `seconds_per_epoch`.

    Returns:
        None if no run with its recipe was measured. A run with a time budget takes all of it.
    """
    run = plan[node.key]
    if run.budget is not None:
        return float(run.budget.seconds)
    seconds = known.get(recipe_id(run.recipe))
    return None if seconds is None else node.cost * seconds


def note_timing(plan: Plan, sweep: SweepDir, key: str, seconds: float) -> None:
    """Remember how long an epoch of a run took."""
    known = seconds_per_epoch(plan, sweep)
    known[recipe_id(plan[key].recipe)] = seconds
    content = json.dumps(known, indent=1, sort_keys=True).encode()
    commit.replace(sweep.timings, with_hash(sweep.timings, content), durable=False)


def _length(run: Run, known: Mapping[str, float]) -> float:
    """Return the length of a run in epochs; with a time budget, the epochs that fit at the known or 1 s per epoch."""
    if run.budget is None:
        return run.epochs(recipe_steps(run.recipe))
    return run.budget.seconds / known.get(recipe_id(run.recipe), 1.0)


def _missing_snapshots(plan: Plan, sweep: SweepDir, states: Mapping[str, RunStatus]) -> dict[str, float]:
    """Return finished dense runs that lack a snapshot for an unfinished ticket → epochs to replay.

    That happens when a rewind point joins the grid after the dense run was trained.
    """
    needed = {
        run.trunk
        for run in plan.tickets
        if states[run.key] not in (RunStatus.DONE, RunStatus.SKIPPED)
        and states[run.trunk] is RunStatus.DONE
        and run.prune
        and run.prune.returns_weights
    }
    points = plan.rewind_points()
    replays = {}
    for key in needed:
        length = int(read_summary(sweep.record(key)).measured.steps_per_epoch)
        present = sweep.snapshot_steps(key)
        missing = [step for point in points[key] if (step := point.step(length)) not in present]
        if missing:
            start = max((step for step in present if step <= min(missing)), default=0)
            replays[key] = (max(missing) - start) / length
    return replays
