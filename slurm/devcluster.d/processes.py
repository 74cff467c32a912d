"""Start a process that outlives this one, find it again, and kill it with everything below it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Process", "children", "kill_tree", "name", "recorded", "start", "started"]


@dataclass(frozen=True)
class Process:
    """A pid, and when it started (ticks since boot): together they name one process for good."""

    pid: int
    started: int

    def alive(self) -> bool:
        """True if the process runs; a zombie does not."""
        return started(self.pid) == self.started


def start(
    command: Sequence[str], *, record: Path, log: Path, environment: Mapping[str, str], folder: Path
) -> Process:
    """Start a daemon in a new session; its output is appended to `log`."""
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
        )
    process = Process(child.pid, started(child.pid) or 0)
    record.write_text(json.dumps([process.pid, process.started]) + "\n")
    return process


def recorded(record: Path) -> Process | None:
    """The process of a record if it is alive."""
    try:
        process = Process(*json.loads(record.read_text()))
    except (FileNotFoundError, ValueError):
        return None
    return process if process.alive() else None


def kill_tree(process: Process, patience: float = 30.0) -> None:
    """SIGKILL to a process and all its descendants, like a power cut: no process is notified or can fork.

    All are stopped first, again and again until no new ones appear: a process that is stopped cannot
    escape by forking.
    """
    if not process.alive():
        return
    tree = {process}
    while True:
        for member in tree:
            _signal(member, signal.SIGSTOP)
        found = {process, *_below(process.pid)}
        if found <= tree:
            break
        tree |= found
    for member in tree:
        _signal(member, signal.SIGKILL)
    until = time.monotonic() + patience
    while any(member.alive() for member in tree) and time.monotonic() < until:
        _reap()
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    """Pids of the children of a process."""
    return [child for child, parent in _parents() if parent == pid]


def name(pid: int) -> str:
    """The name of a process's program, as the kernel has it; empty if there is none."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def started(pid: int) -> int | None:
    """When a process started; None if there is none, or it is a zombie."""
    fields = _stat(pid)
    return None if fields is None or fields[0] in "ZX" else int(fields[19])


def _below(pid: int) -> Iterator[Process]:
    parents = list(_parents())
    reached = {pid}
    while True:
        new = {child for child, parent in parents if parent in reached} - reached
        if not new:
            break
        reached |= new
    for member in reached - {pid}:
        began = started(member)
        if began is not None:
            yield Process(member, began)


def _parents() -> Iterator[tuple[int, int]]:
    """Every process's pid and its parent's."""
    for entry in Path("/proc").glob("[0-9]*"):
        fields = _stat(int(entry.name))
        if fields is not None:
            yield int(entry.name), int(fields[1])


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat from the state on; the name before them can contain spaces and brackets."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _signal(process: Process, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        if process.alive():
            os.kill(process.pid, number)


def _reap() -> None:
    """Take the exit status of children that ended, lest they stay as zombies while this process lives."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
