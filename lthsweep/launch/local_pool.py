"""A pool of worker processes on this machine: fresh interpreters, one per core or GPU, connected through pipes.

multiprocessing is not used: its spawn method needs a `__main__` guard in the user's script and pickles all messages. A
worker here is an ordinary command with its own environment, so threads, allocator and device are set before it starts.
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
from lthsweep.launch.dispatch import Pool
from lthsweep.launch.events import Event, Failed, Message, Ready, Requeued, RunProgress, event_from_json
from lthsweep.launch.process_env import ALLOCATOR_VARIABLES, EXIT_DEVICE_LOST, thread_variables
from lthsweep.launch.slots import Slot
from lthsweep.launch.task import Task
from lthsweep.store.layout import SweepDir

__all__ = ["LocalPool"]

GRACE_SECONDS = 20.0
"""Time for workers to finish their step and leave, before they are killed."""

CHECKPOINT_SECONDS = 0.5
"""Additional time for each checkpoint of a worker: an ensemble writes one for each of its runs."""

_PIPE_BYTES = 1 << 19
"""A task has 1.3 kB for each of its runs. Sending it must not block on a worker that is frozen."""

_MAX_FALSE_STARTS = 3
_MAX_KILLED_STARTS = 20  # killed from outside, for example for lack of memory: may be transient


@dataclass
class _Process:
    """One worker process, its pipes, and its runs."""

    name: str
    slot: Slot
    popen: subprocess.Popen[str]
    events: IO[bytes]
    log: Path
    ready: bool = False
    pending: list[str] = field(default_factory=list)  # keys of its task whose end it has not reported
    buffer: bytes = field(default=b"")


class LocalPool(Pool):
    """Worker processes on this machine.

    Args:
        sweep: the sweep directory.
        slots: one per worker.
    """

    def __init__(self, sweep: SweepDir, slots: Sequence[Slot]) -> None:
        self._sweep = sweep
        self._slots = slots
        self._selector = selectors.DefaultSelector()
        self._processes: dict[str, _Process] = {}
        self._false_starts = 0
        self._killed_starts = 0
        self._mps = None
        if any(slot.device != "cpu" for slot in slots):
            from lthsweep.launch.fused.mps import daemon_for

            self._mps = daemon_for(slots)
        for number, slot in enumerate(slots):
            self._start(f"{socket.gethostname()}-{os.getpid()}-{number}", slot)

    def devices(self) -> set[str]:
        """Return the devices on which the workers train."""
        return {slot.device for slot in self._slots}

    def idle(self) -> list[str]:
        """Return the workers that have started and wait for a task."""
        return [name for name, process in self._processes.items() if process.ready and not process.pending]

    def starting(self) -> int:
        """Return how many workers are starting up."""
        return sum(not process.ready for process in self._processes.values())

    def give(self, worker: str, task: Task) -> None:
        """Send a task to a worker. If the worker has just died, `wait` returns its runs as failed."""
        process = self._processes[worker]
        process.pending = [one.key for one in task.each]
        assert process.popen.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.popen.stdin.write(task.to_json() + "\n")
            process.popen.stdin.flush()

    def wait(self, seconds: float) -> list[Message]:
        """Return messages of workers; replace workers that died, and return their runs as failed."""
        found: list[Message] = []
        for selected, _ in self._selector.select(seconds):
            process = self._processes[selected.data]
            chunk = os.read(process.events.fileno(), 1 << 16)
            if chunk:
                found.extend(self._messages(process, chunk))
            else:
                found.extend(self._remove(process))
                self._start(process.name, process.slot)
        return found

    def stop(self) -> list[Message]:
        """Close every worker's input and signal busy ones; kill those that are left after the grace period."""
        found: list[Message] = []
        for process in self._processes.values():
            with contextlib.suppress(OSError):
                if process.pending:
                    process.popen.send_signal(signal.SIGTERM)
                assert process.popen.stdin is not None
                process.popen.stdin.close()
        most = max((len(process.pending) for process in self._processes.values()), default=0)
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
                found.extend(self._messages(process, chunk) if chunk else self._remove(process))
        if self._mps is not None:
            self._mps.quit()
        return found

    def kill(self) -> None:
        """Kill all workers now. Their runs continue from their last checkpoints another time."""
        for process in self._processes.values():
            process.popen.kill()

    def _start(self, name: str, slot: Slot) -> None:
        if self._false_starts >= _MAX_FALSE_STARTS or self._killed_starts >= _MAX_KILLED_STARTS:
            self.kill()
            raise LaunchError(
                f"{self._false_starts + self._killed_starts} worker processes in a row ended before they were ready; "
                f"the log of the last one ends with:\n"
                f"{self._log_tail(name)}\n"
                + (
                    "They were killed: give them more memory (slurm.memory), or start fewer (local.workers)"
                    if self._killed_starts
                    else "Repair the installation (`lthsweep doctor` checks it) and run again"
                )
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
                    start_new_session=True,  # keeps Ctrl-C in the terminal from the workers
                    text=True,
                )
        except OSError as error:
            os.close(read_end)
            raise LaunchError(f"cannot start a worker process: {error}") from error
        finally:
            os.close(write_end)
        assert popen.stdin is not None
        with contextlib.suppress(
            OSError, AttributeError
        ):  # Linux only; elsewhere the default of 64 KiB has to do
            fcntl.fcntl(popen.stdin, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        events = os.fdopen(read_end, "rb", buffering=0)
        self._processes[name] = _Process(name, slot, popen, events, log)
        self._selector.register(events, selectors.EVENT_READ, name)

    def _messages(self, process: _Process, chunk: bytes) -> list[Message]:
        *lines, process.buffer = (process.buffer + chunk).split(b"\n")
        found = []
        for line in lines:
            event = event_from_json(line)
            if isinstance(event, Ready):
                process.ready = True
                self._false_starts = self._killed_starts = 0
            elif not isinstance(event, RunProgress) and event.key in process.pending:
                process.pending.remove(event.key)
            found.append(Message(process.name, event))
        return found

    def _remove(self, process: _Process) -> list[Message]:
        """Remove a worker that has ended, and return the ends of its runs."""
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

        def end_of(key: str) -> Event:
            if code == EXIT_DEVICE_LOST:
                return Requeued(key, cause)
            return Failed(key, cause, "WorkerDied", retry=True, infrastructure=True)

        return [Message(process.name, end_of(key)) for key in process.pending]

    def _log_tail(self, name: str) -> str:
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
