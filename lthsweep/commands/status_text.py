"""The text of `status`: counts, then conditions and runs, then the time left and the hours used."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

from lthsweep.commands.snapshot import Snapshot
from lthsweep.commands.sources import table_alone
from lthsweep.launch.disk_status import RunStatus
from lthsweep.launch.slurm.array_tasks import AT_WORK
from lthsweep.launch.sweep_status import RunState, SweepStatus
from lthsweep.plan.run import Run
from lthsweep.wording import duration, plural

__all__ = ["status_counts", "status_text"]

_MOST = 20
"""Number of lines of a kind that are printed; the others are counted."""

_OLD_SECONDS = 30.0
"""The text gives the age of a queue listing that is older than this."""

_ALWAYS = (
    RunStatus.DONE,
    RunStatus.RUNNING,
    RunStatus.READY,
    RunStatus.WAITING,
    RunStatus.FAILED,
    RunStatus.BLOCKED,
)
"""Statuses that are counted even if no run has them."""

_COUNTED = {RunStatus.BLOCKED: "blocked by a failed run", RunStatus.SKIPPED: "skipped after a diverged run"}


def status_counts(snapshot: Snapshot) -> str:
    """The first line: the number of runs with each status."""
    numbers = snapshot.status.count()
    parts = [f"{numbers[RunStatus.DONE]} of {len(snapshot.opened.plan.runs)} runs done"]
    for state, number in numbers.items():
        if state is not RunStatus.DONE and (number or state in _ALWAYS):
            parts.append(f"{number} {_COUNTED.get(state, state)}")
    return f"{snapshot.opened.spec.sweep.name}: {', '.join(parts)}"


def status_text(snapshot: Snapshot, *, all_runs: bool = False) -> str:
    """The whole text.

    Args:
        snapshot: the state of the sweep.
        all_runs: print one line for every run, in the order of the plan.
    """
    status = snapshot.status
    lines = [status_counts(snapshot), *_conditions(snapshot)]
    if all_runs:
        lines += [_run_line(state) for state in status.runs.values()]
    else:
        lines += _first(map(_run_line, status.those(RunStatus.RUNNING)), "running")
        lines += _first(_pending_jobs(status), "pending jobs")
        lines += _to_be_submitted(snapshot)
        for kind in (RunStatus.UNKNOWN, RunStatus.FAILED, RunStatus.CANCELED, RunStatus.BLOCKED):
            lines += _first(map(_run_line, status.those(kind)), kind)
    return "\n".join([*lines, *_time_left(snapshot), *_hours_used(snapshot)])


def _conditions(snapshot: Snapshot) -> Iterator[str]:
    """Conditions that limit what the numbers mean: hidden files, a silent SLURM, a halted sweep."""
    status, path = snapshot.status, snapshot.opened.sweep.path
    jobs = status.queue
    yield from (f"  {line}" for line in table_alone(snapshot.opened))
    if jobs.hidden:
        yield "  its state/ is readable by its owner only: runs without a record can be running or failed"
    if jobs.silence:
        yield f"  SLURM does not answer ({jobs.silence}); the rest is from the disk alone"
    if jobs.halt is not None:
        by_breaker = jobs.halt.by == "breaker"
        remedy = f"`lthsweep run {path} --on slurm{' --retry-failed' if by_breaker else ''}` continues"
        yield f"  halted: {jobs.halt.why}; {'fix the cause, then ' if by_breaker else ''}{remedy}"
    if jobs.tasks is None or jobs.silence or status.is_over:
        return
    if (age := time.time() - jobs.taken) > _OLD_SECONDS:
        yield f"  SLURM's queue as of {duration(age)} ago; it is not queried more often"
    if (controller := jobs.tasks.controller()) is not None:
        queued = next(p.queued for p in jobs.tasks.all if p.submission.name == controller.name)
        state = "just submitted" if queued is None else _job_state(queued.state, queued.reason, queued.starts)
        yield f"  controller: job {controller.job or '?'} {controller.name}, {state}"
    elif jobs.halt is None:
        why = f" (the last submission failed: {jobs.refused})" if jobs.refused else ""
        yield f"  no controller job is queued{why}; `lthsweep run {path} --on slurm --wait` continues from here"


def _pending_jobs(status: SweepStatus) -> Iterator[str]:
    """Pending jobs; those of one array with one reason on one line."""
    groups: dict[tuple[str, str], list[RunState]] = {}
    for state in status.those(RunStatus.PENDING):
        assert state.task is not None
        queued = state.task.queued
        reason = (
            "just submitted" if queued is None else _job_state(queued.state, queued.reason, queued.starts)
        )
        groups.setdefault((state.task.submission.job or "?", reason), []).append(state)
    for (job, reason), found in groups.items():
        elements = len({state.task.index for state in found if state.task})
        yield f"  pending job {job}, {plural(elements, 'element')}, {plural(len(found), 'run')}: {reason}"


def _to_be_submitted(snapshot: Snapshot) -> Iterator[str]:
    status, path = snapshot.status, snapshot.opened.sweep.path
    found = status.those(RunStatus.TO_BE_SUBMITTED)
    if not found or status.queue.tasks is None:
        return
    runs = plural(len(found), "ready run")
    controller = status.queue.tasks.controller()
    if status.queue.halt is not None:
        yield f"  {runs} not submitted: the sweep is halted"
    elif status.queue.tasks.live:
        yield f"  {runs} without a job: the next free worker takes them"
    elif controller is not None:
        yield f"  {runs} to be submitted by the controller job {controller.job or '?'}"
    else:
        yield f"  no job is queued for {runs}: `lthsweep run {path} --on slurm` submits them"


def _time_left(snapshot: Snapshot) -> Iterator[str]:
    eta = snapshot.eta
    if eta is None:
        return
    workers = plural(eta.estimate.workers, "worker")
    on = f"{workers} of this machine"
    if snapshot.status.queue.tasks is not None:
        jobs = f" of {plural(eta.jobs, 'job')}" if eta.jobs else ""
        on = f"the {workers}{jobs} running now" if eta.at_work else f"{workers}{jobs} once they start"
    yield f"  at least {duration(eta.estimate.wall)} left on {on}"


def _hours_used(snapshot: Snapshot) -> Iterator[str]:
    usage = snapshot.usage
    used = [
        f"{_hours(amount)} {unit}"
        for amount, unit in ((usage.gpu_hours, "GPU-hours"), (usage.core_hours, "core-hours"))
        if amount
    ]
    if used:
        about = "" if usage.exact else "about "
        saved = f"; sharing saves {_hours(usage.saved)} in all" if usage.saved else ""
        yield f"  {about}{' and '.join(used)} in finished runs{saved}"


def _run_line(state: RunState) -> str:
    text = f"  {state.state:9} {state.run.key[:8]} {state.run.describe()}"
    detail = _DETAILS[state.state](state) if state.state in _DETAILS else ""
    return f"{text}: {detail}" if detail else text


def _running(state: RunState) -> str:
    beat = state.beat
    assert beat is not None
    rate = f"{beat.images_per_second:,.0f} samples/s, " if math.isfinite(beat.images_per_second) else ""
    task = state.task
    job = f"job {task.queued.id}, " if task is not None and task.queued is not None else ""
    age = duration(max(0.0, time.time() - beat.time))
    phase = "" if beat.phase == "train" else f"{beat.phase}, "
    epoch = f"{phase}epoch {beat.epoch:.1f} of {beat.epochs:g}"
    return f"{epoch}, {rate}{job}host {beat.host} pid {beat.pid}, seen {age} ago"


def _job(state: RunState) -> str:
    """The job of a run without a worker."""
    if state.task is None:
        return ""
    queued, submission = state.task.queued, state.task.submission
    if queued is None:
        job = submission.job_id(state.task.index) or submission.name
        return f"job {job}, {'just submitted' if state.state is RunStatus.PENDING else 'not listed by SLURM'}"
    if queued.state in AT_WORK:
        return f"for a worker, in job {queued.id}"
    return f"job {queued.id}, {_job_state(queued.state, queued.reason, queued.starts)}"


def _failed(state: RunState) -> str:
    failure = state.failure
    assert failure is not None
    where = f", host {failure.host}" if failure.host else ""
    return f"{failure.cause} (attempt {failure.attempt}{where})"


def _last_attempt(state: RunState) -> str:
    return f"last attempt: {state.failure.cause}" if state.failure else ""


_DETAILS: Mapping[RunStatus, Callable[[RunState], str]] = {
    RunStatus.RUNNING: _running,
    RunStatus.READY: _job,
    RunStatus.WAITING: lambda state: f"for {_name(state.waits_for)}" if state.waits_for else "",
    RunStatus.PENDING: _job,
    RunStatus.UNKNOWN: _job,
    RunStatus.TO_BE_SUBMITTED: _last_attempt,
    RunStatus.FAILED: _failed,
    RunStatus.BLOCKED: lambda state: f"by {_name(state.blocked_by)}" if state.blocked_by else "",
}


def _job_state(state: str, reason: str, starts: float | None) -> str:
    """SLURM's reason or state, and the expected start."""
    if state in AT_WORK:
        return "running"
    text = reason or state.lower()
    if starts is None:
        return text
    return f"{text}, expected to start in {duration(max(0.0, starts - time.time()))}"


def _first(lines: Iterable[str], kind: str) -> list[str]:
    """The first lines, and the number of the others."""
    found = list(lines)
    rest = len(found) - _MOST
    return found[:_MOST] + ([f"  … and {rest} more {kind} (--runs lists all)"] if rest > 0 else [])


def _name(run: Run) -> str:
    return f"{run.describe()} ({run.key[:8]})"


def _hours(amount: float) -> str:
    return f"{amount:,.0f}" if amount >= 100 else f"{amount:.2g}"
