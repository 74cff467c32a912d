"""Halt file: stops further submissions after `cancel` or when the circuit breaker trips.

While the file exists, jobs exit as soon as they start and the controller job submits no others, so a halted sweep ends
without any command to SLURM. `lthsweep run` by hand removes the file; after the circuit breaker
only with --retry-failed.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from lthsweep.errors import StoreError
from lthsweep.launch.slurm.circuit_breaker import trips
from lthsweep.launch.slurm.decisions import note_decision
from lthsweep.store import commit, plainjson
from lthsweep.store.failures import CANCELLED, GAVE_UP, Failure
from lthsweep.store.hashed import read_hashed, with_hash
from lthsweep.store.layout import SweepDir

__all__ = [
    "Halt",
    "halt",
    "halt_on_equal_failures",
    "read_halt",
    "read_reset",
    "remove_halt",
    "reset_attempts",
]


@dataclass(frozen=True)
class Halt:
    """Reason of a halt.

    Attributes:
        why: one sentence.
        by: "user" (canceled), or "breaker" (identical early failures).
        time: seconds since the epoch.
    """

    why: str
    by: str
    time: float


_HALT = TypeAdapter(Halt)


def halt(sweep: SweepDir, why: str, by: str) -> None:
    """Halt a sweep; if it is halted already, the first reason stays."""
    sweep.slurm.mkdir(mode=0o700, parents=True, exist_ok=True)
    content = _HALT.dump_json(Halt(why, by, time.time()))
    commit.commit_new(_path(sweep), with_hash(_path(sweep), content))


def halt_on_equal_failures(
    sweep: SweepDir, known: Iterable[Failure], finished: int, vanished: Sequence[str] = ()
) -> None:
    """Halt a sweep whose runs mostly fail in the same way; see `circuit_breaker.trips`.

    Args:
        sweep: the sweep directory.
        known: failures of its runs; canceled runs, and runs that reached the retry limit, do not count.
        finished: number of its finished runs.
        vanished: causes of jobs that ended before any progress.
    """
    causes = [failure.cause for failure in known if failure.kind not in (CANCELLED, GAVE_UP)]
    if (why := trips([*causes, *vanished], finished)) is not None:
        halt(sweep, why, "breaker")
        note_decision(sweep, f"halted the sweep: {why}")


def read_halt(sweep: SweepDir) -> Halt | None:
    """Return why a sweep is halted, or None if it is not."""
    try:
        return _HALT.validate_json(read_hashed(_path(sweep)))
    except FileNotFoundError:
        return None
    except (StoreError, ValidationError):
        return Halt(f"{_path(sweep)} exists but cannot be read", "user", 0.0)


def remove_halt(sweep: SweepDir) -> None:
    """Remove the halt file."""
    _path(sweep).unlink(missing_ok=True)


def reset_attempts(sweep: SweepDir, number: int) -> None:
    """Ignore failed attempts of submissions up to this number: the user has fixed the cause and retries."""
    path = sweep.slurm / "attempts.json"
    commit.replace(path, with_hash(path, plainjson.dump({"number": number})))


def read_reset(sweep: SweepDir) -> int:
    """Return the number of the last submission whose failed attempts are ignored."""
    try:
        return int(plainjson.load(read_hashed(sweep.slurm / "attempts.json"))["number"])
    except (FileNotFoundError, StoreError, ValueError, KeyError, TypeError):
        return 0


def _path(sweep: SweepDir) -> Path:
    return sweep.slurm / "halted.json"
