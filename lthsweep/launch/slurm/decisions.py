"""The log of a sweep's coordinators on SLURM: one line for each decision, in `logs/controller.log`.

Login nodes, controller jobs and worker jobs append to one file, so it shows in order who submitted what, and why.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time

from lthsweep.store.layout import SweepDir

__all__ = ["note_decision"]

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
