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
import sys
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lthsweep.errors import StoreError
from lthsweep.launch.attempt import Attempt, attempts_before, failure_of
from lthsweep.launch.line import Line, PipeLine
from lthsweep.launch.settle import log_to, settle_cores
from lthsweep.launch.task import LEAVING, STALE_SECONDS, Message, Task
from lthsweep.store import claims, heartbeats
from lthsweep.store.layout import SweepDir
from lthsweep.store.owners import Owner, this_process

__all__ = ["Worker", "main"]


def main(arguments: list[str] | None = None) -> int:
    """Work until standard input closes; returns what `Worker.serve` returns."""
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
    """One process that trains one run at a time, or several as one.

    Attributes:
        sweep: the sweep directory it works on.
        name: its own, unique in the sweep, fit to name a file.
        line: to its coordinator.
    """

    sweep: SweepDir
    name: str
    line: Line

    def serve(self, device_name: str, threads: int) -> int:
        """Take tasks until the line is closed; a signal closes it.

        Returns:
            0; 1 if messages can no longer be delivered; `LEAVING` if the device is of no use any more.
        """
        for number in (signal.SIGTERM, signal.SIGUSR2):
            signal.signal(number, lambda *_: self.line.close())
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the coordinator, which asks us to stop

        import torch

        from lthsweep.launch.execute import measure_epoch
        from lthsweep.launch.fused import train

        torch.set_num_threads(threads)
        # fp32 is to mean fp32: by default GPUs convolve it in TF32, with 10 bits of mantissa.
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        device = torch.device(device_name)
        if device.type == "cuda":
            # Else streams and pinned memory would be the first GPU's. What is wrong with a GPU, its first run will say.
            with contextlib.suppress(RuntimeError, AssertionError):
                torch.cuda.set_device(device.index or 0)
        try:
            self.line.say(Message("ready", values={"device": device_name}))
            while (task := self.line.take()) is not None:
                if task.operation == "profile":
                    self._profile(task, device, measure_epoch)
                else:
                    self.work(task, device, train)
                if not _is_usable(device):
                    return LEAVING
        except BrokenPipeError:  # the coordinator is gone; the checkpoint is written, there is nobody to tell
            return 1
        finally:
            heartbeats.remove_heartbeat(self.sweep, self.name)
        return 0

    def _profile(self, task: Task, device: Any, measure_epoch: Any) -> None:
        try:
            seconds = measure_epoch(task, device)
            values = {"outcome": "profiled", "seconds_per_epoch": seconds}
            self.line.say(Message("finished", task.key, values))
        except BrokenPipeError:
            raise
        except Exception as error:
            traceback.print_exc()
            self.line.say(Message("failed", task.key, failure_of(error)))

    def work(self, task: Task, device: Any, train: Any) -> None:
        """Train a run, or several as one; those that have a record or another's claim go their own way.

        Args:
            task: what to train.
            device: a `torch.device`.
            train: `lthsweep.launch.fused.train`, which brings torch with it.
        """
        tasks = [
            replace(one, attempt=1 + attempts_before(self.sweep, one.key), companions=[])
            for one in task.together
        ]
        owner = this_process()
        mine = []
        for one in tasks:
            try:
                if self.line.is_closed():
                    self.line.say(Message("stopped", one.key))
                elif self.sweep.has_record(one.key):
                    # At most snapshots are missing; who makes them first does not matter.
                    self._train([one], device, train, owner=None)
                elif claims.take(self.sweep, one.key, owner, stale_seconds=STALE_SECONDS):
                    mine.append(one)
                else:
                    self.line.say(Message("held", one.key))
            except StoreError as error:  # a claim that cannot be written
                traceback.print_exc()
                self.line.say(Message("failed", one.key, failure_of(error)))
        if mine:
            self._train(mine, device, train, owner)

    def _train(self, tasks: list[Task], device: Any, train: Any, owner: Owner | None) -> None:
        attempt = Attempt(self.sweep, self.name, self.line, tasks, owner)
        try:
            with log_to(self.sweep.log(tasks[0].key)):
                attempt.begin()
                train(tasks, self.sweep, device, attempt)
        except BrokenPipeError:
            raise
        except Exception as error:
            for task in attempt.untold:
                attempt.fail(task.key, error)
        finally:
            attempt.close()


def _is_usable(device: Any) -> bool:
    """A GPU on which something went badly wrong refuses its process everything until it ends; so let it end."""
    from lthsweep.training.devices import synchronize

    try:
        synchronize(device)
    except (RuntimeError, AssertionError):
        traceback.print_exc()
        return False
    return True


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Everything is on the disk and told. To take torch apart again would take each worker half a second.
    os._exit(code)
