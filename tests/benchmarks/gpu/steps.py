"""Seconds per training step of the package's loop: single or fused, eager or as a CUDA graph."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from lthsweep.training.cuda_graph import graphed as cuda_graph
from lthsweep.training.devices import synchronize
from lthsweep.training.fused.ensemble import train_ensemble
from lthsweep.training.loop import train
from lthsweep.training.state import Training
from tests.benchmarks.gpu.cases import Rig

WARM_UP, PILOT, MOST = 3, 3, 2_000
"""Steps that are not timed, steps that determine the number of timed steps, and the upper limit of that number."""

Hook = Callable[[Training], bool]


@dataclass(frozen=True)
class Way:
    """A way to train.

    Attributes:
        precision: "fp32" or "bf16".
        width: number of fused tickets; 1 for a single training.
        graph: True to capture a CUDA graph.
        search: True to let cuDNN search for its fastest algorithms (`torch.backends.cudnn.benchmark`).
    """

    precision: str
    width: int = 1
    graph: bool = False
    search: bool = False

    def __str__(self) -> str:
        tickets = "one" if self.width == 1 else f"fused {self.width}"
        search = ", cuDNN searches" if self.search else ""
        return f"{tickets}, {self.precision}, {'graph' if self.graph else 'eager'}{search}"


@dataclass(frozen=True)
class Speed:
    """Speed of a way.

    Attributes:
        seconds: per step of all fused tickets together.
        steps: number of timed steps.
        captured: True if a graph was captured.
        peak: most bytes that torch had allocated on the GPU; 0 on a CPU.
    """

    seconds: float
    steps: int
    captured: bool
    peak: int


def ways_of(precision: str, widths: Sequence[int], *, cuda: bool) -> list[Way]:
    """All ways of a case, the reference ways first; graphs only with CUDA."""
    graphs = (False, True) if cuda else (False,)
    alone = [Way(kind, graph=graph) for kind in ("fp32", "bf16") for graph in graphs]
    alone += [Way(precision, graph=True, search=True)] if cuda else []
    return alone + [Way(precision, width, graph) for width in widths for graph in graphs]


def speed_of(rig: Rig, way: Way, seconds: float) -> Speed:
    """Speed of steps over about `seconds`, after a warm-up.

    Raises:
        RuntimeError: from torch, for example out of memory.
    """
    tidy(rig.device)
    if rig.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(rig.device)
    timer = _Timer(rig.device, seconds)
    with settings(way) as captured:
        try:
            take(rig.tickets(way.width, way.precision), timer)
        except RuntimeError:
            rig.forget()
            raise
    peak = torch.cuda.max_memory_allocated(rig.device) if rig.device.type == "cuda" else 0
    return Speed(timer.seconds_per_step(), timer.steps, any(captured), peak)


def take(tickets: Sequence[Training], hook: Hook) -> None:
    """Train one ticket, or several as an ensemble, until the hook returns True."""
    if len(tickets) == 1:
        train(tickets[0], hook)
    else:
        train_ensemble(tickets, [hook, *[lambda training: False] * (len(tickets) - 1)])


class _Timer:
    """Hook before each step: times as many steps as take about `seconds`, then stops the training."""

    def __init__(self, device: torch.device, seconds: float) -> None:
        self.steps = 0
        self._device = device
        self._wanted = seconds
        self._done = 0
        self._marks: list[float] = []

    def __call__(self, training: Training) -> bool:
        if self._done in (WARM_UP, WARM_UP + PILOT, WARM_UP + PILOT + self.steps):
            synchronize(self._device)
            self._marks.append(time.perf_counter())
            if len(self._marks) == 2:
                each = (self._marks[1] - self._marks[0]) / PILOT
                self.steps = max(PILOT, min(MOST, round(self._wanted / each)))
            if len(self._marks) == 3:
                return True
        self._done += 1
        return False

    def seconds_per_step(self) -> float:
        if len(self._marks) < 3:
            raise RuntimeError("training ended before it could be timed; did it diverge?")
        return (self._marks[2] - self._marks[1]) / self.steps


@contextmanager
def settings(way: Way) -> Iterator[list[bool]]:
    """Force training with or without graphs; yields a list with one entry per start, True if a graph was captured."""
    graphed, captured = cuda_graph.graphed, []

    def as_wanted(gradients: Any, *batch: Any, **tensors: Any) -> Any:
        found = graphed(gradients, *batch, **tensors) if way.graph else gradients
        captured.append(found is not gradients)
        return found

    searched, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, way.search
    cuda_graph.graphed = as_wanted
    try:
        yield captured
    finally:
        cuda_graph.graphed = graphed
        torch.backends.cudnn.benchmark = searched


def use(device: torch.device) -> None:
    """Select the device, with the settings of a worker: one thread, and no TF32."""
    if device.type == "cuda":
        torch.cuda.set_device(device.index or 0)
    torch.set_num_threads(1)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False


def tidy(device: torch.device) -> None:
    """Release unused memory of the device."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
