"""A worker process: `python -m lthsweep.launch.worker SWEEP --name NAME --events FD [--device cpu] [--core N …]`.

Tasks arrive as lines of JSON on standard input; events leave as lines of JSON on the file descriptor `--events`.
When standard input closes, or on SIGTERM or SIGUSR2, the worker writes a checkpoint before the next step and leaves.
Standard input also closes when the coordinator is killed, so no worker is left behind.

Cores and threads are set before torch is imported, because torch makes its thread pools on import.

`Worker` is the same for every pool; only its `Channel` differs.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lthsweep.errors import StoreError
from lthsweep.launch.channel import Channel, PipeChannel
from lthsweep.launch.events import Finished, Held, Ready, Stopped, TaskOutcome
from lthsweep.launch.failure_cause import failure_event
from lthsweep.launch.process_env import EXIT_DEVICE_LOST, bind_cores, redirect_output
from lthsweep.launch.reporter import RunReporter, attempts_before
from lthsweep.launch.task import STALE_SECONDS, Operation, Task
from lthsweep.store import claims
from lthsweep.store.heartbeats import remove_heartbeat
from lthsweep.store.layout import SweepDir
from lthsweep.store.owners import Owner, this_process

if TYPE_CHECKING:
    import torch

__all__ = ["Worker", "main"]


def main(arguments: list[str] | None = None) -> int:
    """Work until standard input closes; return the exit status of `Worker.serve`."""
    parser = argparse.ArgumentParser(prog="lthsweep.launch.worker")
    parser.add_argument("sweep", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--core", type=int, action="append", default=[])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--events", type=int, required=True)
    options = parser.parse_args(arguments)
    bind_cores(options.core)
    with os.fdopen(options.events, "w", buffering=1) as events:
        worker = Worker(SweepDir(options.sweep), options.name, PipeChannel(sys.stdin, events))
        return worker.serve(options.device, options.threads)


@dataclass
class Worker:
    """Trains the runs that it receives, one task after the other.

    Attributes:
        sweep: the sweep directory.
        name: unique in the sweep, and valid as a file name.
        channel: to its coordinator.
    """

    sweep: SweepDir
    name: str
    channel: Channel

    def serve(self, device_name: str, threads: int) -> int:
        """Work on tasks until the channel closes; a signal closes it.

        Returns:
            0; 1 if the coordinator is gone; `EXIT_DEVICE_LOST` if the device can no longer be used.
        """
        for number in (signal.SIGTERM, signal.SIGUSR2):
            signal.signal(number, lambda *_: self.channel.close())
        signal.signal(
            signal.SIGINT, signal.SIG_IGN
        )  # the coordinator handles Ctrl-C and asks workers to leave

        import torch

        torch.set_num_threads(threads)
        # By default GPUs convolve fp32 in TF32, with a mantissa of 10 bits.
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        device = torch.device(device_name)
        if device.type == "cuda":
            # Otherwise streams and pinned memory belong to the first GPU. A broken GPU fails its first run.
            with contextlib.suppress(RuntimeError, AssertionError):
                torch.cuda.set_device(device.index or 0)
        try:
            self.channel.send(Ready(device_name))
            while (task := self.channel.receive()) is not None:
                if task.operation is Operation.PROFILE:
                    self._profile(task, device)
                else:
                    self.work(task, device)
                if not _is_usable(device):
                    return EXIT_DEVICE_LOST
        except BrokenPipeError:  # the coordinator is gone; the checkpoint is already written
            return 1
        finally:
            remove_heartbeat(self.sweep, self.name)
        return 0

    def work(self, task: Task, device: torch.device) -> None:
        """Claim the run of a task and train it; with companions, train all that could be claimed in one ensemble."""
        owner = this_process()
        claimed = [reporter for one in task.each if (reporter := self._claim(one, owner, device)) is not None]
        if len(claimed) > 1:
            from lthsweep.launch.fused.train import train_fused

            with self._reported(claimed):
                train_fused(claimed, self.sweep, device)
        elif claimed:
            self._train(claimed[0], device)

    def _claim(self, task: Task, owner: Owner, device: torch.device) -> RunReporter | None:
        """Return the reporter of a run that this worker has claimed; None if its end is reported already."""
        task = replace(task, attempt=1 + attempts_before(self.sweep, task.key))
        try:
            if self.channel.is_closed():
                self.channel.send(Stopped(task.key))
            elif self.sweep.has_record(task.key):
                # At most snapshots are missing. They need no claim: every worker writes the same ones.
                self._train(RunReporter(self.sweep, self.name, self.channel, task, owner=None), device)
            elif claims.take(self.sweep, task.key, owner, stale_seconds=STALE_SECONDS):
                return RunReporter(self.sweep, self.name, self.channel, task, owner)
            else:
                self.channel.send(Held(task.key))
        except StoreError as error:  # the claim could not be written
            traceback.print_exc()
            self.channel.send(failure_event(task.key, error))
        return None

    def _train(self, reporter: RunReporter, device: torch.device) -> None:
        from lthsweep.launch.execute import execute

        with self._reported([reporter]):
            reporter.begin()
            finished = execute(
                reporter.task, self.sweep, device, stop=reporter.should_stop, report=reporter.progress
            )
            if finished is None:
                reporter.stop()
            else:
                reporter.finish(finished)

    @contextlib.contextmanager
    def _reported(self, reporters: Sequence[RunReporter]) -> Iterator[None]:
        """Write output to the log of the first run, report an exception, and release claims that are left."""
        try:
            with redirect_output(self.sweep.log(reporters[0].task.key)):
                yield
        except BrokenPipeError:
            raise
        except Exception as error:
            for reporter in reporters:
                if reporter.is_open:
                    reporter.fail(error)
        finally:
            for reporter in reporters:
                reporter.close()

    def _profile(self, task: Task, device: torch.device) -> None:
        from lthsweep.launch.execute import measure_epoch

        try:
            seconds = measure_epoch(task, device)
            self.channel.send(Finished(task.key, TaskOutcome.PROFILED, seconds))
        except BrokenPipeError:
            raise
        except Exception as error:
            traceback.print_exc()
            self.channel.send(failure_event(task.key, error))


def _is_usable(device: torch.device) -> bool:
    """Return whether the device still works. After some errors CUDA refuses everything until the process ends."""
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
    # Everything is on disk and reported. A normal exit would spend half a second on taking torch apart.
    os._exit(code)
