"""The status of every run by the files of its sweep directory. Opens few files.

A run is done if it has a record. Everything else is read from `state/`, which is advisory: it can be wrong or missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from enum import StrEnum

from lthsweep.errors import StoreError
from lthsweep.launch.task import STALE_SECONDS
from lthsweep.plan.run import Plan
from lthsweep.store import claims, failures
from lthsweep.store.checked import check_records
from lthsweep.store.heartbeats import Heartbeat, read_heartbeats
from lthsweep.store.layout import SweepDir
from lthsweep.store.record import read_summary

__all__ = ["DiskStatus", "RunStatus", "read_disk_status"]


class RunStatus(StrEnum):
    """The status of a run, as `status` prints it. Files alone tell neither PENDING, TO_BE_SUBMITTED nor UNKNOWN."""

    DONE = "done"  # has a record
    RUNNING = "running"  # has a live worker
    READY = "ready"  # starts as soon as a worker is free
    WAITING = "waiting"  # for its parent
    PENDING = "pending"  # has a job that SLURM has not started
    TO_BE_SUBMITTED = "to be submitted"  # has no job yet, in a sweep that goes to SLURM
    UNKNOWN = "unknown"  # was submitted, and SLURM gives no information about it
    FAILED = "failed"
    DAMAGED = "damaged"  # has a record whose bytes changed; `doctor --quarantine` and `run` repair it
    BLOCKED = "blocked"  # descends from a run that failed, was canceled, or has a damaged record
    CANCELED = "canceled"
    SKIPPED = "skipped"  # descends from a run that diverged, so it cannot be trained


@dataclass(frozen=True)
class DiskStatus:
    """The status of every planned run, by files.

    Attributes:
        states: key → status.
        failures: key → last failure, of failed runs.
        heartbeats: key → last heartbeat of the worker that trains it.
        foreign: keys of records that are not in this plan (of an earlier grid or recipe).
        jobs: key → SLURM job of its worker; "" if the worker is in no job.
        damaged: key → damage of its record, also of runs outside this plan.
    """

    states: Mapping[str, RunStatus]
    failures: Mapping[str, failures.Failure]
    heartbeats: Mapping[str, Heartbeat]
    foreign: frozenset[str]
    jobs: Mapping[str, str] = field(default_factory=dict)
    damaged: Mapping[str, str] = field(default_factory=dict)

    @property
    def done(self) -> frozenset[str]:
        """Keys of runs that have a record."""
        return frozenset(key for key, state in self.states.items() if state is RunStatus.DONE)

    @property
    def is_complete(self) -> bool:
        """Whether every run that can be trained has a record."""
        return all(state in (RunStatus.DONE, RunStatus.SKIPPED) for state in self.states.values())


def read_disk_status(plan: Plan, sweep: SweepDir) -> DiskStatus:
    """Return the status of every run of a plan, by a sweep directory that need not exist."""
    checked = check_records(sweep)
    recorded = checked.digests.keys() | checked.damaged.keys()
    failed = failures.read_failures(sweep)
    heartbeats, jobs = {}, {}
    for beat in (one for worker in read_heartbeats(sweep) for one in worker.of_each()):
        if beat.key in plan.runs and (owner := claims.holder(sweep, beat.key, STALE_SECONDS)):
            heartbeats[beat.key] = beat
            jobs[beat.key] = owner.job
    diverged = _diverged_parents(plan, sweep, recorded, checked.digests.keys())
    states: dict[str, RunStatus] = {}
    for key, run in plan.runs.items():  # parents come first
        parent = states[run.parent] if run.parent else RunStatus.DONE
        if parent is RunStatus.DONE and run.trunk != key:
            parent = states[run.trunk]  # not done if its record was moved away after the parent was trained
        if key in checked.damaged:
            states[key] = RunStatus.DAMAGED
        elif key in recorded:
            states[key] = RunStatus.DONE
        elif run.parent in diverged or parent is RunStatus.SKIPPED:
            states[key] = RunStatus.SKIPPED
        elif key in heartbeats:
            states[key] = RunStatus.RUNNING
        elif key in failed:
            states[key] = RunStatus.FAILED
        elif parent is RunStatus.DONE:
            states[key] = RunStatus.READY
        elif parent in (RunStatus.FAILED, RunStatus.BLOCKED, RunStatus.DAMAGED):
            states[key] = RunStatus.BLOCKED
        else:
            states[key] = RunStatus.WAITING
    planned = {key: failure for key, failure in failed.items() if states.get(key) is RunStatus.FAILED}
    return DiskStatus(
        states, planned, heartbeats, frozenset(recorded - plan.runs.keys()), jobs, checked.damaged
    )


def _diverged_parents(plan: Plan, sweep: SweepDir, recorded: Set[str], sound: Set[str]) -> set[str]:
    """Return finished runs with unfinished children that diverged; opens no other records."""
    parents = {
        run.parent
        for key, run in plan.runs.items()
        if key not in recorded and run.parent in sound and run.parent
    }
    return {key for key in parents if _has_diverged(sweep, key)}


def _has_diverged(sweep: SweepDir, key: str) -> bool:
    try:
        return read_summary(sweep.record(key)).outcome == "diverged"
    except StoreError:  # changed since it was checked: the attempt at the child fails
        return False
