"""Files of a job in the folder of its submission: its nodes, its end, its logs.

The first line of every batch script records the node, so that a node on which nothing else starts can be identified. A
job that ends in order writes its end last. A job without an end was killed before any progress; a job with progress has
written in advance that it was killed, in case it is.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from lthsweep.errors import StoreError
from lthsweep.launch.slurm.journal import Submission
from lthsweep.store import commit
from lthsweep.store.hashed import read_hashed, with_hash
from lthsweep.store.layout import SweepDir

__all__ = [
    "KILLED",
    "End",
    "forget_end",
    "has_ended",
    "job_logs",
    "last_log_line",
    "nodes_of",
    "raw_ids",
    "read_end",
    "started",
    "write_end",
]

KILLED = "killed"
"""Written in advance, when an element has made progress: its end unless it writes another one later."""

_WORDS = 4000  # last bytes of a log that are read

_ONLY_A_CODE = re.compile(r"srun: error: \S+: tasks? [\d,-]+: Exited with exit code \d+")
"""srun adds this to every step that fails, before or after the output of the step itself."""


@dataclass(frozen=True)
class End:
    """How one element ended.

    Attributes:
        worked: runs that it finished.
        broke: runs that an infrastructure failure interrupted: a killed worker, a full disk.
        failed: runs that failed, and would fail again.
        stopped: why it stopped before its runs were done: "signal", "time", or "halt" of the sweep; "" if it did not;
            `KILLED` if it had no time to write a reason.
        node: on which it ran.
    """

    worked: tuple[str, ...] = ()
    broke: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    stopped: str = ""
    node: str = ""


_END = TypeAdapter(End)


def write_end(sweep: SweepDir, name: str, index: int, end: End) -> None:
    """Write how an element ended. The file is advisory, so a full disk is no failure."""
    with contextlib.suppress(StoreError):
        path = sweep.submission(name) / f"{index}.end.json"
        commit.replace(path, with_hash(path, _END.dump_json(end)), durable=False)


def forget_end(sweep: SweepDir, name: str, index: int) -> None:
    """Delete the end of an element that was started again; its earlier end no longer applies."""
    with contextlib.suppress(OSError):
        (sweep.submission(name) / f"{index}.end.json").unlink()


def read_end(sweep: SweepDir, name: str, index: int) -> End | None:
    """Return how an element ended; None if it wrote no end."""
    try:
        return _END.validate_json(read_hashed(sweep.submission(name) / f"{index}.end.json"))
    except (FileNotFoundError, StoreError, ValidationError):
        return None


def has_ended(sweep: SweepDir, name: str, index: int) -> bool:
    """Return whether an element wrote a final end, that is, not before requeuing itself."""
    end = read_end(sweep, name, index)
    return end is not None and end.stopped not in ("time", KILLED)


def nodes_of(sweep: SweepDir, name: str, index: int) -> tuple[str, ...]:
    """Return the nodes on which an element was started, in order; one per start."""
    return tuple(words[0] for words in _start_records(sweep, name, index))


def raw_ids(sweep: SweepDir, name: str, index: int) -> tuple[str, ...]:
    """Return the raw job ids (SLURM_JOB_ID) with which an element was started; claims contain them."""
    return tuple(words[1] for words in _start_records(sweep, name, index) if len(words) > 1)


def _start_records(sweep: SweepDir, name: str, index: int) -> list[list[str]]:
    """Return the words of each line that the batch script wrote at a start: node, raw id, restarts, time."""
    try:
        lines = (sweep.submission(name) / f"{index}.node").read_text(errors="replace").splitlines()
    except OSError:
        return []
    return [words for line in lines if (words := line.split())]


def started(sweep: SweepDir, submission: Submission) -> float:
    """Return when a submission was written, by the clock of the file server; 0 if it is gone."""
    try:
        return (sweep.submission(submission.name) / "intent.json").stat().st_mtime
    except OSError:
        return 0.0


def job_logs(sweep: SweepDir, submission: Submission, index: int) -> list[Path]:
    """Return the log files of an element's standard output and error that exist."""
    if (stem := submission.job_id(index)) is None:
        return []
    folder = sweep.submission(submission.name)
    return sorted(folder.glob(f"{stem}_*.out")) + sorted(folder.glob(f"{stem}_*.err"))


def last_log_line(sweep: SweepDir, submission: Submission, index: int) -> str:
    """Return the last log line of an element, or SLURM's last line about it; "" if there is none.

    A line with only an exit code counts only if there is no other.
    """
    lines: list[str] = []
    for path in job_logs(sweep, submission, index):
        with contextlib.suppress(OSError), path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _WORDS))
            lines += [line.strip() for line in file.read().decode(errors="replace").splitlines()]
    found = [line for line in lines if line]
    messages = [line for line in found if not _ONLY_A_CODE.fullmatch(line)]
    return (messages or found or [""])[-1][:300]
