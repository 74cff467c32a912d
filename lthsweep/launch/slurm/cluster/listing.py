"""Parse the output of squeue; unexpected text never counts as an answer. Pure.

If a job is not listed, its runs are submitted again. So an empty list must come from SLURM and not from a failure.
squeue exits with code 0 and an empty list for an unknown user, and a killed squeue prints half a line. So the header is
requested too, every line ends with a marker, every number is checked, an empty list with an error on stderr is
rejected, and any other output raises `ClusterSilentError`.

States are kept as SLURM prints them. No state means success: a run is finished when its record is on disk.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from lthsweep.errors import ClusterSilentError
from lthsweep.launch.slurm.cluster.ask import Answer

__all__ = ["COMPLAINT", "FORMAT", "Element", "indices", "parse_queue", "seconds_of"]

_NEXT, _END = "|@|", "|@."
_FIELDS = (
    *("JobID", "ArrayJobID", "ArrayTaskID", "State", "Reason", "NodeList"),
    *("RestartCnt", "StartTime", "TimeUsed", "TimeLimit", "Partition", "Name"),
)

FORMAT = ",".join(f"{field}:{_END if field == 'Name' else _NEXT}" for field in _FIELDS)
"""For squeue's --Format: a field without a number after the colon is not truncated. The name comes last."""

COMPLAINT = re.compile(r"error|fatal|invalid|disabled", re.IGNORECASE)
"""On stderr, next to an empty list."""

_MISUNDERSTOOD = re.compile(r"invalid", re.IGNORECASE)
"""On stderr: squeue skipped an option, such as the user; the list can then contain all jobs, or none."""

_WAITING = frozenset({"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT"})

_STUCK = re.compile(r"requeued.held|launch.failed|JobHoldMaxRequeue", re.IGNORECASE)
"""Reasons: a launch failed (a prolog, a node that lists the job as ended), or failed too often."""


@dataclass(frozen=True)
class Element:
    """One element of a job array, or a job without an array, as squeue lists it.

    Attributes:
        job: id of the array, or of the job.
        index: in the array; None without an array.
        name: of the job.
        state: as SLURM prints it, "PENDING", "RUNNING", ...; unknown states are kept.
        reason: why it waits, as SLURM prints it: "Priority", "Dependency", "PartitionTimeLimit", ...
        node: where it runs; "" while it waits.
        restarts: how often SLURM has restarted it; None if SLURM does not print it.
        raw: the element's job id (SLURM_JOB_ID inside it); the array's id until SLURM splits the element off.
        partition: its partition, or several with commas while it waits.
        starts: actual or expected start, in seconds since the epoch; None if SLURM does not know.
        used_seconds: time since its start.
        limit_seconds: walltime; None for no limit.
    """

    job: str
    index: int | None
    name: str
    state: str
    reason: str = ""
    node: str = ""
    restarts: int | None = None
    raw: str = ""
    partition: str = ""
    starts: float | None = None
    used_seconds: int = 0
    limit_seconds: int | None = None

    @property
    def id(self) -> str:
        """The element's name in SLURM's commands: "123_4", or "123"."""
        return self.job if self.index is None else f"{self.job}_{self.index}"

    @property
    def waits(self) -> bool:
        """True if it has not started yet, or waits for a restart."""
        return self.state in _WAITING

    @property
    def is_stuck(self) -> bool:
        """True if SLURM holds the element because its launch failed, and will not start it by itself.

        Holds by a user or an operator are intentional and do not count.
        """
        return self.waits and _STUCK.search(self.reason) is not None


def parse_queue(answer: Answer) -> tuple[Element, ...]:
    """Parse the output of squeue.

    Raises:
        ClusterSilentError: if it is not a complete list.
    """
    complaint = answer.words
    if answer.code:
        raise ClusterSilentError(
            f"squeue failed: {complaint or f'exit code {answer.code} without a message'}"
        )
    header, *records = answer.out.split(_END + "\n")
    if header.count(_NEXT) != len(_FIELDS) - 1 or not records:
        raise ClusterSilentError(
            f"squeue printed no list, but {_shown(answer.out) or complaint or 'nothing'}"
        )
    if records.pop():
        raise ClusterSilentError(f"squeue's list breaks off: {_shown(answer.out[-80:])}")
    if _MISUNDERSTOOD.search(answer.err):
        raise ClusterSilentError(f"squeue did not list the jobs that were asked for: {complaint}")
    if not records and COMPLAINT.search(answer.err):
        raise ClusterSilentError(f"squeue printed an empty list and complains: {complaint}")
    return tuple(element for record in records for element in _elements(record))


def indices(text: str) -> tuple[int, ...]:
    """Parse SLURM's notation for unsplit array elements: "4", "4-9%3", "1,3,10-20:5", "[4-9]".

    Raises:
        ValueError: for any other text, including lists that SLURM has cut short ("4,6,...").
    """
    listed, _, limit = text.strip("[]").partition("%")
    if limit and not limit.isdecimal():
        raise ValueError(text)
    found: list[int] = []
    for part in listed.split(","):
        match = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9})(?::(\d{1,9}))?)?", part)
        if match is None or match[3] == "0":
            raise ValueError(text)
        first = int(match[1])
        found += range(first, int(match[2] or first) + 1, int(match[3] or 1))
    return tuple(found)


def seconds_of(text: str) -> int | None:
    """Parse SLURM's durations: "0:07", "1:02:03", "2-03:04:05"; None for "UNLIMITED", "INVALID" and other text."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", text)
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return 86400 * days + 3600 * hours + 60 * minutes + seconds


def _elements(record: str) -> Iterator[Element]:
    fields = record.split(_NEXT, len(_FIELDS) - 1)
    try:
        raw, array, index, state, reason, node, restarts, starts, used, limit, partition, name = fields
        if not raw.isdecimal() or not state:
            raise ValueError
        element = Element(
            job=array if array.isdecimal() else raw,
            index=None,
            name=name,
            state=state,
            reason="" if reason == "None" else reason,
            node=node,
            restarts=int(restarts) if restarts.isdecimal() else None,
            raw=raw,
            partition=partition,
            starts=_moment(starts),
            used_seconds=seconds_of(used) or 0,
            limit_seconds=seconds_of(limit),
        )
        numbers: Sequence[int | None] = (None,) if index in ("N/A", "") else indices(index)
    except ValueError:
        raise ClusterSilentError(f"squeue printed a line that cannot be read: {_shown(record)}") from None
    for number in numbers:
        yield replace(element, index=number)


@lru_cache(maxsize=4096)  # ten thousand elements share a few hundred times
def _moment(text: str) -> float | None:
    """Convert SLURM's local time, "2026-11-21T10:09:41", to seconds since the epoch."""
    try:
        return time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%S"))
    except (ValueError, OverflowError):
        return None


def _shown(text: str) -> str:
    return repr(text[:80]) if text.strip() else ""
