"""Small jobs for a real cluster: each runs a line of Python and writes its output to disk."""

from __future__ import annotations

import os
import signal
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from lthsweep.launch.slurm.cluster.script import Job
from lthsweep.launch.slurm.sites.site import Site
from tests.slurm.conftest import DevCluster

__all__ = ["SITE", "WAITS", "job_in", "logs", "stopped"]

SITE = Site(cpus=1, memory="100M")

WAITS = "import time; time.sleep(600)"
"""Program of a job that stays in the queue."""


def job_in(folder: Path, program: str, **changes: object) -> Job:
    """Return a uniquely named job that runs a line of Python; `changes` are attributes of `Job`."""
    name = f"lth-{uuid.uuid4().hex[:8]}-0001"
    job = Job(name=name, command=(sys.executable, "-c", program), folder=folder, minutes=5)
    return replace(job, **changes)  # type: ignore[arg-type]


@contextmanager
def stopped(cluster: DevCluster, daemon: str) -> Iterator[None]:
    """Freeze a daemon during the block: it accepts connections and does not answer, as under high load."""
    pid = int((cluster.folder / "run" / f"{daemon}.pid").read_text())
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def logs(folder: Path) -> Iterator[str]:
    """Yield the text of each job log."""
    return (path.read_text() for path in sorted(folder.glob("*_log.out")))
