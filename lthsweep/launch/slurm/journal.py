"""The journal of submissions: what was handed to SLURM, written before it is handed over.

An intent is on disk before `sbatch` is called, with a job name that no other submission of any sweep has; the job's
id follows when SLURM has told it. Whoever finds an intent without an id asks SLURM for the name.

Two rules make submission exactly-once without a lock, a clock or a daemon:

* **Intents are numbered, and a number is taken by a link that succeeds for one only.** A coordinator decides what to
  submit from the journal up to number n and publishes its intent as n + 1. If another was faster, the link fails, and
  it decides anew: no decision stands that did not know of all decisions before it.
* **The fate of a submission is one file that is linked once.** The coordinator that gives an intent up links "void";
  the job links "alive" before it does anything. One of them is first. So a job that appears late, when its intent was
  given up and its runs were submitted again, finds that it is not wanted, and leaves.
"""

from __future__ import annotations

import os
import socket
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from lthsweep.errors import StoreError
from lthsweep.store import commit, plainjson
from lthsweep.store.layout import SweepDir

__all__ = [
    "Submission",
    "come_alive",
    "forget_queue",
    "note_id",
    "open_journal",
    "publish_intent",
    "read_journal",
    "read_submission",
    "void",
]

Kind = Literal["train", "tick"]
Fate = Literal["open", "alive", "void"]


@dataclass(frozen=True)
class Submission:
    """One call of sbatch.

    Attributes:
        number: place in the journal, from 1.
        name: of the job, unique among all jobs of the user.
        kind: "train", an array that trains; "tick", the sweep's own follow-up.
        parcels: keys of the runs of each array element, parents first; empty for a tick.
        minutes: walltime asked for.
        after: names of submissions that it waits for.
        by: who wrote the intent: host and process id.
        created: when, in seconds since the epoch, by the clock of that host.
        job: SLURM's id (of the array), None as long as it is not known.
        fate: "alive" once a job of it has started, "void" if it was given up.
        why: of a void one.
    """

    number: int
    name: str
    kind: Kind
    parcels: tuple[tuple[str, ...], ...] = ()
    minutes: int = 0
    after: tuple[str, ...] = ()
    by: str = ""
    created: float = 0.0
    job: str | None = None
    fate: Fate = "open"
    why: str = ""

    @property
    def elements(self) -> int:
        """How many jobs SLURM counts for it."""
        return max(1, len(self.parcels))

    def keys(self, index: int) -> tuple[str, ...]:
        """The runs of one element."""
        return self.parcels[index] if self.kind == "train" else ()


def open_journal(sweep: SweepDir) -> str:
    """Make the journal if need be.

    Returns:
        The beginning of the names of all jobs of this sweep, e.g. "lth-3f9a01c2".

    Raises:
        StoreError: if it cannot be written, or others than its owner could have written to it.
    """
    sweep.slurm.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = sweep.slurm.stat()
    if status.st_mode & 0o022 or status.st_uid not in (os.getuid(), 0):
        raise StoreError(
            f"{sweep.slurm} may be written by others, who could then name what your jobs run; "
            f"chmod 700 it after you have looked inside, or delete it when nothing is queued"
        )
    path = sweep.slurm / "name.json"
    commit.commit_new(path, plainjson.dump({"prefix": f"lth-{os.urandom(4).hex()}"}))
    prefix: str = plainjson.load(commit.read_whole(path))["prefix"]
    return prefix


def publish_intent(sweep: SweepDir, intent: Submission) -> Submission | None:
    """Write an intent under its number.

    Args:
        sweep: its journal must be open.
        intent: `number` is one more than the last one its author knew; `name` and `by` are filled in.

    Returns:
        The intent as published, or None if another coordinator took the number: look again.

    Raises:
        StoreError: if it cannot be written.
    """
    name = f"{open_journal(sweep)}-{intent.number:04d}"
    intent = replace(intent, name=name, by=_here(), created=time.time())
    folder = sweep.submission(name)
    folder.mkdir(mode=0o700, exist_ok=True)
    content = {field: value for field, value in asdict(intent).items() if field not in _LATER}
    return intent if commit.commit_new(folder / "intent.json", plainjson.dump(content)) else None


def note_id(sweep: SweepDir, name: str, job: str) -> None:
    """Write down the id that SLURM gave, or under which the job was found."""
    commit.commit_new(sweep.submission(name) / "job.json", plainjson.dump({"job": job}))


def forget_queue(sweep: SweepDir) -> None:
    """Drop the copy of the queue that `status` keeps: it was changed just now."""
    (sweep.slurm / "queue.json").unlink(missing_ok=True)


def void(sweep: SweepDir, name: str, why: str) -> bool:
    """Give a submission up; returns False if a job of it has started meanwhile."""
    _decide(sweep, name, {"fate": "void", "why": why})
    return bool(_fate(sweep, name)["fate"] == "void")


def come_alive(sweep: SweepDir, name: str, job: str) -> bool:
    """Said by a job before it does anything; returns whether it is wanted.

    Args:
        sweep: the sweep directory.
        name: the submission it belongs to.
        job: its (array's) id. A second job of the same submission is not wanted: sbatch may be heard twice.
    """
    _decide(sweep, name, {"fate": "alive", "why": "", "job": job})
    decided = _fate(sweep, name)
    if decided["fate"] != "alive" or decided.get("job") != job:
        return False
    note_id(sweep, name, job)
    return True


def read_journal(sweep: SweepDir) -> list[Submission]:
    """All submissions, by number. One that cannot be read is void, and says so.

    Raises:
        StoreError: if the folder cannot be read.
    """
    try:
        names = os.listdir(sweep.slurm)  # noqa: PTH208 (names, not paths, are wanted)
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
    """One submission."""
    folder = sweep.submission(name)
    number = int(name.rpartition("-")[2])
    content = _load(folder / "intent.json")
    try:
        submission = Submission(
            number=number,
            name=name,
            kind=content["kind"],
            parcels=tuple(tuple(map(str, keys)) for keys in content["parcels"]),
            minutes=int(content["minutes"]),
            after=tuple(map(str, content["after"])),
            by=str(content["by"]),
            created=float(content["created"]),
        )
    except (KeyError, TypeError, ValueError):
        return Submission(number, name, "train", fate="void", why="its intent cannot be read")
    decided = _fate(sweep, name)
    job = decided.get("job") or _load(folder / "job.json").get("job")
    return replace(submission, job=job, fate=decided["fate"], why=str(decided.get("why", "")))


_LATER = ("job", "fate", "why")
"""Fields of a submission that are known after its intent is written, and kept in files of their own."""


def _decide(sweep: SweepDir, name: str, decision: dict[str, str]) -> None:
    commit.commit_new(sweep.submission(name) / "fate.json", plainjson.dump(decision))


def _fate(sweep: SweepDir, name: str) -> dict[str, Any]:
    return {"fate": "open"} | _load(sweep.submission(name) / "fate.json")


def _load(path: Path) -> dict[str, Any]:
    try:
        content: Any = plainjson.load(commit.read_whole(path))
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _here() -> str:
    return f"{socket.gethostname()} pid {os.getpid()}"
