"""What `status --json` says of a sweep, under names that programs may rely on."""

from __future__ import annotations

import math
from typing import Any

from lthsweep.commands.seen import Seen, hours
from lthsweep.commands.sources import Source
from lthsweep.launch.disk_status import RunStatus
from lthsweep.launch.slurm.glance import Glance
from lthsweep.launch.sweep_status import RunState
from lthsweep.plan.estimate import cost_of

__all__ = ["as_json"]


def as_json(opened: Source, seen: Seen) -> dict[str, Any]:
    """Everything, under the names that `lthsweep status --json` promises."""
    cost = cost_of(opened.plan, seen.found.done)
    told, glance = hours(opened, seen), seen.states.glance
    running = seen.states.those(RunStatus.RUNNING)
    return {
        "name": opened.spec.sweep.name,
        "directory": str(opened.sweep.path),
        "runs": cost.runs,
        "epochs": cost.epochs,
        "epochs_left": cost.epochs_left,
        "seconds_left": _left(seen),
        "workers": None if seen.outlook is None else seen.outlook.estimate.workers,
        "hours": {
            "cores": round(told.cores, 4),
            "gpus": round(told.gpus, 4),
            "exact": told.exact,
            "spared": None if told.spared is None else round(told.spared, 4),
            "unit": told.unit,
        },
        "foreign_records": len(seen.found.foreign),
        "states": seen.states.count(),
        "running": [_facts(state) for state in running],
        "failures": {
            state.run.key: _facts(state) for state in seen.states.those(RunStatus.FAILED, RunStatus.CANCELED)
        },
        "slurm": None if glance.standing is None else _slurm(glance),
        "run_list": [_facts(state) for state in seen.states.runs.values()],
    }


def _left(seen: Seen) -> float | None:
    if seen.states.is_finished:
        return 0.0
    return None if seen.outlook is None else round(seen.outlook.estimate.wall, 1)


def _facts(state: RunState) -> dict[str, Any]:
    """One run as JSON; what does not apply is left out."""
    told: dict[str, Any] = {"key": state.run.key, "run": state.run.describe(), "state": state.state}
    if (beat := state.beat) is not None:
        told |= {"epoch": beat.epoch, "epochs": beat.epochs, "host": beat.host, "pid": beat.pid}
        told |= {"phase": beat.phase}
        told |= {"seen": beat.time, "images_per_second": beat.rate if math.isfinite(beat.rate) else None}
    if (failure := state.failure) is not None:
        told |= {"cause": failure.cause, "attempt": failure.attempt, "failed_on": failure.host}
    if (place := state.place) is not None:
        told |= {"submission": place.submission.name, "element": place.index, "job": place.submission.job}
        if place.queued is not None:
            told |= {"job_state": place.queued.state, "reason": place.queued.reason}
            told |= {"node": place.queued.node, "starts": place.queued.starts}
    if state.waits_for is not None:
        told["waits_for"] = state.waits_for.key
    if state.blocked_by is not None:
        told["blocked_by"] = state.blocked_by.key
    return told


def _slurm(glance: Glance) -> dict[str, Any]:
    standing = glance.standing
    assert standing is not None
    tick = standing.tick()
    return {
        "silence": glance.silence or None,
        "taken": glance.taken,
        "halted": None if glance.halt is None else {"why": glance.halt.why, "by": glance.halt.by},
        "follow_up": None if tick is None else {"job": tick.job, "submission": tick.name},
        "jobs": sorted(
            {place.submission.job for place in standing.places if place.queued and place.submission.job}
        ),
    }
