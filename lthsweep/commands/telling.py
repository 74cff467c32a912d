"""What `status` says of a sweep: first the numbers, then what is going on, then what is not."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

from lthsweep.commands.display import duration
from lthsweep.commands.seen import Seen, hours
from lthsweep.commands.sources import Source, table_alone
from lthsweep.launch.disk_status import RunStatus
from lthsweep.launch.slurm.glance import AT_WORK
from lthsweep.launch.sweep_status import RunState, SweepStatus
from lthsweep.plan.run import Run

__all__ = ["as_text", "counts"]

_MOST = 20
"""So many lines of a kind are printed before "… and … more"."""

_OLD_SECONDS = 30.0
"""A look at the queue older than this is said to be old."""

_ALWAYS = (
    RunStatus.DONE,
    RunStatus.RUNNING,
    RunStatus.READY,
    RunStatus.WAITING,
    RunStatus.FAILED,
    RunStatus.BLOCKED,
)
"""States that are counted aloud even if no run is in them."""


def counts(opened: Source, seen: Seen) -> str:
    """The first line: how many runs are in each state."""
    numbers = seen.states.count()
    parts = [f"{numbers[RunStatus.DONE]} of {len(opened.plan.runs)} runs done"]
    for state, number in numbers.items():
        if state is not RunStatus.DONE and (number or state in _ALWAYS):
            parts.append(f"{number} {_COUNTED.get(state, state)}")
    return f"{opened.spec.sweep.name}: {', '.join(parts)}"


def as_text(opened: Source, seen: Seen, *, all_runs: bool = False) -> str:
    """The whole picture, in lines.

    Args:
        opened: the sweep.
        seen: what was found.
        all_runs: one line for every run, in the order of the plan.
    """
    lines = [counts(opened, seen), *_circumstances(opened, seen.states)]
    if all_runs:
        lines += [_line(state) for state in seen.states.runs.values()]
    else:
        lines += _some(map(_line, seen.states.those(RunStatus.RUNNING)), "running")
        lines += _some(_pending(seen.states), "jobs that wait")
        lines += _unsubmitted(opened, seen.states)
        for kind in (RunStatus.UNKNOWN, RunStatus.FAILED, RunStatus.CANCELED, RunStatus.BLOCKED):
            lines += _some(map(_line, seen.states.those(kind)), kind)
    return "\n".join([*lines, *_end(opened, seen)])


_UNDER_WAY = (RunStatus.RUNNING, RunStatus.READY, RunStatus.PENDING, RunStatus.UNKNOWN)
_COUNTED = {RunStatus.BLOCKED: "blocked by a failed run", RunStatus.SKIPPED: "skipped after a diverged run"}


def _circumstances(opened: Source, states: SweepStatus) -> Iterator[str]:
    """What is to be known before the numbers are believed."""
    glance, path = states.glance, opened.sweep.path
    yield from (f"  {line}" for line in table_alone(opened))
    if glance.hidden:
        yield "  its state/ may be read by its owner only: what has no record may be running, or have failed"
    if glance.silence:
        yield f"  SLURM does not answer ({glance.silence}); what follows is from the disk alone"
    if glance.halt is not None:
        again = " --retry-failed" if glance.halt.by == "breaker" else ""
        mend = "mend the cause, then " if glance.halt.by == "breaker" else ""
        yield f"  halted: {glance.halt.why}; {mend}`lthsweep run {path} --on slurm{again}` goes on"
    if glance.standing is None or glance.silence or states.is_over:
        return
    if (age := time.time() - glance.taken) > _OLD_SECONDS:
        yield f"  SLURM's queue as of {duration(age)} ago; it is not asked more often"
    if (tick := glance.standing.tick()) is not None:
        queued = next(p.queued for p in glance.standing.places if p.submission.name == tick.name)
        how = "just submitted" if queued is None else _waits(queued.state, queued.reason, queued.starts)
        yield f"  follow-up: job {tick.job or '?'} {tick.name}, {how}"
    elif glance.halt is None:
        yield "  no follow-up is in the queue; the last job steps in, or `lthsweep run` with --on slurm"


def _pending(states: SweepStatus) -> Iterator[str]:
    """Jobs that wait, those of one array with one reason on one line."""
    groups: dict[tuple[str, str], list[RunState]] = {}
    for state in states.those(RunStatus.PENDING):
        assert state.place is not None
        queued = state.place.queued
        how = "just submitted" if queued is None else _waits(queued.state, queued.reason, queued.starts)
        groups.setdefault((state.place.submission.job or "?", how), []).append(state)
    for (job, how), found in groups.items():
        elements = len({state.place.index for state in found if state.place})
        yield f"  pending job {job}, {_number(elements, 'element')}, {_number(len(found), 'run')}: {how}"


def _unsubmitted(opened: Source, states: SweepStatus) -> Iterator[str]:
    found = states.those(RunStatus.TO_BE_SUBMITTED)
    if not found or states.glance.standing is None:
        return
    tick = states.glance.standing.tick()
    if states.glance.halt is not None:
        yield f"  {_number(len(found), 'run')} to be submitted by nobody: the sweep is halted"
    elif tick is not None:
        yield f"  {_number(len(found), 'run')} to be submitted by the follow-up, job {tick.job or '?'}"
    elif not states.those(*_UNDER_WAY):
        yield f"  nothing is queued for {_number(len(found), 'run')}: `lthsweep run {opened.sweep.path} --on slurm`"


def _end(opened: Source, seen: Seen) -> Iterator[str]:
    view = seen.outlook
    if view is not None:
        workers = _number(view.estimate.workers, "worker")
        on = f"{workers} of this machine"
        if seen.states.glance.standing is not None:
            jobs = f" of {_number(view.jobs, 'job')}" if view.jobs else ""
            on = f"the {workers}{jobs} at work now" if view.at_work else f"{workers}{jobs} once these start"
        yield f"  at least {duration(view.estimate.wall)} left on {on}"
    told = hours(opened, seen)
    spent = [
        f"{_hours(amount)} {unit}"
        for amount, unit in ((told.gpus, "GPU-hours"), (told.cores, "core-hours"))
        if amount
    ]
    if spent:
        about = "" if told.exact else "about "
        spared = f"; sharing spares {_hours(told.spared)} in all" if told.spared else ""
        yield f"  {about}{' and '.join(spent)} in finished runs{spared}"


def _line(state: RunState) -> str:
    text = f"  {state.state:9} {state.run.key[:8]} {state.run.describe()}"
    told = _TOLD.get(state.state)
    detail = told(state) if told is not None else ""
    return f"{text}: {detail}" if detail else text


def _running(state: RunState) -> str:
    beat = state.beat
    assert beat is not None
    rate = f"{beat.rate:,.0f} samples/s, " if math.isfinite(beat.rate) else ""
    place = state.place
    job = f"job {place.queued.id}, " if place is not None and place.queued is not None else ""
    seen = duration(max(0.0, time.time() - beat.time))
    phase = "" if beat.phase == "train" else f"{beat.phase}, "
    epoch = f"{phase}epoch {beat.epoch:.1f} of {beat.epochs:g}"
    return f"{epoch}, {rate}{job}host {beat.host} pid {beat.pid}, seen {seen} ago"


def _job(state: RunState) -> str:
    """What the job of a run that has no worker yet is doing."""
    if state.place is None:
        return f"for {_named(state.waits_for)}" if state.waits_for else ""
    queued, submission = state.place.queued, state.place.submission
    if queued is None:
        job = f"job {submission.job}_{state.place.index}" if submission.job else submission.name
        return f"{job}, {'just submitted' if state.state is RunStatus.PENDING else 'which SLURM says nothing of'}"
    if queued.state in AT_WORK:
        return f"for {_named(state.waits_for) if state.waits_for else 'a worker'}, in job {queued.id}"
    return f"job {queued.id}, {_waits(queued.state, queued.reason, queued.starts)}"


def _failed(state: RunState) -> str:
    failure = state.failure
    assert failure is not None
    where = f", host {failure.host}" if failure.host else ""
    return f"{failure.cause} (attempt {failure.attempt}{where})"


def _again(state: RunState) -> str:
    waits = f"after {_named(state.waits_for)}" if state.waits_for else ""
    ended = f"it ended before: {state.failure.cause}" if state.failure else ""
    return "; ".join(part for part in (waits, ended) if part)


_TOLD: Mapping[RunStatus, Callable[[RunState], str]] = {
    RunStatus.RUNNING: _running,
    RunStatus.READY: _job,
    RunStatus.WAITING: _job,
    RunStatus.PENDING: _job,
    RunStatus.UNKNOWN: _job,
    RunStatus.TO_BE_SUBMITTED: _again,
    RunStatus.FAILED: _failed,
    RunStatus.CANCELED: lambda state: "",
    RunStatus.BLOCKED: lambda state: f"by {_named(state.blocked_by)}" if state.blocked_by else "",
}


def _waits(state: str, reason: str, starts: float | None) -> str:
    """How SLURM puts it, and when it expects the start."""
    said = reason or state.lower()
    if state in AT_WORK:
        return "at work"
    if starts is None:
        return said
    return f"{said}, expected to start in {duration(max(0.0, starts - time.time()))}"


def _some(lines: Iterable[str], kind: str) -> list[str]:
    found = list(lines)
    rest = len(found) - _MOST
    return found[:_MOST] + ([f"  … and {rest} more {kind} (--runs lists all)"] if rest > 0 else [])


def _named(run: Run) -> str:
    return f"{run.describe()} ({run.key[:8]})"


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _hours(amount: float) -> str:
    return f"{amount:,.0f}" if amount >= 100 else f"{amount:.2g}"
