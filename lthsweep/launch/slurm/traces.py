"""What a job leaves in the folder of its submission: where it ran, how it ended, its last words.

The first line of every batch script notes the node, so that a node on which nothing else starts can be named. The
last thing a job does in good order is to write down how it ended. A job without an end was killed before it got
anywhere; one that got somewhere has written before that it was killed, in case it will be.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lthsweep.errors import StoreError
from lthsweep.launch.slurm.journal import Submission
from lthsweep.store import commit, plainjson
from lthsweep.store.layout import SweepDir

__all__ = [
    "KILLED",
    "End",
    "forget_end",
    "has_ended",
    "job_logs",
    "last_words",
    "nodes_of",
    "read_end",
    "started",
    "write_end",
]

KILLED = "killed"
"""Written in advance, when an element has got somewhere: how it ended if nothing else is said later."""

_WORDS = 4000  # bytes of a log that are looked at

_ONLY_A_CODE = re.compile(r"srun: error: \S+: tasks? [\d,-]+: Exited with exit code \d+")
"""What srun adds to every step that fails. It comes before or after the words of the step itself, as it happens."""


@dataclass(frozen=True)
class End:
    """How one element ended.

    Attributes:
        worked: runs that it finished.
        broke: runs that broke there by no fault of their own: a killed worker, a full disk.
        failed: runs that failed, and would again.
        stopped: why it stopped before its runs were done: "signal", "time", or "halt" of the sweep; "" if it did not;
            `KILLED` if it had no time to say.
        node: where it was.
    """

    worked: tuple[str, ...] = ()
    broke: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    stopped: str = ""
    node: str = ""


def write_end(sweep: SweepDir, name: str, index: int, end: End) -> None:
    """Say how an element ended; advice, so a full disk is no reason to fail."""
    with contextlib.suppress(StoreError):
        commit.replace(
            sweep.submission(name) / f"{index}.end.json", plainjson.dump(asdict(end)), durable=False
        )


def forget_end(sweep: SweepDir, name: str, index: int) -> None:
    """What an element says first when it was started again: how it ended before does not say how it ends now."""
    with contextlib.suppress(OSError):
        (sweep.submission(name) / f"{index}.end.json").unlink()


def read_end(sweep: SweepDir, name: str, index: int) -> End | None:
    """How an element ended; None if it did not say."""
    try:
        content: Any = plainjson.load(commit.read_whole(sweep.submission(name) / f"{index}.end.json"))
        return End(
            worked=tuple(content["worked"]),
            broke=tuple(content["broke"]),
            failed=tuple(content["failed"]),
            stopped=str(content["stopped"]),
            node=str(content["node"]),
        )
    except (FileNotFoundError, StoreError, ValueError, KeyError, TypeError):
        return None


def has_ended(sweep: SweepDir, name: str, index: int) -> bool:
    """Whether an element said that it ended, and not in order to go back into the queue."""
    end = read_end(sweep, name, index)
    return end is not None and end.stopped not in ("time", KILLED)


def nodes_of(sweep: SweepDir, name: str, index: int) -> tuple[str, ...]:
    """The nodes on which an element was started, in order; one per start."""
    try:
        lines = (sweep.submission(name) / f"{index}.node").read_text(errors="replace").splitlines()
    except OSError:
        return ()
    return tuple(line.split()[0] for line in lines if line.strip())


def started(sweep: SweepDir, submission: Submission) -> float:
    """When a submission was written down, by the clock of the file server; infinitely early if it is gone."""
    try:
        return (sweep.submission(submission.name) / "intent.json").stat().st_mtime
    except OSError:
        return 0.0


def job_logs(sweep: SweepDir, submission: Submission, index: int) -> list[Path]:
    """What an element wrote to its standard output and error, as far as there are such files."""
    if submission.job is None:
        return []
    folder = sweep.submission(submission.name)
    stem = submission.job if submission.kind == "tick" else f"{submission.job}_{index}"
    return sorted(folder.glob(f"{stem}_*.out")) + sorted(folder.glob(f"{stem}_*.err"))


def last_words(sweep: SweepDir, submission: Submission, index: int) -> str:
    """The last line that an element wrote, or that SLURM wrote of it; "" if there is none.

    One that holds no more than an exit code counts only if there is no other.
    """
    lines: list[str] = []
    for path in job_logs(sweep, submission, index):
        with contextlib.suppress(OSError), path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _WORDS))
            lines += [line.strip() for line in file.read().decode(errors="replace").splitlines()]
    said = [line for line in lines if line]
    telling = [line for line in said if not _ONLY_A_CODE.fullmatch(line)]
    return (telling or said or [""])[-1][:300]
