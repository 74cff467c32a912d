"""The journal of submissions, written before each submission.

An intent is on disk before `sbatch` is called, with a job name that no other submission of any sweep has; the job's id
is added when SLURM has returned it. For an intent without an id, a coordinator searches SLURM for the name.

Two rules make submission exactly-once without a lock, a clock or a daemon:

* **Intents are numbered, and a number is taken by a link that succeeds only once.** A coordinator decides from the
  journal up to number n and publishes its intent as n + 1. If another coordinator was faster, the link fails, and the
  first one decides again: every valid decision is based on all decisions before it.
* **The outcome of a submission is one file that is linked once.** The coordinator that abandons an intent
  links "void"; the job links "started" before it does anything else. Only the first link succeeds. So a job that
  appears late, after its intent was abandoned and its runs were submitted again, finds that it is void, and exits.
"""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from lthsweep.errors import CorruptRecordError, StoreError
from lthsweep.store import commit, plainjson
from lthsweep.store.hashed import read_hashed, with_hash
from lthsweep.store.layout import SweepDir, checked_name

__all__ = [
    "Submission",
    "forget_queue",
    "mark_started",
    "note_id",
    "open_journal",
    "publish_intent",
    "read_journal",
    "read_prefix",
    "read_submission",
    "void",
]

Kind = Literal["workers", "controller"]
Outcome = Literal["open", "started", "void"]


@dataclass(frozen=True)
class Submission:
    """One call of sbatch.

    Attributes:
        number: position in the journal, from 1.
        name: of the job, unique among all jobs of the user.
        kind: "workers", an array of worker jobs; "controller", the job that submits, merges, and leaves a successor.
        shares: the runs that each worker job trains first; empty for a controller job.
        minutes: requested walltime.
        array: whether the jobs are elements of a job array; False for one job without an array.
        after: names of submissions that it waits for.
        by: host and process id of the author of the intent.
        created: when, in seconds since the epoch, by the clock of that host.
        job: SLURM's id (of the array); None while it is unknown.
        outcome: "started" once one of its jobs has started, "void" if it was abandoned.
        why: reason of a void submission.
    """

    number: int
    name: str
    kind: Kind
    shares: tuple[tuple[str, ...], ...] = ()
    minutes: int = 0
    array: bool = False
    after: tuple[str, ...] = ()
    by: str = ""
    created: float = 0.0
    job: str | None = None
    outcome: Outcome = "open"
    why: str = ""

    @property
    def elements(self) -> int:
        """Return the number of its jobs as SLURM counts them."""
        return max(1, len(self.shares))

    def job_id(self, index: int) -> str | None:
        """Return SLURM's name of one job, "123_4" or "123"; None while it is unknown."""
        return self.job if self.job is None or not self.array else f"{self.job}_{index}"

    def keys(self, index: int) -> tuple[str, ...]:
        """Return the share of one worker job."""
        return self.shares[index] if self.kind == "workers" else ()


def open_journal(sweep: SweepDir) -> str:
    """Create the journal if it does not exist.

    Returns:
        The prefix of the names of all jobs of this sweep, such as "lth-3f9a01c2".

    Raises:
        StoreError: if it cannot be written, or other users can write to it.
    """
    sweep.slurm.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = sweep.slurm.stat()
    if status.st_mode & 0o022 or status.st_uid not in (os.getuid(), 0):
        raise StoreError(
            f"{sweep.slurm} may be written by others, who could then name what your jobs run; "
            f"chmod 700 it after you have looked inside, or delete it when nothing is queued; on a file system with "
            f"fixed modes, such as exFAT, NTFS or CIFS, choose another directory with --out"
        )
    path = sweep.slurm / "name.json"
    content = plainjson.dump({"prefix": f"lth-{os.urandom(4).hex()}"})
    commit.commit_new(path, with_hash(path, content))
    try:
        return read_prefix(sweep)
    except CorruptRecordError:  # a new name: all submissions under the earlier one stay in the journal
        commit.replace(path, with_hash(path, content))
        return read_prefix(sweep)


def read_prefix(sweep: SweepDir) -> str:
    """Return the prefix of the names of all jobs of a sweep.

    Raises:
        FileNotFoundError: if the journal is not open.
        CorruptRecordError: if the file is damaged.
    """
    path = sweep.slurm / "name.json"
    try:
        return checked_name(plainjson.load(read_hashed(path))["prefix"])
    except (ValueError, KeyError, TypeError, StoreError) as error:
        raise CorruptRecordError(f"{path} is damaged: {error}") from error


