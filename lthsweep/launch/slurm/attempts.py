"""Failed attempts: the runs without another attempt, by the worker jobs that had them and have ended."""

from __future__ import annotations

import socket
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from lthsweep.launch.slurm.array_tasks import ArrayTask
from lthsweep.launch.slurm.decisions import note_decision
from lthsweep.launch.slurm.job_files import last_log_line, nodes_of, read_end, started
from lthsweep.launch.work import Work
from lthsweep.store import failures
from lthsweep.store.layout import SweepDir

__all__ = ["failed_attempts", "find_failed"]


def find_failed(
    sweep: SweepDir,
    work: Work,
    taken: Collection[str],
    ended: Sequence[ArrayTask],
    attempts: int,
    blocklisted: Collection[str],
) -> dict[str, str]:
    """Return run → cause for final failures and runs whose last `attempts` jobs all ended without progress.

    Jobs that ended on a blocklisted node do not count against a run.
    """
    found = {}
    missing = {node.key for node in work.nodes}
    tried: dict[str, list[_Attempt]] = {}
    for task in ended:
        if task.submission.kind == "workers" and not _was_on(sweep, task, blocklisted):
            for key, attempt in _attempts_of(sweep, task, missing).items():
                tried.setdefault(key, []).append(attempt)
    known = failures.read_failures(sweep)
    for node in work.nodes:
        failure = known.get(node.key)
        if failure is not None and failure.is_final:
            found[node.key] = failure.cause
        elif node.key not in taken:
            made = tried.get(node.key, [])
            count = failed_attempts([attempt.progressed for attempt in made])
            if count >= attempts:
                cause = failure.cause if failure else ""
                found[node.key] = _record(sweep, node.key, made[-1].task, count, cause)
    return found


@dataclass(frozen=True)
class _Attempt:
    """What an ended worker job did with a run: True for progress, False for a failed attempt."""

    task: ArrayTask
    progressed: bool


def _attempts_of(sweep: SweepDir, task: ArrayTask, missing: Collection[str]) -> dict[str, _Attempt]:
    """Return the attempts of an ended worker job at runs of its share, and at runs that it pulled and broke off.

    A job that wrote no end was killed before any progress. A job that made progress with one of its runs and was killed
    is not to blame for the others. A run that another worker took first was not attempted.
    """
    since = started(sweep, task.submission)
    end = read_end(sweep, task.submission.name, task.index)
    moved = {key for key in task.keys if key not in missing or _has_moved(sweep, key, since)}
    broke = set() if end is None else set(end.broke) - moved
    in_order = end is not None and not end.stopped
    without_progress = not moved and (
        end is None or (end.stopped == "time" and not end.worked and not end.failed)
    )
    found = {}
    for key in {*task.keys, *broke} & set(missing):
        if key in broke or (without_progress and not broke):
            found[key] = _Attempt(task, progressed=False)
        elif key in moved or not in_order:
            found[key] = _Attempt(task, progressed=True)
    return found


def failed_attempts(progressed: Sequence[bool]) -> int:
    """Return how many attempts in a row, up to the last, made no progress.

    Preempted and requeued jobs do not count: SLURM starts them again, so they are not gone.

    Args:
        progressed: attempts in order; whether each made progress, or was asked to stop.
    """
    count = 0
    for did in progressed:
        count = 0 if did else count + 1
    return count


def _has_moved(sweep: SweepDir, key: str, since: float) -> bool:
    try:
        return sweep.checkpoint(key).stat().st_mtime > since
    except OSError:
        return False


def _was_on(sweep: SweepDir, task: ArrayTask, nodes: Collection[str]) -> bool:
    """Return whether the last start of an element was on one of some nodes."""
    return bool(nodes) and nodes_of(sweep, task.submission.name, task.index)[-1:] in [(n,) for n in nodes]


def _record(sweep: SweepDir, key: str, last: ArrayTask, count: int, cause: str) -> str:
    """Record that a run reached the retry limit; `cause` is its last infrastructure failure, if known."""
    words = cause or last_log_line(sweep, last.submission, last.index)
    nodes = nodes_of(sweep, last.submission.name, last.index)
    cause = (
        f"{count} jobs in a row ended without progress, the last"
        f"{f' on {nodes[-1]}' if nodes else ','} as {last.submission.name}"
        f"{'' if nodes else f', which left no trace in {sweep.path}: do the compute nodes see this directory?'}"
        f"{f'; last log line: {words}' if words else ''}"
    )
    note_decision(sweep, f"gave up {key}: {cause}")
    failures.record_failure(
        sweep,
        key,
        failures.Failure(
            cause=cause,
            kind=failures.GAVE_UP,
            host=nodes[-1] if nodes else socket.gethostname(),
            attempt=count,
            log=str(sweep.submission(last.submission.name).relative_to(sweep.path)),
            time=time.time(),
            infrastructure=True,
        ),
    )
    return cause
