"""How long a step takes, by the package's own loop: alone or fused, launched kernel by kernel or as a CUDA graph."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from lthsweep.training.cuda_graph import graphed as cuda_graph
from lthsweep.training.cuda_graph.graphed import relative_difference
from lthsweep.training.devices import synchronize
from lthsweep.training.fused.ensemble import train_ensemble
from lthsweep.training.loop import train
from lthsweep.training.training import Training
from tests.bench.gpu_cases import Rig

WARM_UP, PILOT, MOST = 3, 3, 2_000
"""Steps that are not timed, steps by which the number of timed ones is chosen, and how many those may be."""

Hook = Callable[[Training], bool]


@dataclass(frozen=True)
class Way:
    """How steps are taken.

    Attributes:
        precision: "fp32" or "bf16".
        width: tickets fused; 1 is a training by itself.
        graph: whether a CUDA graph is captured.
        search: whether cuDNN looks for its fastest algorithms (`torch.backends.cudnn.benchmark`).
    """

    precision: str
    width: int = 1
    graph: bool = False
    search: bool = False

    def __str__(self) -> str:
        who = "one" if self.width == 1 else f"fused {self.width}"
        search = ", cuDNN searches" if self.search else ""
        return f"{who}, {self.precision}, {'graph' if self.graph else 'eager'}{search}"


@dataclass(frozen=True)
class Speed:
    """What was measured.

    Attributes:
        seconds: of one step of all that are fused.
        steps: timed.
        captured: whether there was a graph.
        peak: bytes that torch had allocated on the GPU at most; 0 on a CPU.
    """

    seconds: float
    steps: int
    captured: bool
    peak: int


def ways_of(precision: str, widths: Sequence[int], *, cuda: bool) -> list[Way]:
    """All ways of a case, those that are compared with others first; graphs only where there are any."""
    graphs = (False, True) if cuda else (False,)
    alone = [Way(kind, graph=graph) for kind in ("fp32", "bf16") for graph in graphs]
    alone += [Way(precision, graph=True, search=True)] if cuda else []
    return alone + [Way(precision, width, graph) for width in widths for graph in graphs]


def speed_of(rig: Rig, way: Way, seconds: float) -> Speed:
    """Time steps for about so many seconds, after a warm-up.

    Raises:
        RuntimeError: as torch does, for example without memory enough.
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
    """Train one by itself, or several as one, until the hook says so."""
    if len(tickets) == 1:
        train(tickets[0], hook)
    else:
        train_ensemble(tickets, [hook, *[lambda training: False] * (len(tickets) - 1)])


class _Timer:
    """Called before each step: times some, as many as take about the seconds asked for, and stops the training."""

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


def agreement(rig: Rig, steps: int, width: int) -> dict[str, dict[str, float]]:
    """How far other ways come from a training by itself, eager, over the same steps from the same start.

    Returns:
        Way → "loss": relative difference of the mean loss over these steps, "weights": ‖difference of weights‖ over
        ‖how far training moved them‖. "the same again" is how far the device comes from itself.
    """
    graphs = (False, True) if rig.device.type == "cuda" else (False,)
    found = {}
    for precision in ("fp32", "bf16"):
        alone = Way(precision)
        start = _weights(rig.tickets(1, precision, fresh=True)[0])
        loss, reached = _trained(rig, alone, steps)
        moved = [after - before for after, before in zip(reached, start, strict=True)]
        ways = [Way(precision, count, graph) for graph in graphs for count in (1, width)]
        for way in ways:
            other_loss, other = _trained(rig, way, steps)
            other_moved = [after - before for after, before in zip(other, start, strict=True)]
            name = f"the same again, {precision}" if way == alone else str(way)
            found[name] = {
                "loss": abs(other_loss - loss) / loss,
                "weights": relative_difference(other_moved, moved),
            }
    return found


def _trained(rig: Rig, way: Way, steps: int) -> tuple[float, list[torch.Tensor]]:
    """Mean loss of the first ticket over its steps, and its weights after them."""
    tidy(rig.device)
    tickets = rig.tickets(way.width, way.precision, fresh=True)
    with settings(way):
        take(tickets, lambda training: training.progress.step == steps)
    first = tickets[0]
    first.state()  # adds what the steps left on the device
    return first.progress.loss_sum / first.progress.seen, _weights(first)


def _weights(training: Training) -> list[torch.Tensor]:
    return [weight.detach().clone() for weight in training.model.parameters()]


@contextmanager
def settings(way: Way) -> Iterator[list[bool]]:
    """With or without graphs, whatever the package would do; yields whether one was captured, at each start."""
    graphed, captured = cuda_graph.graphed, []

    def as_asked(gradients: Any, *batch: Any, **tensors: Any) -> Any:
        found = graphed(gradients, *batch, **tensors) if way.graph else gradients
        captured.append(found is not gradients)
        return found

    searched, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, way.search
    cuda_graph.graphed = as_asked
    try:
        yield captured
    finally:
        cuda_graph.graphed = graphed
        torch.backends.cudnn.benchmark = searched


def tidy(device: torch.device) -> None:
    """Give back memory that nobody uses."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
