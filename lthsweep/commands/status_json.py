"""The output of `status --json`. Its names are part of the interface."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TypeAlias

from lthsweep.commands.snapshot import Snapshot
from lthsweep.launch.disk_status import RunStatus
from lthsweep.launch.explanation import explain
from lthsweep.launch.slurm.queue_status import QueueStatus
from lthsweep.launch.sweep_status import RunState
from lthsweep.plan.estimate import cost_of

__all__ = ["status_json"]

JsonObject: TypeAlias = dict[str, object]


def status_json(snapshot: Snapshot) -> JsonObject:
    """The snapshot as a JSON object."""
    opened, status, usage = snapshot.opened, snapshot.status, snapshot.usage
    cost = cost_of(opened.plan, snapshot.on_disk.done)
    failed = status.those(RunStatus.FAILED, RunStatus.CANCELED)
    return {
        "name": opened.spec.sweep.name,
        "directory": str(opened.sweep.path),
        "runs": cost.runs,
        "epochs": cost.epochs,
        "epochs_left": cost.epochs_left,
        "seconds_left": _seconds_left(snapshot),
        "workers": None if snapshot.eta is None else snapshot.eta.estimate.workers,
        "hours": {
            "cores": round(usage.core_hours, 4),
            "gpus": round(usage.gpu_hours, 4),
            "exact": usage.exact,
            "saved": None if usage.saved is None else round(usage.saved, 4),
            "unit": usage.unit,
        },
        "foreign_records": len(snapshot.on_disk.foreign),
        "other_data": dict(snapshot.apart.other_data),
        "set_aside": [asdict(group) for group in snapshot.apart.pool.groups],
        "damaged_records": dict(snapshot.on_disk.damaged),
        "states": status.count(),
        "running": [_run(state, snapshot) for state in status.those(RunStatus.RUNNING)],
        "failures": {state.run.key: _run(state, snapshot) for state in failed},
        "slurm": None if status.queue.tasks is None else _slurm(status.queue),
        "run_list": [_run(state, snapshot) for state in status.runs.values()],
    }


def _seconds_left(snapshot: Snapshot) -> float | None:
    if snapshot.status.is_finished:
        return 0.0
    return None if snapshot.eta is None else round(snapshot.eta.estimate.wall, 1)


def _run(state: RunState, snapshot: Snapshot) -> JsonObject:
    """One run, without fields that do not apply to its state."""
    run: JsonObject = {"key": state.run.key, "run": state.run.describe(), "state": state.state}
    if reason := explain(state, snapshot.status, snapshot.opened.shell_path).reason:
        run["explanation"] = reason
    if (beat := state.beat) is not None:
        run |= {"epoch": beat.epoch, "epochs": beat.epochs, "host": beat.host, "pid": beat.pid}
        run |= {"phase": beat.phase}
        rate = beat.images_per_second
        run |= {"seen": beat.time, "images_per_second": rate if math.isfinite(rate) else None}
    if (failure := state.failure) is not None:
        run |= {"cause": failure.cause, "attempt": failure.attempt, "failed_on": failure.host}
    if (task := state.task) is not None:
        run |= {"submission": task.submission.name, "element": task.index, "job": task.submission.job}
        if task.queued is not None:
            run |= {"job_state": task.queued.state, "reason": task.queued.reason}
            run |= {"node": task.queued.node, "starts": task.queued.starts}
    if state.waits_for is not None:
        run["waits_for"] = state.waits_for.key
    if state.blocked_by is not None:
        run["blocked_by"] = state.blocked_by.key
    return run


def _slurm(jobs: QueueStatus) -> JsonObject:
    tasks = jobs.tasks
    assert tasks is not None
    controller = tasks.controller()
    ids = {task.submission.job for task in tasks.all if task.queued and task.submission.job}
    return {
        "silence": jobs.silence or None,
        "taken": jobs.taken,
        "halted": None if jobs.halt is None else {"why": jobs.halt.why, "by": jobs.halt.by},
        "controller": None if controller is None else {"job": controller.job, "submission": controller.name},
        "jobs": sorted(ids),
    }
