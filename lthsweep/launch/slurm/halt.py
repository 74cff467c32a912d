"""A sweep that is not to go on by itself: somebody canceled it, or its first runs all failed in the same way.

One file says so. Jobs that start while it is there leave at once, and the sweep's follow-up job submits nothing, so a
halted sweep drains without a word to SLURM. `lthsweep run` by hand removes it.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lthsweep.errors import StoreError
from lthsweep.store import commit, plainjson
from lthsweep.store.layout import SweepDir

__all__ = ["Halt", "forgive", "forgiven", "go_on", "halt", "read_halt"]


@dataclass(frozen=True)
class Halt:
    """Why a sweep is halted.

    Attributes:
        why: one sentence.
        by: "user" (canceled), or "breaker" (identical early failures).
        time: seconds since the epoch.
    """

    why: str
    by: str
    time: float


def halt(sweep: SweepDir, why: str, by: str) -> None:
    """Halt a sweep; the first reason stays."""
    sweep.slurm.mkdir(mode=0o700, parents=True, exist_ok=True)
    commit.commit_new(_path(sweep), plainjson.dump(asdict(Halt(why, by, time.time()))))


def read_halt(sweep: SweepDir) -> Halt | None:
    """Why a sweep is halted, or None if it is not."""
    try:
        content: Any = plainjson.load(commit.read_whole(_path(sweep)))
        return Halt(str(content["why"]), str(content["by"]), float(content["time"]))
    except FileNotFoundError:
        return None
    except (StoreError, ValueError, KeyError, TypeError):
        return Halt(f"{_path(sweep)} is there and cannot be read", "user", 0.0)


def go_on(sweep: SweepDir) -> None:
    """Undo `halt`."""
    _path(sweep).unlink(missing_ok=True)


def forgive(sweep: SweepDir, number: int) -> None:
    """Count no strikes of submissions up to this number: somebody mended the cause, and says try again."""
    commit.replace(sweep.slurm / "forgiven.json", plainjson.dump({"number": number}))


def forgiven(sweep: SweepDir) -> int:
    """The number of the last submission whose strikes do not count."""
    try:
        return int(plainjson.load(commit.read_whole(sweep.slurm / "forgiven.json"))["number"])
    except (FileNotFoundError, StoreError, ValueError, KeyError, TypeError):
        return 0


def _path(sweep: SweepDir) -> Path:
    return sweep.slurm / "halted.json"