def publish_intent(sweep: SweepDir, intent: Submission) -> Submission | None:
    """Write an intent under its number.

    Args:
        sweep: its journal must be open.
        intent: `number` is one more than the last number that its author read; `name` and `by` are filled in.

    Returns:
        The published intent, or None if another coordinator took the number: read the journal again.

    Raises:
        StoreError: if it cannot be written.
    """
    name = f"{open_journal(sweep)}-{intent.number:04d}"
    intent = replace(intent, name=name, by=_here(), created=time.time())
    folder = sweep.submission(name)
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / "intent.json"
    content = with_hash(path, _INTENT.dump_json(intent, exclude=_LATER))
    return intent if commit.commit_new(path, content) else None


def note_id(sweep: SweepDir, name: str, job: str) -> None:
    """Write the id that SLURM returned, or under which the job was found."""
    path = sweep.submission(name) / "job.json"
    commit.commit_new(path, with_hash(path, _JOB.dump_json(_JobId(job))))


def forget_queue(sweep: SweepDir) -> None:
    """Delete the cached copy of the queue after a submission or a cancel."""
    (sweep.slurm / "queue.json").unlink(missing_ok=True)


def void(sweep: SweepDir, name: str, why: str) -> bool:
    """Abandon a submission; returns False if one of its jobs has started meanwhile."""
    _decide(sweep, name, _Decision("void", why))
    return _decision(sweep, name).outcome == "void"


def mark_started(sweep: SweepDir, name: str, job: str) -> bool:
    """Record that a job has started, before it does anything else; returns whether its submission is valid.

    Args:
        sweep: the sweep directory.
        name: its submission.
        job: its (array's) id. A second job of the same submission is invalid: sbatch can reach SLURM twice.
    """
    _decide(sweep, name, _Decision("started", job=job))
    decided = _decision(sweep, name)
    if decided.outcome != "started" or decided.job != job:
        return False
    note_id(sweep, name, job)
    return True


def read_journal(sweep: SweepDir) -> list[Submission]:
    """Return all submissions, by number; one that cannot be read is void, with this reason.

    Raises:
        StoreError: if the folder cannot be read.
    """
    try:
        names = os.listdir(sweep.slurm)  # noqa: PTH208 (names are needed, not paths)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"cannot read {sweep.slurm}: {error.strerror or error}") from error
    found = []
    for name in names:
        number = name.rpartition("-")[2]
        if number.isdecimal() and (sweep.slurm / name / "intent.json").exists():
            found.append(read_submission(sweep, name))
    return sorted(found, key=lambda submission: submission.number)


def read_submission(sweep: SweepDir, name: str) -> Submission:
    """Return one submission."""
    folder = sweep.submission(name)
    number = int(name.rpartition("-")[2])
    try:
        intent = _INTENT.validate_json(read_hashed(folder / "intent.json"))
    except (FileNotFoundError, CorruptRecordError, ValidationError):
        return Submission(number, name, "workers", outcome="void", why="its intent cannot be read")
    decided = _decision(sweep, name)
    try:
        job = decided.job or _JOB.validate_json(read_hashed(folder / "job.json")).job
    except (FileNotFoundError, CorruptRecordError, ValidationError):
        job = None
    return replace(intent, number=number, name=name, job=job, outcome=decided.outcome, why=decided.why)


@dataclass(frozen=True)
class _Decision:
    """The outcome of a submission; `job` is the id of the job that linked "started"."""

    outcome: Outcome
    why: str = ""
    job: str | None = None


@dataclass(frozen=True)
class _JobId:
    job: str


_INTENT = TypeAdapter(Submission)
_DECISION = TypeAdapter(_Decision)
_JOB = TypeAdapter(_JobId)

_LATER = {"job", "outcome", "why"}
"""Fields of a submission that are known only after its intent is written; each has a separate file."""


def _decide(sweep: SweepDir, name: str, decision: _Decision) -> None:
    path = sweep.submission(name) / "outcome.json"
    commit.commit_new(path, with_hash(path, _DECISION.dump_json(decision)))


def _decision(sweep: SweepDir, name: str) -> _Decision:
    try:
        return _DECISION.validate_json(read_hashed(sweep.submission(name) / "outcome.json"))
    except (FileNotFoundError, CorruptRecordError, ValidationError):
        return _Decision("open")


def _here() -> str:
    return f"{socket.gethostname()} pid {os.getpid()}"
