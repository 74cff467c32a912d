"""Query SLURM's queue: one squeue per query, and one sacct for each job name that is not in the queue.

Accounting is optional: a cluster can run without it, or it can be down for hours. It must never block a sweep.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from lthsweep.errors import ClusterSilentError, StoreError
from lthsweep.launch.slurm.cluster.ask import Answer, ask, this_user
from lthsweep.launch.slurm.cluster.listing import COMPLAINT, FORMAT, Element, parse_queue
from lthsweep.store import commit

__all__ = [
    "Element",
    "Found",
    "QueueSnapshot",
    "find_by_name",
    "find_job",
    "live_jobs",
    "queue_snapshot",
    "read_queue",
]

SECONDS = 60.0
"""Deadline of squeue, which is slow on a busy cluster."""

ACCOUNTING_SECONDS = 10.0
"""Deadline of sacct, which blocks while slurmdbd is down. A sweep does not depend on its answer."""


@dataclass(frozen=True)
class QueueSnapshot:
    """The queue at one moment: its elements, and when it was taken, in seconds since the epoch."""

    elements: tuple[Element, ...]
    taken: float


_SNAPSHOT = TypeAdapter(QueueSnapshot)


@dataclass(frozen=True)
class Found:
    """Result of a search by name: the job's id or None, and whether accounting answered."""

    job: str | None
    accounting: bool


def read_queue(user: str | None = None, *, seconds: float = SECONDS) -> tuple[Element, ...]:
    """Return all waiting and running elements of a user.

    Args:
        user: None for the user of this process.
        seconds: deadline of squeue.

    Raises:
        ClusterSilentError: if SLURM does not answer, or its answer is not a complete list.
    """
    return parse_queue(_squeue("--user", user or this_user(), seconds=seconds))


def queue_snapshot(cache: Path | None, max_age: float, *, seconds: float = SECONDS) -> QueueSnapshot:
    """Like `read_queue`, but with at most one squeue per `max_age` for all processes that share a cache.

    Args:
        cache: a file in an existing folder. A damaged file is ignored, and so is a failure to write it. None to query
            without a cache.
        max_age: seconds.
        seconds: deadline of squeue.

    Raises:
        ClusterSilentError: if the cache is too old and SLURM does not answer.
    """
    known = None if cache is None else _remembered(cache)
    if known is not None and abs(time.time() - known.taken) < max_age:
        return known
    snapshot = QueueSnapshot(read_queue(seconds=seconds), time.time())
    if cache is not None:
        with contextlib.suppress(StoreError):
            commit.replace(cache, _SNAPSHOT.dump_json(snapshot), durable=False)
    return snapshot


def find_by_name(name: str) -> str | None:
    """Return the id of the job with a name that only one submission has; None if SLURM knows no such job.

    Raises:
        ClusterSilentError: if the controller does not answer. An answer of accounting is not required.
    """
    return find_job(name).job


def find_job(name: str, *, days: int = 2) -> Found:
    """Search for a job by its name: in the queue, including recently ended jobs, then in accounting.

    The controller forgets a job minutes after its end (MinJobAge); accounting keeps it. If the cluster has no
    accounting, or accounting does not answer in time, the result is based on the queue alone.

    Args:
        name: of the job.
        days: length of the search in accounting; many clusters refuse long searches.

    Raises:
        ClusterSilentError: if the controller does not answer.
    """
    listed = parse_queue(_squeue("--user", this_user(), "--states", "all", "--name", name))
    jobs = {element.job for element in listed if element.name == name}
    if jobs:
        return Found(min(jobs, key=int), accounting=True)
    command = ["sacct", "--noheader", "--allocations", "--parsable2", "--user", this_user(), "--name", name]
    command += ["--starttime", f"now-{days}days", "--format", "JobID,JobName"]
    try:
        answer = ask(command, seconds=ACCOUNTING_SECONDS)
    except ClusterSilentError:
        return Found(None, accounting=False)
    lines = [line.split("|") for line in answer.out.splitlines() if line.strip()]
    numbers = [re.match(r"\d+", line[0]) for line in lines]
    if answer.code or not all(numbers) or (not lines and COMPLAINT.search(answer.err)):
        return Found(None, accounting=False)
    past = {number[0] for number, line in zip(numbers, lines, strict=True) if number and line[1:] == [name]}
    return Found(min(past, key=int) if past else None, accounting=True)


def live_jobs(ids: Iterable[str]) -> Mapping[str, Element]:
    """Return the jobs among some ids that wait or run, of any user.

    Args:
        ids: raw ids (SLURM_JOB_ID), or ids of arrays. Other texts are ignored.

    Returns:
        Id → its element, for an array any of its elements.

    Raises:
        ClusterSilentError: if SLURM does not answer.
    """
    asked = sorted({job for job in ids if re.fullmatch(r"\d{1,10}", job)}, key=int)
    found: dict[str, Element] = {}
    for start in range(0, len(asked), 500):
        some = asked[start : start + 500]
        answer = _squeue("--jobs", ",".join(some))
        if answer.code and re.search(r"invalid job id", answer.err, re.IGNORECASE):
            continue  # squeue's error for a single id that the controller has forgotten
        for element in parse_queue(answer):
            found.setdefault(element.job, element)
            found[element.raw] = element
    return {job: found[job] for job in asked if job in found}


def _squeue(*options: str, seconds: float = SECONDS) -> Answer:
    """List elements, each on its own line."""
    return ask(["squeue", "--array", "--Format", FORMAT, *options], seconds=seconds)


def _remembered(cache: Path) -> QueueSnapshot | None:
    try:
        return _SNAPSHOT.validate_json(commit.read_whole(cache))
    except (OSError, ValueError):
        return None
