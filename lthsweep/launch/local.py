"""Local processes as a pool: fresh interpreters, one per core or GPU, spoken to by pipes.

Not `multiprocessing`: its spawn needs a `__main__` guard in the user's script and pickles what it sends. A worker here
is an ordinary command with its own environment, so threads, allocator and device are settled before it starts.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from lthsweep.errors import LaunchError
from lthsweep.launch.machine import Slot
from lthsweep.launch.mps import daemon_for
from lthsweep.launch.pool import Heard
from lthsweep.launch.settle import ALLOCATOR_VARIABLES, thread_variables
from lthsweep.launch.task import LEAVING, Message, Task
from lthsweep.store.layout import SweepDir

__all__ = ["LocalPool"]

GRACE_SECONDS = 20.0
"""How long workers get to come to the end of a step and leave, before they are killed."""

CHECKPOINT_SECONDS = 0.5
"""And to write each of their checkpoints: of many runs that are trained as one, one after the other."""

_PIPE_BYTES = 1 << 19
"""A task has 1.4 kB for each of its runs. Handing it out must not wait for a worker that was frozen."""

_MAX_FALSE_STARTS = 3
_MAX_KILLED_STARTS = 20  # somebody else's doing (memory, a rude neighbor), which may pass


@dataclass
class _Process:
    """One worker process, its pipes, and the runs it has."""

    name: str
    slot: Slot
    popen: subprocess.Popen[str]
    events: IO[bytes]
    log: Path
    ready: bool = False
    untold: list[str] = field(default_factory=list)  # keys of its task that it has not said the end of
    buffer: bytes = field(default=b"")


class LocalPool:
    """Worker processes on this machine.

    Args:
        sweep: the sweep directory they work on.
        slots: one per worker.
    """

    def __init__(self, sweep: SweepDir, slots: Sequence[Slot]) -> None:
        self._sweep = sweep
        self._selector = selectors.DefaultSelector()
        self._processes: dict[str, _Process] = {}
        self._false_starts = 0
        self._killed_starts = 0
        self._mps = daemon_for(slots)
        for number, slot in enumerate(slots):
            self._start(f"{socket.gethostname()}-{os.getpid()}-{number}", slot)

    def idle(self) -> list[str]:
        """Workers that have started up and wait for a task."""
        return [name for name, process in self._processes.items() if process.ready and not process.untold]

    def starting(self) -> int:
        """Workers that start up."""
        return sum(not process.ready for process in self._processes.values())

    def give(self, worker: str, task: Task) -> None:
        """Hand a task to a worker. If it has just died, `wait` tells, and its runs count as failed."""
        process = self._processes[worker]
        process.untold = [one.key for one in task.together]
        assert process.popen.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.popen.stdin.write(task.to_json() + "\n")
            process.popen.stdin.flush()

    def wait(self, seconds: float) -> list[Heard]:
        """Messages of workers; a dead worker's runs are heard as failed, and another worker takes its place."""
        found: list[Heard] = []
        for selected, _ in self._selector.select(seconds):
            process = self._processes[selected.data]
            chunk = os.read(process.events.fileno(), 1 << 16)
            if chunk:
                found.extend(self._messages(process, chunk))
            else:
                found.extend(self._bury(process))
                self._start(process.name, process.slot)
        return found

    def stop(self) -> list[Heard]:
        """Close every worker's input and signal those at work; kill who is still there after the grace period."""
        found: list[Heard] = []
        for process in self._processes.values():
            with contextlib.suppress(OSError):
                if process.untold:
                    process.popen.send_signal(signal.SIGTERM)
                assert process.popen.stdin is not None
                process.popen.stdin.close()
        most = max((len(process.untold) for process in self._processes.values()), default=0)
        grace = GRACE_SECONDS + most * CHECKPOINT_SECONDS
        deadline = time.monotonic() + grace
        while self._processes:
            left = deadline - time.monotonic()
            if left <= 0:
                self.kill()
                deadline = time.monotonic() + grace
            for selected, _ in self._selector.select(max(0.0, min(left, 1.0))):
                process = self._processes[selected.data]
                chunk = os.read(process.events.fileno(), 1 << 16)
                found.extend(self._messages(process, chunk) if chunk else self._bury(process))
        if self._mps is not None:
            self._mps.quit()
        return found

    def kill(self) -> None:
        """Kill all workers now; their runs go on from their last checkpoints another time."""
        for process in self._processes.values():
            process.popen.kill()

    @property
    def pids(self) -> dict[str, int]:
        """Worker → process id."""
        return {name: process.popen.pid for name, process in self._processes.items()}

    def _start(self, name: str, slot: Slot) -> None:
        if self._false_starts >= _MAX_FALSE_STARTS or self._killed_starts >= _MAX_KILLED_STARTS:
            self.kill()
            raise LaunchError(
                f"{self._false_starts + self._killed_starts} worker processes in a row ended before they were ready; "
                f"the last one said:\n"
                f"{self._last_words(name)}\nMend the installation (`lthsweep doctor` checks it) and run again"
            )
        read_end, write_end = os.pipe()
        log = self._sweep.logs / f"worker-{name}.log"
        command = [sys.executable, "-m", "lthsweep.launch.worker", str(self._sweep.path), "--name", name]
        command += ["--device", slot.device, "--threads", str(slot.threads), "--events", str(write_end)]
        for core in slot.cores:
            command += ["--core", str(core)]
        environment = {**os.environ, **ALLOCATOR_VARIABLES, **thread_variables(slot.threads)}
        if self._mps is not None:
            environment |= self._mps.variables
        try:
            with log.open("ab") as output:
                popen = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=[write_end],
                    env=environment,
                    start_new_session=True,  # a Ctrl-C in the terminal is for us; we ask the workers ourselves
                    text=True,
                )
        except OSError as error:
            os.close(read_end)
            raise LaunchError(f"cannot start a worker process: {error}") from error
        finally:
            os.close(write_end)
        assert popen.stdin is not None
        with contextlib.suppress(OSError, AttributeError):  # only Linux knows how; else 64 KiB must do
            fcntl.fcntl(popen.stdin, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        events = os.fdopen(read_end, "rb", buffering=0)
        self._processes[name] = _Process(name, slot, popen, events, log)
        self._selector.register(events, selectors.EVENT_READ, name)

    def _messages(self, process: _Process, chunk: bytes) -> list[Heard]:
        *lines, process.buffer = (process.buffer + chunk).split(b"\n")
        found = []
        for line in lines:
            message = Message.from_json(line.decode())
            if message.kind == "ready":
                process.ready = True
                self._false_starts = self._killed_starts = 0
            elif message.kind != "progress" and message.key in process.untold:
                process.untold.remove(message.key)
            found.append(Heard(process.name, message))
        return found

    def _bury(self, process: _Process) -> list[Heard]:
        self._selector.unregister(process.events)
        process.events.close()
        code = process.popen.wait()
        with contextlib.suppress(OSError):
            assert process.popen.stdin is not None
            process.popen.stdin.close()
        del self._processes[process.name]
        if not process.ready and code == -signal.SIGKILL:
            self._killed_starts += 1
        elif not process.ready:
            self._false_starts += 1
        elif process.log.exists() and not process.log.stat().st_size:
            process.log.unlink()
        cause = f"its worker (pid {process.popen.pid}) {_describe_exit(code)}"
        if code == LEAVING:
            return [Heard(process.name, Message("returned", key, {"cause": cause})) for key in process.untold]
        values = {"cause": cause, "error": "WorkerDied", "retry": True, "infrastructure": True}
        return [Heard(process.name, Message("failed", key, values)) for key in process.untold]

    def _last_words(self, name: str) -> str:
        try:
            lines = (self._sweep.logs / f"worker-{name}.log").read_text(errors="replace").splitlines()
        except OSError:
            return "(no log)"
        return "\n".join(f"    {line}" for line in lines[-12:])


def _describe_exit(code: int) -> str:
    if code >= 0:
        return f"exited with status {code}"
    number = -code
    name = signal.Signals(number).name if number in set(signal.Signals) else str(number)
    hint = " (out of memory? see `dmesg`)" if number == signal.SIGKILL else ""
    return f"was killed by {name}{hint}"
