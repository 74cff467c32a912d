"""The owner of a claim: a process, identified by its machine, its start and, on SLURM, its job.

An owner has ended if the SLURM job it ran in was started again since, or if its process on this machine is gone, or its
pid belongs to a process started at another time. The state of owners on other machines is unknown.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from lthsweep.store import plainjson

__all__ = ["Owner", "has_ended", "is_here", "this_process"]


@dataclass(frozen=True)
class Owner:
    """The process that holds a claim.

    Attributes:
        host: its name, for messages.
        place: boot id and pid namespace, in which `pid` is valid; "" if unknown.
        pid: process id.
        start: start of that process, in the kernel's ticks since boot; distinguishes a reused pid from
            the old one.
        token: unique per owner, also for two owners in one process.
        job: the SLURM job it runs in; "" outside of one.
        restarts: number of restarts of that job by SLURM until then. A job runs once at a time, so an owner of
            the same job with fewer restarts is dead.
    """

    host: str
    place: str
    pid: int
    start: int
    token: str
    job: str = ""
    restarts: int = 0

    @classmethod
    def parse(cls, data: bytes) -> Owner | None:
        """Return the owner in a claim; None if it was released or cannot be read."""
        try:
            content = plainjson.load(data)
            return cls(
                host=str(content["host"]),
                place=str(content["place"]),
                pid=int(content["pid"]),
                start=int(content["start"]),
                token=str(content["token"]),
                job=str(content.get("job", "")),
                restarts=int(content.get("restarts", 0)),
            )
        except (ValueError, KeyError, TypeError):
            return None


def this_process() -> Owner:
    """Return a new owner that lives as long as this process."""
    pid = os.getpid()
    return Owner(
        host=socket.gethostname(),
        place=_place(),
        pid=pid,
        start=_start_of(pid) or 0,
        token=os.urandom(16).hex(),
        job=os.environ.get("SLURM_JOB_ID", ""),
        restarts=int(os.environ.get("SLURM_RESTART_COUNT") or 0),
    )


def has_ended(owner: Owner) -> bool:
    """Return True if an owner has certainly ended: its job was restarted, or its process on this machine is gone.

    False means unknown.
    """
    here = this_process()
    if owner.job and owner.job == here.job and owner.restarts < here.restarts:
        return True  # its process can still exist, stopped or out of reach of SLURM
    return is_here(owner) and _start_of(owner.pid) != owner.start


def is_here(owner: Owner) -> bool:
    """Return True if the pid of an owner is valid on this machine."""
    return bool(owner.place) and owner.place == _place()


def _place() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # no /proc: the state of pids is unknown, heartbeats decide
        return ""


def _start_of(pid: int) -> int | None:
    """Return the start of a process; None if it is gone or only its exit status is left."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name in parentheses may hold anything
    return None if fields[0] in "ZX" else int(fields[19])
