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
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import torch

from lthsweep.errors import LthsweepError
from lthsweep.launch.fused.mps import CONTROL, daemon_for
from lthsweep.launch.process_env import ALLOCATOR_VARIABLES, thread_variables
from lthsweep.launch.slots import Slot
from lthsweep.training.devices import synchronize
from tests.benchmarks.gpu.cases import CASES, Rig, tiny
from tests.benchmarks.gpu.steps import WARM_UP, Way, settings, take, tidy, use
from tests.benchmarks.programs import Program

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


def total_rate(programs: Sequence[Program], share: Share, seconds: float) -> float:
    """Steps per second, summed over the first `share.processes` programs, which train at the same time.

    Raises:
        RuntimeError: if a training fails.
        LaunchError: if a program ends.
    """
    chosen = programs[: share.processes]
    request = {"case": share.case, "width": share.width, "precision": share.precision, "seconds": seconds}
    for program in chosen:
        program.start_work(request)
    ready = [(program, program.answer()) for program in chosen]
    for program, answer in ready:
        if "error" not in answer:  # even if others failed: this program waits for the line
            program.start_work()
    answers = [answer if "error" in answer else program.answer() for program, answer in ready]
    for answer in answers:
        if "error" in answer:
            raise RuntimeError(answer["error"])
    return float(sum(answer["rate"] for answer in answers))


@contextmanager
def process_groups(
    processes: int, device: torch.device, *, small: bool
) -> Iterator[tuple[dict[bool, list[Program]], str]]:
    """Programs without MPS, and with MPS if it is available.

    Yields:
        {False: programs without MPS, True: programs with MPS or absent}, and the reason why there is no MPS, or "".
    """
    base = {**ALLOCATOR_VARIABLES, **thread_variables(1)}
    why = f"no daemon was started: check that {CONTROL} is on PATH and that no daemon is running"
    request = {"device": str(device), "small": small}
    with contextlib.ExitStack() as stack:
        daemon = daemon_for([Slot("cuda:0", (), 1)] * 2) if device.type == "cuda" else None
        if daemon is not None:
            stack.callback(daemon.quit)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lthsweep-no-mps-")))

        def started(variables: Mapping[str, str]) -> list[Program]:
            path = folder / "request.json"
            programs = (Program("gpu.processes", request, path, base | variables) for _ in range(processes))
            return [stack.enter_context(program) for program in programs]

        # The empty folder keeps a running daemon from serving them.
        found = {False: started({"CUDA_MPS_PIPE_DIRECTORY": str(folder)})}
        if daemon is not None:
            found[True] = started(daemon.variables)
        yield found, "" if daemon else why


def main() -> int:
    """Answer requests until standard input ends."""
    options = json.loads(Path(sys.argv[1]).read_text())
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # output of the trainings must not mix with the answers
    device = torch.device(options["device"])
    rigs: dict[str, Rig] = {}
    use(device)
    for line in sys.stdin:
        request = json.loads(line)
        name = request["case"]
        try:
            if name not in rigs:
                rigs[name] = Rig(tiny(CASES[name]) if options["small"] else CASES[name], device)
            way = Way(request["precision"], request["width"], graph=device.type == "cuda")
            answer: dict[str, Any] = {"rate": _rate(rigs[name], way, float(request["seconds"]), answers)}
            rigs[name].forget()
        except (RuntimeError, LthsweepError) as error:
            rigs.pop(name, None)
            answer = {"error": f"{type(error).__name__}: {error}"}
        tidy(device)  # leave the memory to the processes that are measured next
        _print(answers, answer)
    return 0


def _rate(rig: Rig, way: Way, seconds: float, answers: TextIO) -> float:
    start, synchronized, steps, rate = 0.0, 0.0, 0, 0.0

    def between(training: Any) -> bool:
        nonlocal start, synchronized, steps, rate
        done = training.progress.step
        if done < WARM_UP:
            return False
        if done == WARM_UP:
            synchronize(rig.device)
            _print(answers, {"ready": True})
            sys.stdin.readline()
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


if __name__ == "__main__":
    sys.exit(main())
