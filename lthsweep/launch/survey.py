"""What a sweep directory says about a plan: which runs are done, running, failed or waiting. Opens few files.

Finished means: there is a record. Everything else here is advice from `state/`, and may be wrong or gone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from lthsweep.errors import StoreError
from lthsweep.launch.task import STALE_SECONDS
from lthsweep.plan.estimate import recipe_id
from lthsweep.plan.run import Plan
from lthsweep.store import claims, commit, failures
from lthsweep.store.heartbeats import read_heartbeats
from lthsweep.store.layout import SweepDir
from lthsweep.store.record import read_summary

__all__ = ["RunState", "Survey", "missing_snapshots", "note_timing", "seconds_per_epoch", "survey"]

RunState = Literal["done", "running", "failed", "blocked", "cut off", "ready", "waiting"]


@dataclass(frozen=True)
class Survey:
    """The state of every planned run.

    Attributes:
        states: key → state. "ready" may start now, "waiting" waits for its parent, "blocked" for one that failed;
            "cut off" runs descend from one that diverged, and cannot be trained.
        failures: key → its last failure, for failed runs.
        heartbeats: key → what the worker that trains it last said.
        jobs: key → the SLURM job of that worker; "" if it is in none.
        foreign: keys of records that this plan does not contain (an earlier grid or recipe).
    """

    states: Mapping[str, RunState]
    failures: Mapping[str, failures.Failure]
    heartbeats: Mapping[str, heartbeats.Heartbeat]
    foreign: frozenset[str]
    jobs: Mapping[str, str] = field(default_factory=dict)

    @property
    def done(self) -> frozenset[str]:
        """Keys of finished runs."""
        return frozenset(key for key, state in self.states.items() if state == "done")

    def count(self, state: RunState) -> int:
        """How many runs are in a state."""
        return sum(found == state for found in self.states.values())


def survey(plan: Plan, sweep: SweepDir) -> Survey:
    """Look at a sweep directory, which need not exist, with the eyes of a plan."""
    recorded = set(sweep.record_keys())
    failed = failures.read_failures(sweep)
    heartbeats, jobs = {}, {}
    for beat in (one for worker in read_heartbeats(sweep) for one in worker.of_each()):
        if beat.key in plan.runs and (owner := claims.holder(sweep, beat.key, STALE_SECONDS)):
            heartbeats[beat.key] = beat
            jobs[beat.key] = owner.job
    diverged = _diverged_parents(plan, sweep, recorded)
    states: dict[str, RunState] = {}
    for key, run in plan.runs.items():  # parents come first
        if key in recorded:
            states[key] = "done"
        elif run.parent in diverged or (run.parent and states[run.parent] == "cut off"):
            states[key] = "cut off"
        elif key in heartbeats:
            states[key] = "running"
        elif key in failed:
            states[key] = "failed"
        elif run.parent is None or states[run.parent] == "done":
            states[key] = "ready"
        elif states[run.parent] in ("failed", "blocked"):
            states[key] = "blocked"
        else:
            states[key] = "waiting"
    planned_failures = {key: failure for key, failure in failed.items() if states.get(key) == "failed"}
    return Survey(states, planned_failures, heartbeats, frozenset(recorded - plan.runs.keys()), jobs)


def _diverged_parents(plan: Plan, sweep: SweepDir, recorded: set[str]) -> set[str]:
    """Finished runs with unfinished children that diverged; only these records are opened."""
    parents = {
        run.parent
        for key, run in plan.runs.items()
        if key not in recorded and run.parent in recorded and run.parent
    }
    return {key for key in parents if _outcome(sweep, key) == "diverged"}


def _outcome(sweep: SweepDir, key: str) -> str:
    try:
        return read_summary(sweep.record(key)).outcome
    except StoreError:  # damaged: `doctor` says so, and the child's own attempt will
        return "unreadable"


def missing_snapshots(plan: Plan, sweep: SweepDir, states: Mapping[str, RunState]) -> dict[str, float]:
    """Finished trunks that must be walked again for rewind points that joined the grid later.

    Returns:
        Trunk key → epochs to walk. Only trunks that unfinished tickets still need.
    """
    needed = {
        run.trunk
        for run in plan.tickets
        if states[run.key] not in ("done", "cut off")
        and states[run.trunk] == "done"
        and run.prune
        and run.prune.returns_weights
    }
    points = plan.rewind_points()
    walks = {}
    for key in needed:
        steps_per_epoch = int(read_summary(sweep.record(key)).measured.steps_per_epoch)
        there = sweep.snapshot_steps(key)
        missing = [step for point in points[key] if (step := point.step(steps_per_epoch)) not in there]
        if missing:
            start = max((step for step in there if step <= min(missing)), default=0)
            walks[key] = (max(missing) - start) / steps_per_epoch
    return walks


def seconds_per_epoch(plan: Plan, sweep: SweepDir) -> dict[str, float]:
    """Recipe → seconds of one epoch, as recorded by earlier runs of this directory; empty if there were none."""
    known: dict[str, float] = {}
    try:
        saved = json.loads(commit.read_whole(sweep.timings))
        known |= {str(name): float(value) for name, value in saved.items()}
    except (FileNotFoundError, StoreError, ValueError, AttributeError, TypeError):
        pass  # advice only; the records know as well
    recorded = set(sweep.record_keys())
    for run in plan.dense:
        name = recipe_id(run.recipe)
        if name not in known and run.key in recorded:
            curves = read_summary(sweep.record(run.key)).curves
            known[name] = float(curves["seconds"].mean())
    return known


def note_timing(plan: Plan, sweep: SweepDir, key: str, seconds: float) -> None:
    """Remember how long an epoch of a run took."""
    known = seconds_per_epoch(plan, sweep)
    known[recipe_id(plan[key].recipe)] = seconds
    commit.replace(sweep.timings, json.dumps(known, indent=1, sort_keys=True).encode(), durable=False)
