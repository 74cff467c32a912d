"""The text of `status`: counts, then conditions and runs, then the time left and the hours used."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator

from lthsweep.commands.snapshot import Snapshot
from lthsweep.commands.sources import damaged_records, table_alone
from lthsweep.launch.disk_status import RunStatus
from lthsweep.launch.explanation import explain, job_state
from lthsweep.launch.sweep_status import RunState, SweepStatus
from lthsweep.wording import duration, plural

__all__ = ["conditions", "status_counts", "status_text"]

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

_COUNTED = {
    RunStatus.DAMAGED: "with a damaged record",
    RunStatus.BLOCKED: "blocked by a failed run or a damaged record",
    RunStatus.SKIPPED: "skipped after a diverged run",
}


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
    lines = [status_counts(snapshot), *conditions(snapshot)]
    if all_runs:
        lines += [_run_line(state, snapshot) for state in status.runs.values()]
    else:
        lines += _first((_run_line(s, snapshot) for s in status.those(RunStatus.RUNNING)), "running")
        lines += _first(_pending_jobs(status), "pending jobs")
        lines += _to_be_submitted(snapshot)
        for kind in (
            RunStatus.UNKNOWN,
            RunStatus.FAILED,
            RunStatus.DAMAGED,
            RunStatus.CANCELED,
            RunStatus.BLOCKED,
        ):
            lines += _first((_run_line(state, snapshot) for state in status.those(kind)), kind)
    return "\n".join([*lines, *_time_left(snapshot), *_hours_used(snapshot)])


def conditions(snapshot: Snapshot) -> Iterator[str]:
    """Conditions that limit what the numbers mean: hidden files, a silent SLURM, a halted sweep."""
    status, path = snapshot.status, snapshot.opened.shell_path
    jobs = status.queue
    yield from (f"  {line}" for line in table_alone(snapshot.opened))
    yield from (f"  {line}" for line in damaged_records(snapshot.opened, snapshot.on_disk))
    yield from (f"  {line}" for line in snapshot.apart.notes(path))
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
        state = job_state(next(task for task in jobs.tasks.all if task.submission.name == controller.name))
        yield f"  controller: job {controller.job or '?'} {controller.name}, {state}"
    elif jobs.halt is None:
        why = f" ({jobs.limit})" if jobs.limit else ""
        yield f"  no controller job is queued{why}; `lthsweep run {path} --on slurm --wait` continues from here"


def _pending_jobs(status: SweepStatus) -> Iterator[str]:
    """Pending jobs; those of one array with one reason on one line."""
    groups: dict[tuple[str, str], list[RunState]] = {}
    for state in status.those(RunStatus.PENDING):
        assert state.task is not None
        reason = job_state(state.task)
        groups.setdefault((state.task.submission.job or "?", reason), []).append(state)
    for (job, reason), found in groups.items():
        elements = len({state.task.index for state in found if state.task})
        yield f"  pending job {job}, {plural(elements, 'element')}, {plural(len(found), 'run')}: {reason}"


def _to_be_submitted(snapshot: Snapshot) -> Iterator[str]:
    """Runs without a job; those with one reason on one line."""
    path = snapshot.opened.shell_path
    found = Counter(
        explain(state, snapshot.status, path) for state in snapshot.status.those(RunStatus.TO_BE_SUBMITTED)
    )
    for text, number in found.items():
        command = f"; `{text.command}`" if text.command else ""
        yield f"  {plural(number, 'ready run')} to be submitted: {text.reason}; {text.change}{command}"


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


def _run_line(state: RunState, snapshot: Snapshot) -> str:
    text = f"  {state.state:9} {state.run.key[:8]} {state.run.describe()}"
    reason = explain(state, snapshot.status, snapshot.opened.shell_path).reason
    return f"{text}: {reason}" if reason and state.state is not RunStatus.DONE else text


def _first(lines: Iterable[str], kind: str) -> list[str]:
    """The first lines, and the number of the others."""
    found = list(lines)
    rest = len(found) - _MOST
    return found[:_MOST] + ([f"  … and {rest} more {kind} (--runs lists all)"] if rest > 0 else [])


def _hours(amount: float) -> str:
    return f"{amount:,.0f}" if amount >= 100 else f"{amount:.2g}"
