"""Small jobs for a real cluster: what they do is a line of Python, what they saw is on disk."""

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
"""What a job does that is to stay in the queue."""


def job_in(folder: Path, program: str, **changes: object) -> Job:
    """A job with a name of its own that runs a line of Python; arguments are attributes of `Job`."""
    name = f"lth-{uuid.uuid4().hex[:8]}-0001"
    job = Job(name=name, command=(sys.executable, "-c", program), folder=folder, minutes=5)
    return replace(job, **changes)  # type: ignore[arg-type]


@contextmanager
def stopped(cluster: DevCluster, daemon: str) -> Iterator[None]:
    """While the block runs, a daemon takes connections and does nothing with them, as one under load does."""
    pid = int((cluster.folder / "run" / f"{daemon}.pid").read_text())
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def logs(folder: Path) -> Iterator[str]:
    """What jobs wrote, a text for each log."""
    return (path.read_text() for path in sorted(folder.glob("*_log.out")))
