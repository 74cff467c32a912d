"""A worker process: `python -m lthsweep.launch.worker SWEEP --name NAME [--device cpu] [--core N …]`.

Tasks come as JSON lines on standard input; messages leave as JSON lines on the file descriptor `--events`. Closing
standard input, SIGTERM and SIGUSR2 all mean: write a checkpoint before the next step and leave. A worker whose
coordinator was killed sees its input close and does the same, so no orphan trains on.

Cores and threads are settled before torch is imported, because its thread pools are made on import.

The `Worker` itself does not know how it is spoken to: an MPI rank hands it another `Line`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lthsweep.errors import CancelledError, DataError, LthsweepError, PruningError, StoreError
from lthsweep.launch.line import Line, PipeLine
from lthsweep.launch.settle import log_to, settle_cores
from lthsweep.launch.task import STALE_SECONDS, Message, Task
from lthsweep.store import claims, failures, progress
from lthsweep.store.layout import SweepDir

__all__ = ["Worker", "main"]

_BEAT_SECONDS = 10.0


def main(arguments: list[str] | None = None) -> int:
    """Work until standard input closes; returns 0, or 1 if events can no longer be delivered."""
    parser = argparse.ArgumentParser(prog="lthsweep.launch.worker")
    parser.add_argument("sweep", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--core", type=int, action="append", default=[])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--events", type=int, required=True)
    options = parser.parse_args(arguments)
    settle_cores(options.core)
    with os.fdopen(options.events, "w", buffering=1) as events:
        worker = Worker(SweepDir(options.sweep), options.name, PipeLine(sys.stdin, events))
        return worker.serve(options.device, options.threads)


@dataclass
class Worker:
    """One process that trains one run at a time.

    Attributes:
        sweep: the sweep directory it works on.
        name: its own, unique in the sweep, fit to name a file.
        line: to its coordinator.
    """

    sweep: SweepDir
    name: str
    line: Line

    def __post_init__(self) -> None:
        self._next_beat = 0.0

    def serve(self, device_name: str, threads: int) -> int:
        """Take tasks until the line is closed; a signal closes it."""
        for number in (signal.SIGTERM, signal.SIGUSR2):
            signal.signal(number, lambda *_: self.line.close())
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the coordinator, which asks us to stop

        import torch

        from lthsweep.launch import execute

        torch.set_num_threads(threads)
        # fp32 is to mean fp32: by default GPUs convolve it in TF32, with 10 bits of mantissa.
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        device = torch.device(device_name)
        if device.type == "cuda":
            torch.cuda.set_device(
                device.index or 0
            )  # else streams and pinned memory would be the first GPU's
        try:
            self.line.say(Message("ready"))
            while _is_usable(device) and (task := self.line.take()) is not None:
                try:
                    self._work(task, device, execute)
                except BrokenPipeError:
                    raise
                except (
                    Exception
                ) as error:  # around the training itself: a claim that cannot be written, a profile
                    traceback.print_exc()
                    self._say_failed(task, error)
        except BrokenPipeError:  # the coordinator is gone; the checkpoint is written, there is nobody to tell
            return 1
        finally:
            progress.remove_heartbeat(self.sweep, self.name)
        return 0

    def _work(self, task: Task, device: Any, execute: Any) -> None:
        if self.line.is_closed():
            self.line.say(Message("stopped", task.key))
            return
        if task.operation == "profile":
            seconds = execute.measure_epoch(task, device)
            self.line.say(
                Message("finished", task.key, {"outcome": "profiled", "seconds_per_epoch": seconds})
            )
            return
        if self.sweep.has_record(
            task.key
        ):  # at most snapshots are missing; who makes them first does not matter
            with log_to(self.sweep.log(task.key)):
                self._train(task, device, execute, owner=None)
            return
        owner = claims.this_process()
        if not claims.take(self.sweep, task.key, owner, stale_seconds=STALE_SECONDS):
            self.line.say(Message("held", task.key))
            return
        try:
            with log_to(self.sweep.log(task.key)):
                self._train(task, device, execute, owner)
        finally:
            claims.release(self.sweep, task.key, owner)

    def _attempts(self, key: str) -> int:
        """How often the run was started before, by its log: the coordinator knows of its own attempts only."""
        try:
            lines = self.sweep.log(key).read_text(errors="replace").splitlines()
        except OSError:
            return 0
        return sum(line.startswith("--- ") and ", attempt " in line for line in lines)

    def _train(self, task: Task, device: Any, execute: Any, owner: claims.Owner | None) -> None:
        cancelled = failures.is_cancelled(self.sweep, task.key)

        def stop() -> bool:
            return cancelled or self.line.is_closed()

        def report(values: Mapping[str, Any]) -> None:
            nonlocal cancelled
            now = time.monotonic()
            if now >= self._next_beat:
                self._next_beat = now + _BEAT_SECONDS
                if owner is not None:
                    claims.refresh(self.sweep, task.key, owner)
                self._beat(task, started, values)
                cancelled = failures.is_cancelled(self.sweep, task.key)
            self.line.say(Message("progress", task.key, values))

        task = replace(task, attempt=1 + self._attempts(task.key))
        print(
            f"--- {task.label} ({task.key}), attempt {task.attempt}, "
            f"host {socket.gethostname()} pid {os.getpid()}, {time.strftime('%Y-%m-%d %H:%M:%S')}",
            flush=True,
        )
        self._next_beat = 0.0
        started = time.time()
        self._beat(task, started, {})
        try:
            outcome = execute.execute(task, self.sweep, device, stop=stop, report=report)
        except Exception as error:
            traceback.print_exc()
            self._say_failed(task, error)
            return
        print(f"--- {outcome}", flush=True)
        if outcome.ending == "stopped" and cancelled:
            self._say_failed(task, CancelledError("cancelled; `lthsweep run --retry-failed` goes on with it"))
            return
        if outcome.ending == "stopped":
            self.line.say(Message("stopped", task.key))
            return
        failures.clear_failure(self.sweep, task.key)
        self.line.say(
            Message(
                "finished",
                task.key,
                {
                    "outcome": outcome.ending,
                    "seconds_per_epoch": outcome.seconds_per_epoch,
                    "test_accuracy": outcome.test_accuracy,
                },
            )
        )

    def _beat(self, task: Task, started: float, values: Mapping[str, Any]) -> None:
        accuracy, rate = values.get("val_accuracy"), values.get("images_per_second")
        with contextlib.suppress(StoreError):  # advice only
            progress.write_heartbeat(
                self.sweep,
                progress.Heartbeat(
                    worker=self.name,
                    host=socket.gethostname(),
                    pid=os.getpid(),
                    key=task.key,
                    phase=str(values.get("phase", "train")),
                    epoch=float(values.get("epoch", 0.0)),
                    epochs=float(values.get("epochs", task.recipe["train"]["epochs"])),
                    value=float("nan") if accuracy is None else float(accuracy),
                    rate=float("nan") if rate is None else float(rate),
                    started=started,
                    time=time.time(),
                ),
            )

    def _say_failed(self, task: Task, error: Exception) -> None:
        # What the package itself refuses, it refuses again; what the machine or a library threw may pass.
        own = isinstance(error, LthsweepError)
        retry = not own or isinstance(error, StoreError)
        values = {
            "cause": str(error) if own else f"{type(error).__name__}: {error}",
            "error": type(error).__name__,
            "retry": retry,
            "infrastructure": isinstance(error, OSError | MemoryError) and not isinstance(error, DataError),
            "science": isinstance(error, PruningError),
        }
        self.line.say(Message("failed", task.key, values))


def _is_usable(device: Any) -> bool:
    """A GPU on which something went badly wrong refuses its process everything until it ends; so let it end."""
    if device.type != "cuda":
        return True
    import torch

    try:
        torch.cuda.synchronize(device)
    except RuntimeError:
        traceback.print_exc()
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
