"""Read what squeue prints, so that no odd text is ever taken for an answer. Pure.

That a job is not listed frees its runs, so an empty list must be SLURM's word and not the trace of a failure. squeue
ends with exit code 0 and an empty list when it does not know the user; killed, it prints half a line. So it is asked
for its header too, every line ends in a mark, every number is checked, a complaint makes an empty list worthless, and
whatever is odd is a `ClusterSilentError`.

States are kept as SLURM writes them. None of them means success: a run is finished when its record is on disk.
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
"""For squeue's --Format: without a number behind the colon, a field is as long as it is. The name comes last."""

COMPLAINT = re.compile(r"error|fatal|invalid|disabled", re.IGNORECASE)
"""On stderr, beside an empty answer."""

_MISUNDERSTOOD = re.compile(r"invalid", re.IGNORECASE)
"""On stderr: an option was skipped, such as the user whose jobs were asked for; then all may be listed, or none."""

_WAITING = frozenset({"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT"})

_STUCK = re.compile(r"requeued.held|launch.failed|JobHoldMaxRequeue", re.IGNORECASE)
"""Reasons: a launch failed (a prolog, a node that knows the job as ended), or failed too often."""


@dataclass(frozen=True)
class Element:
    """One element of a job array, or a job of its own, as SLURM lists it.

    Attributes:
        job: id of the array, or of the job.
        index: in the array; None for a job of its own.
        name: of the job.
        state: as SLURM writes it, "PENDING", "RUNNING", ...; one never heard of is kept as it is.
        reason: why it waits, as SLURM writes it: "Priority", "Dependency", "PartitionTimeLimit", ...
        node: where it runs; "" as long as it waits.
        restarts: how often SLURM has started it again; None if SLURM does not say.
        raw: its own job id (SLURM_JOB_ID inside of it); that of the array as long as SLURM has not split it off.
        partition: which one, or several with commas as long as it waits.
        starts: when it started, or is expected to, in seconds since the epoch; None if SLURM does not know.
        used_seconds: how long it has been running.
        limit_seconds: how long it may run; None for any time.
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
        """How SLURM's commands name it: "123_4", or "123"."""
        return self.job if self.index is None else f"{self.job}_{self.index}"

    @property
    def waits(self) -> bool:
        """It has not started yet, or is to be started again."""
        return self.state in _WAITING

    @property
    def is_stuck(self) -> bool:
        """SLURM holds it back, because starting it failed, and will not try again by itself.

        A user's or an operator's own hold is a wish, and is not meant.
        """
        return self.waits and _STUCK.search(self.reason) is not None


def parse_queue(answer: Answer) -> tuple[Element, ...]:
    """Read what squeue printed.

    Raises:
        ClusterSilentError: if it is anything but a whole list.
    """
    complaint = answer.words
    if answer.code:
        raise ClusterSilentError(f"squeue failed: {complaint or f'exit code {answer.code}, and no word'}")
    header, *records = answer.out.split(_END + "\n")
    if header.count(_NEXT) != len(_FIELDS) - 1 or not records:
        raise ClusterSilentError(
            f"squeue printed no list, but {_shown(answer.out) or complaint or 'nothing'}"
        )
    if records.pop():
        raise ClusterSilentError(f"squeue's list breaks off: {_shown(answer.out[-80:])}")
    if _MISUNDERSTOOD.search(answer.err):
        raise ClusterSilentError(f"squeue lists something else than was asked for: {complaint}")
    if not records and COMPLAINT.search(answer.err):
        raise ClusterSilentError(f"squeue's list is empty, and it complains: {complaint}")
    return tuple(element for record in records for element in _elements(record))


def indices(text: str) -> tuple[int, ...]:
    """The indices that SLURM writes for array elements it has not split: "4", "4-9%3", "1,3,10-20:5", "[4-9]".

    Raises:
        ValueError: if it is anything else, also if SLURM has cut it short ("4,6,...").
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
    """SLURM's durations: "0:07", "1:02:03", "2-03:04:05"; None if it is no number ("UNLIMITED", "INVALID")."""
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


@lru_cache(maxsize=4096)  # ten thousand elements share a few hundred moments
def _moment(text: str) -> float | None:
    """SLURM's local time, "2026-11-21T10:09:41", in seconds since the epoch."""
    try:
        return time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%S"))
    except (ValueError, OverflowError):
        return None


def _shown(text: str) -> str:
    return repr(text[:80]) if text.strip() else ""
