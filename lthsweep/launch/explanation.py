"""Why a run is where it is, what would change that, and which command does. Pure.

`status`, `status --json` and `explain` print the same explanation. It follows from the `SweepStatus`, the one place
where record, claim, failure, journal and queue snapshot are compared.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lthsweep.launch.disk_status import RunStatus
from lthsweep.launch.slurm.array_tasks import AT_WORK, ArrayTask
from lthsweep.launch.slurm.halt import Halt
from lthsweep.launch.sweep_status import RunState, SweepStatus
from lthsweep.plan.run import Run
from lthsweep.wording import duration

__all__ = ["Explanation", "explain", "job_state", "root_of"]


@dataclass(frozen=True)
class Explanation:
    """One run's state in words.

    Attributes:
        reason: why the run is where it is; "" if its state is enough.
        change: the event that changes it; "" if it stays.
        command: the command that changes it; "" if it changes by itself.
    """

    reason: str = ""
    change: str = ""
    command: str = ""


def explain(state: RunState, status: SweepStatus, path: str) -> Explanation:
    """Return the explanation of a run.

    Args:
        state: of the run.
        status: of the sweep.
        path: of the sweep directory, for the commands.
    """
    return _EXPLANATIONS[state.state](state, status, path)


def root_of(state: RunState, status: SweepStatus) -> RunState:
    """Return the run that a waiting run waits for in the end: the first ancestor that can be trained or has failed."""
    while state.state is RunStatus.WAITING and state.waits_for is not None:
        state = status.runs[state.waits_for.key]
    return state


def job_state(task: ArrayTask) -> str:
    """Return SLURM's state of a job or its reason to wait, and the expected start."""
    queued = task.queued
    if queued is None:
        return "just submitted"
    if queued.state in AT_WORK:
        return "running"
    text = queued.reason or queued.state.lower()
    if queued.starts is None:
        return text
    return f"{text}, expected to start in {duration(max(0.0, queued.starts - time.time()))}"


def _done(state: RunState, status: SweepStatus, path: str) -> Explanation:
    return Explanation("it has a record")


def _running(state: RunState, status: SweepStatus, path: str) -> Explanation:
    beat = state.beat
    assert beat is not None
    rate = f"{beat.images_per_second:,.0f} samples/s, " if math.isfinite(beat.images_per_second) else ""
    queued = None if state.task is None else state.task.queued
    job = "" if queued is None else f"job {queued.id}, "
    age = duration(max(0.0, time.time() - beat.time))
    phase = "" if beat.phase == "train" else f"{beat.phase}, "
    epoch = f"{phase}epoch {beat.epoch:.1f} of {beat.epochs:g}"
    return Explanation(
        f"{epoch}, {rate}{job}host {beat.host} pid {beat.pid}, last heartbeat {age} ago", "its end"
    )


def _ready(state: RunState, status: SweepStatus, path: str) -> Explanation:
    attempt, queue = _last_attempt(state), status.queue
    if queue.tasks is None:
        return Explanation(attempt.removesuffix("; "), "a free worker takes it", f"lthsweep run {path}")
    if queue.halt is not None:
        return _halted(attempt, queue.halt, path)
    if state.task is not None and state.task.queued is not None:
        return Explanation(f"{attempt}for a worker, in job {state.task.queued.id}", "that job takes it")
    if state.failure is not None:
        return Explanation(
            f"{attempt}for a job that starts with it{_limit(status)}", "the next step submits one"
        )
    if queue.limit:
        return Explanation(f"for a worker{_limit(status)}", "a free worker takes it")
    return Explanation(
        "for a worker; less than slurm.floor_minutes of work gets no job", "a free worker takes it"
    )


def _waiting(state: RunState, status: SweepStatus, path: str) -> Explanation:
    root = root_of(state, status)
    parent = state.waits_for
    assert parent is not None
    further = "" if root.run.key == parent.key else f", which waits for {_name(root.run)}"
    return Explanation(
        f"for {_name(parent)}{further}",
        f"the end of that run, which is {root.state}",
        explain(root, status, path).command,
    )


def _pending(state: RunState, status: SweepStatus, path: str) -> Explanation:
    task = state.task
    assert task is not None
    job = f"{_job(task)}, {job_state(task)}"
    if status.queue.halt is not None:  # the job ends as soon as it starts
        return _halted(f"{job}; ", status.queue.halt, path)
    return Explanation(job, "SLURM starts the job, or another worker takes the run")


