"""The decisions of a sweep's coordinators on SLURM: one line each in `logs/controller.log`, and the last limit.

Login nodes, controller jobs and worker jobs append to one file, so it shows in order who submitted what, and why.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from pathlib import Path

from lthsweep.errors import StoreError
from lthsweep.store import commit
from lthsweep.store.layout import SweepDir

__all__ = ["last_step", "note_decision", "read_step_note", "write_step_note"]

_log = logging.getLogger(__name__)


def note_decision(sweep: SweepDir, text: str) -> None:
    """Append a line with time, host and process; a full disk is no failure."""
    _log.info("%s", text)
    now, text = time.strftime("%Y-%m-%d %H:%M:%S"), " ".join(text.split())
    line = f"{now} {socket.gethostname()} pid {os.getpid()}: {text}\n"
    with contextlib.suppress(OSError):
        # One write per line: appends of several processes do not mix.
        file = os.open(
            sweep.logs / "controller.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644
        )
        try:
            os.write(file, line.encode(errors="replace"))
        finally:
            os.close(file)


def write_step_note(sweep: SweepDir, limit: str) -> None:
    """Write that a step was taken, and why ready runs got no job; "" if all have one. Advisory."""
    if limit and limit != read_step_note(sweep):
        note_decision(sweep, f"ready runs without a job: {limit}")
    with contextlib.suppress(StoreError):
        commit.replace(_last_step(sweep), limit.encode(errors="replace"), durable=False)


def read_step_note(sweep: SweepDir) -> str:
    """Return why ready runs got no job in the last step."""
    try:
        return commit.read_whole(_last_step(sweep)).decode(errors="replace")
    except (FileNotFoundError, StoreError):
        return ""


def last_step(sweep: SweepDir) -> float:
    """Return when a step was last taken, in seconds since the epoch; 0 if never."""
    try:
        return _last_step(sweep).stat().st_mtime
    except OSError:
        return 0.0


def _last_step(sweep: SweepDir) -> Path:
    return sweep.slurm / "last-step"
