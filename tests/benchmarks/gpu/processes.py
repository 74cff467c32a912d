"""Total speed of several processes on one GPU, with and without MPS.

All processes start at the beginning, some as clients of a separate MPS daemon. Processes that are not measured wait, so
that measurements can take turns. A process takes requests as JSON lines:

    {"case": "lenet", "width": 8, "precision": "fp32", "seconds": 1.0}

It trains through the warm-up, answers {"ready": true}, waits for a line, trains for that many seconds, and
answers with its steps per second.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import torch

from lthsweep.errors import LthsweepError
from lthsweep.launch.fused.mps import CONTROL, MpsDaemon, daemon_for
from lthsweep.launch.process_env import ALLOCATOR_VARIABLES, thread_variables
from lthsweep.launch.slots import Slot
from lthsweep.training.devices import synchronize
from tests.benchmarks.gpu.cases import CASES, Rig, tiny
from tests.benchmarks.gpu.steps import WARM_UP, Way, settings, take, tidy

ROOT = Path(__file__).resolve().parents[3]
_START_SECONDS, _ANSWER_SECONDS = 600.0, 60.0
_SYNC_SECONDS = 0.05
"""Interval between two synchronizations: launches run ahead of the GPU, and unfinished ones must not count."""


@dataclass(frozen=True)
class Share:
    """A way of sharing a GPU.

    Attributes:
        case, precision: that each process trains.
        width: fused tickets of each process.
        processes: number of processes.
        mps: True if they share through MPS.
    """

    case: str
    precision: str
    width: int
    processes: int
    mps: bool

    def __str__(self) -> str:
        count = "1 process" if self.processes == 1 else f"{self.processes} processes"
        return f"{count}{' with MPS' if self.mps else ''} × {self.width} fused"


class ProcessGroup:
    """Processes that wait to be measured.

    Args:
        processes: number of processes.
        arguments: of their command line.
        variables: their environment.
    """

    def __init__(self, processes: int, arguments: Sequence[str], variables: dict[str, str]) -> None:
        command = [sys.executable, "-m", "tests.benchmarks.gpu", "--serve", *arguments]
        self._all = [
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables, cwd=ROOT
            )
            for _ in range(processes)
        ]
        self._silent: set[subprocess.Popen[str]] = set()

    def rate(self, share: Share, seconds: float) -> float:
        """Steps per second, summed over all processes.

        Raises:
            RuntimeError: if a process fails or does not answer.
        """
        chosen = self._all[: share.processes]
        if silent := [process.pid for process in chosen if process in self._silent]:
            raise RuntimeError(f"process {silent[0]} did not answer an earlier request")
        request = {"case": share.case, "width": share.width, "precision": share.precision, "seconds": seconds}
        for process in chosen:
            _send(process, request)
        received = {process: self._receive(process, _START_SECONDS) for process in chosen}
        ready = [process for process, answer in received.items() if "error" not in answer]
        for process in ready:  # even if others failed: these processes wait for the line
            _send(process, {})
        received |= {process: self._receive(process, _ANSWER_SECONDS + seconds) for process in ready}
        for answer in received.values():
            if "error" in answer:
                raise RuntimeError(answer["error"])
        return float(sum(answer["rate"] for answer in received.values()))

    def _receive(self, process: subprocess.Popen[str], seconds: float) -> dict[str, Any]:
        """The next answer. A process that times out gets no more requests: a late answer would look new."""
        assert process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            line = process.stdout.readline() if selector.select(seconds) else ""
        if not line:
            self._silent.add(process)
            return {"error": f"process {process.pid} does not answer; exit status {process.poll()}"}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def end(self) -> None:
        """Close the inputs and wait; kill processes that hang."""
        for process in self._all:
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        for process in self._all:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def process_groups(
    processes: int, arguments: Sequence[str], environment: dict[str, str], *, cuda: bool
) -> Iterator[Any]:
    """Processes without MPS, and with MPS if it is available.

    Yields:
        {False: group without MPS, True: group with MPS or absent}, and the reason why there is no MPS, or "".
    """
    base = {**environment, **ALLOCATOR_VARIABLES, **thread_variables(1)}
    daemon: MpsDaemon | None = None
    if cuda:
        daemon = daemon_for([Slot("cuda:0", (), 1)] * 2)
    why = (
        ""
        if daemon
        else f"no daemon was started: check that {CONTROL} is on PATH and that no daemon is running"
    )
    nowhere = tempfile.mkdtemp(prefix="lthsweep-no-mps-")  # keeps a running daemon from serving them
    found = {False: ProcessGroup(processes, arguments, base | {"CUDA_MPS_PIPE_DIRECTORY": nowhere})}
    try:
        if daemon is not None:
            found[True] = ProcessGroup(processes, arguments, base | dict(daemon.variables))
        yield found, why
    finally:
        for group in found.values():
            group.end()
        if daemon is not None:
            daemon.quit()
        shutil.rmtree(nowhere, ignore_errors=True)


def serve(device: torch.device, *, small: bool, requests: TextIO, answers: TextIO) -> None:
    """Serve requests in one of the processes, until they end."""
    rigs: dict[str, Rig] = {}
    for line in requests:
        request = json.loads(line)
        name = request["case"]
        try:
            if name not in rigs:
                rigs[name] = Rig(tiny(CASES[name]) if small else CASES[name], device)
            way = Way(request["precision"], request["width"], graph=device.type == "cuda")
            answer: dict[str, Any] = {
                "rate": _rate(rigs[name], way, float(request["seconds"]), requests, answers)
            }
            rigs[name].forget()
        except (RuntimeError, LthsweepError) as error:
            rigs.pop(name, None)
            answer = {"error": f"{type(error).__name__}: {error}"}
        tidy(device)  # leave the memory to the processes that are measured next
        _print(answers, answer)


def _rate(rig: Rig, way: Way, seconds: float, requests: TextIO, answers: TextIO) -> float:
    start, synchronized, steps, rate = 0.0, 0.0, 0, 0.0

    def between(training: Any) -> bool:
        nonlocal start, synchronized, steps, rate
        done = training.progress.step
        if done < WARM_UP:
            return False
        if done == WARM_UP:
            synchronize(rig.device)
            _print(answers, {"ready": True})
            requests.readline()
            start = synchronized = time.perf_counter()
            return False
        steps += 1
        if time.perf_counter() - synchronized < _SYNC_SECONDS:
            return False
        synchronize(rig.device)
        synchronized = time.perf_counter()
        rate = steps / (synchronized - start)
        return synchronized - start >= seconds

    with settings(way):
        take(rig.tickets(way.width, way.precision), between)
    return rate


def _print(answers: TextIO, values: dict[str, Any]) -> None:
    print(json.dumps(values), file=answers, flush=True)


def _send(process: subprocess.Popen[str], values: dict[str, Any]) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # the missing answer reports it
        process.stdin.write(json.dumps(values) + "\n")
        process.stdin.flush()