def _unknown(state: RunState, status: SweepStatus, path: str) -> Explanation:
    task = state.task
    assert task is not None
    if status.queue.silence:
        return Explanation(f"{_job(task)}, SLURM does not answer", "an answer of SLURM")
    return Explanation(
        f"{_job(task)}, not listed by SLURM",
        "the next step submits it again",
        f"lthsweep run {path} --on slurm",
    )


def _to_be_submitted(state: RunState, status: SweepStatus, path: str) -> Explanation:
    attempt, queue = _last_attempt(state), status.queue
    if queue.halt is not None:
        return _halted(attempt, queue.halt, path)
    if queue.silence:
        return Explanation(f"{attempt}SLURM does not answer", "an answer of SLURM")
    assert queue.tasks is not None
    limit = _limit(status)
    if queue.tasks.live and state.failure is None:
        return Explanation(f"no worker job runs yet{limit}", "a worker job starts and takes it")
    if queue.tasks.live:
        return Explanation(f"{attempt}for a job that starts with it{limit}", "the next step submits one")
    if (controller := queue.tasks.controller()) is not None:
        return Explanation(
            f"{attempt}no worker job is queued{limit}", f"the controller job {controller.job} submits one"
        )
    return Explanation(
        f"{attempt}no job is queued{limit}", "a new step", f"lthsweep run {path} --on slurm --wait"
    )


def _limit(status: SweepStatus) -> str:
    return f"; {status.queue.limit}" if status.queue.limit else ""


def _halted(before: str, halt: Halt, path: str) -> Explanation:
    retry = "" if halt.by == "user" else " --retry-failed"
    return Explanation(
        f"{before}the sweep is halted: {halt.why}",
        "resume the sweep",
        f"lthsweep run {path} --on slurm{retry}",
    )


def _failed(state: RunState, status: SweepStatus, path: str) -> Explanation:
    failure = state.failure
    assert failure is not None
    where = f", host {failure.host}" if failure.host else ""
    return Explanation(
        f"{failure.cause} (attempt {failure.attempt}{where})", "a new attempt", _retry(status, path)
    )


def _damaged(state: RunState, status: SweepStatus, path: str) -> Explanation:
    repair = f"lthsweep doctor {path} --quarantine; lthsweep run {path}"
    return Explanation("its record is damaged", "the record is moved away and the run trained again", repair)


def _canceled(state: RunState, status: SweepStatus, path: str) -> Explanation:
    return Explanation("the user canceled it", "a new attempt", _retry(status, path))


def _blocked(state: RunState, status: SweepStatus, path: str) -> Explanation:
    by = state.blocked_by
    what = "" if by is None else f"by {_name(by)}, which {status.runs[by.key].state}"
    what = what.replace("which canceled", "which was canceled").replace("which damaged", "which is damaged")
    if by is not None and status.runs[by.key].state is RunStatus.DAMAGED:
        return Explanation(
            what, "that run is trained again", explain(status.runs[by.key], status, path).command
        )
    return Explanation(what, "a new attempt at that run", _retry(status, path))


def _skipped(state: RunState, status: SweepStatus, path: str) -> Explanation:
    return Explanation("its parent diverged, so it has no starting point")


_EXPLANATIONS: Mapping[RunStatus, Callable[[RunState, SweepStatus, str], Explanation]] = {
    RunStatus.DONE: _done,
    RunStatus.RUNNING: _running,
    RunStatus.READY: _ready,
    RunStatus.WAITING: _waiting,
    RunStatus.PENDING: _pending,
    RunStatus.TO_BE_SUBMITTED: _to_be_submitted,
    RunStatus.UNKNOWN: _unknown,
    RunStatus.FAILED: _failed,
    RunStatus.BLOCKED: _blocked,
    RunStatus.DAMAGED: _damaged,
    RunStatus.CANCELED: _canceled,
    RunStatus.SKIPPED: _skipped,
}


def _retry(status: SweepStatus, path: str) -> str:
    """Return the command that tries failed runs again; local runs always do."""
    return f"lthsweep run {path}" + ("" if status.queue.tasks is None else " --on slurm --retry-failed")


def _last_attempt(state: RunState) -> str:
    return f"last attempt: {state.failure.cause}; " if state.failure else ""


def _job(task: ArrayTask) -> str:
    job = task.submission.job_id(task.index)
    return task.submission.name if job is None else f"job {job}"


def _name(run: Run) -> str:
    return f"{run.describe()} ({run.key[:8]})"
