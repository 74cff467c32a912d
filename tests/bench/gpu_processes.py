"""Several processes on one GPU, with and without MPS: how much they train together.

All processes are started at the beginning, some as clients of an MPS daemon of the benchmark's own; who is not measured
waits, so that ways can be measured in turns. A process takes requests as JSON lines:

    {"case": "lenet", "width": 8, "precision": "fp32", "seconds": 1.0}

It trains until it is warm, says {"ready": true}, waits for a line, trains so many seconds more, and says how many steps
a second these were.
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
from tests.bench.gpu_cases import CASES, Rig, tiny
from tests.bench.gpu_steps import WARM_UP, Way, settings, take, tidy

_START_SECONDS, _ANSWER_SECONDS = 600.0, 60.0
_LOOK_SECONDS = 0.05
"""Between two waits for the GPU: launches run ahead of it, and those that are to come do not count."""


@dataclass(frozen=True)
class Share:
    """How a GPU is shared.

    Attributes:
        case, precision: what each process trains.
        width: tickets fused in each.
        processes: how many.
        mps: whether through MPS.
    """

    case: str
    precision: str
    width: int
    processes: int
    mps: bool

    def __str__(self) -> str:
        count = "1 process" if self.processes == 1 else f"{self.processes} processes"
        return f"{count}{' with MPS' if self.mps else ''} × {self.width} fused"


class Crowd:
    """Processes that wait to be measured.

    Args:
        processes: how many at most at a time.
        arguments: of each, after the script's name.
        variables: of their environment, beside ours.
    """

    def __init__(self, processes: int, arguments: Sequence[str], variables: dict[str, str]) -> None:
        script = Path(__file__).with_name("gpu.py")
        command = [sys.executable, str(script), "--serve", *arguments]
        self._all = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables)
            for _ in range(processes)
        ]
        self._silent: set[subprocess.Popen[str]] = set()

    def rate(self, share: Share, seconds: float) -> float:
        """Steps of all fused tickets per second, of all processes together.

        Raises:
            RuntimeError: if one of them fails, with what it said, or does not answer.
        """
        chosen = self._all[: share.processes]
        if gone := [process.pid for process in chosen if process in self._silent]:
            raise RuntimeError(f"process {gone[0]} did not answer in time before")
        request = {"case": share.case, "width": share.width, "precision": share.precision, "seconds": seconds}
        for process in chosen:
            _say(process, request)
        heard = {process: self._hear(process, _START_SECONDS) for process in chosen}
        ready = [process for process, answer in heard.items() if "error" not in answer]
        for process in ready:  # also if others failed: these wait for it
            _say(process, {})
        heard |= {process: self._hear(process, _ANSWER_SECONDS + seconds) for process in ready}
        for answer in heard.values():
            if "error" in answer:
                raise RuntimeError(answer["error"])
        return float(sum(answer["rate"] for answer in heard.values()))

    def _hear(self, process: subprocess.Popen[str], seconds: float) -> dict[str, Any]:
        """Its next line. Who says nothing is not asked again: what it says later would be taken for another answer."""
        assert process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            line = process.stdout.readline() if selector.select(seconds) else ""
        if not line:
            self._silent.add(process)
            return {"error": f"process {process.pid} says nothing; exit status {process.poll()}"}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def end(self) -> None:
        """Close their inputs and wait; who hangs is killed."""
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
def crowds(
    processes: int, arguments: Sequence[str], environment: dict[str, str], *, cuda: bool
) -> Iterator[Any]:
    """Processes without MPS, and with it where it can be had.

    Yields:
        {False: Crowd, True: Crowd}, or the first alone; and why there is no MPS, or an empty string.
    """
    base = {**environment, **ALLOCATOR_VARIABLES, **thread_variables(1)}
    daemon: MpsDaemon | None = None
    if cuda:
        daemon = daemon_for([Slot("cuda:0", (), 1)] * 2)
    why = "" if daemon else f"no daemon was started: is {CONTROL} on PATH, and does none run already?"
    nowhere = tempfile.mkdtemp(prefix="lthsweep-no-mps-")  # else a daemon that runs already would serve them
    found = {False: Crowd(processes, arguments, base | {"CUDA_MPS_PIPE_DIRECTORY": nowhere})}
    try:
        if daemon is not None:
            found[True] = Crowd(processes, arguments, base | dict(daemon.variables))
        yield found, why
    finally:
        for crowd in found.values():
            crowd.end()
        if daemon is not None:
            daemon.quit()
        shutil.rmtree(nowhere, ignore_errors=True)


def serve(device: torch.device, *, small: bool, requests: TextIO, answers: TextIO) -> None:
    """Be one of the processes, until the requests end."""
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
        tidy(device)  # while others are measured, their memory is not to be ours
        _print(answers, answer)


def _rate(rig: Rig, way: Way, seconds: float, requests: TextIO, answers: TextIO) -> float:
    start, looked, steps, rate = 0.0, 0.0, 0, 0.0

    def between(training: Any) -> bool:
        nonlocal start, looked, steps, rate
        done = training.progress.step
        if done < WARM_UP:
            return False
        if done == WARM_UP:
            synchronize(rig.device)
            _print(answers, {"ready": True})
            requests.readline()
            start = looked = time.perf_counter()
            return False
        steps += 1
        if time.perf_counter() - looked < _LOOK_SECONDS:
            return False
        synchronize(rig.device)
        looked = time.perf_counter()
        rate = steps / (looked - start)
        return looked - start >= seconds

    with settings(way):
        take(rig.tickets(way.width, way.precision), between)
    return rate


def _print(answers: TextIO, values: dict[str, Any]) -> None:
    print(json.dumps(values), file=answers, flush=True)


def _say(process: subprocess.Popen[str], values: dict[str, Any]) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it is gone, as will be heard
        process.stdin.write(json.dumps(values) + "\n")
        process.stdin.flush()
