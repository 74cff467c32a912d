"""The gradients of a step as one CUDA graph: some hundred kernels leave with one launch.

A small network's step takes as long as the processor takes to launch its kernels, one after the other. A graph holds
forward pass, loss, backward pass and masks of a training whose tensors stay where they are; a batch is copied into it,
and it is launched whole. The optimizer's step stays outside: fused it is a launch or a few, and its learning rate is a
number of Python's, which a graph would freeze.

Numbers: a graph launches the kernels that the step launched while it was captured, in the same order, so it is neither
in the key nor in a record. It could differ from a step launched kernel by kernel only where a library chooses another
algorithm. cuDNN and cuBLAS choose by shapes, which are the same; only `torch.backends.cudnn.benchmark`, which is off,
would choose by time. What a graph gives is compared with what the step gives before it is used.

Source: PyTorch's notes on CUDA semantics, "CUDA Graphs": capture of a whole network, warm-up on a side stream.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from lthsweep.errors import TrainingError
from lthsweep.training.random_layers import cuda_generator, isolated_generators
from lthsweep.training.step import Gradients, Outcome

__all__ = ["Replay", "deviation", "graphed", "left_as_found"]

_WARM_UP = 3
"""Calls before the capture, in which libraries allocate and choose; as many as PyTorch's notes take."""

_MOST_DEVIATION = {"fp32": 0.01, "bf16": 0.25}
"""Of logits and gradients of a graph from those of the step. Kernels that round otherwise in bf16, as a library might
choose, come to a fifth where BatchNorm magnifies it; another dropout, batch or mask to a half at least (ResNet-20,
MobileNetV2)."""


def graphed(
    gradients: Gradients,
    images: Tensor,
    labels: Tensor,
    *,
    parameters: Sequence[Tensor],
    buffers: Sequence[Tensor] = (),
    precision: str = "fp32",
) -> Gradients:
    """The same gradients from a CUDA graph, or `gradients` itself: on a CPU, and where they cannot be captured.

    Every tensor that `gradients` reads beside the batch must stay where it is: parameters, masks and statistics may
    change only in place. Random layers draw from the device's generator as they do outside of a graph, so seed it
    before each step as ever; one that draws on the CPU would be frozen, and is not captured. Neither is what reads
    values back, such as a model that calls `.item()`. Then a line on standard output says why.

    Args:
        gradients: of one step; called five times here. Keeps no history alive between calls.
        images: of a batch, on the device. All batches have its shape.
        labels: of the same batch.
        parameters: those whose `.grad` is filled.
        buffers: what a call changes besides, such as statistics of BatchNorm; afterward as they were.
        precision: of the forward pass; with it goes how far a graph may be off.

    Returns:
        A function that is to be called on the same stream as the optimizer; it gives new tensors at each call, and
        leaves gradients in tensors that the next call overwrites.
    """
    if images.device.type != "cuda":
        return gradients
    with torch.cuda.device(images.device), left_as_found(parameters, buffers, images.device):
        try:
            replay = _capture(gradients, images, labels, parameters)
            _check(replay, gradients, images, labels, parameters, _MOST_DEVIATION[precision])
        except (RuntimeError, TrainingError) as error:
            _free_generator(images.device)
            first = error.__context__ or error  # what ended the capture, not that it had ended
            reason = (str(first).splitlines() or [type(first).__name__])[0]
            print(f"no CUDA graph, kernels are launched one by one: {reason}", flush=True)
            return gradients
    return replay


@dataclass(frozen=True, eq=False)
class Replay:
    """A captured step.

    Attributes:
        launch: runs it on what lies in `images` and `labels`.
        images, labels: where it reads its batch.
        loss, logits: where it leaves them.
        gradients: parameter, and where it leaves its gradient.
    """

    launch: Callable[[], None]
    images: Tensor
    labels: Tensor
    loss: Tensor
    logits: Tensor
    gradients: Sequence[tuple[Tensor, Tensor]]

    def __call__(self, images: Tensor, labels: Tensor) -> Outcome:
        """As `Gradients`; nothing waits for the device."""
        self.images.copy_(images)
        self.labels.copy_(labels)
        self.launch()
        for parameter, gradient in self.gradients:  # somebody may have set it to None
            parameter.grad = gradient
        return self.loss.clone(), self.logits.clone()


@contextmanager
def left_as_found(
    parameters: Sequence[Tensor], buffers: Sequence[Tensor], device: torch.device
) -> Iterator[None]:
    """Restore buffers and random generators at the end, and forget gradients: trying a step is not a step."""
    before = [buffer.clone() for buffer in buffers]
    with isolated_generators(device):
        yield
    for buffer, value in zip(buffers, before, strict=True):
        buffer.copy_(value)
    for parameter in parameters:
        parameter.grad = None


def deviation(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """‖found − expected‖₂ / ‖expected‖₂ over all tensors together; NaN if there is nothing to compare."""
    apart = math.fsum(float((one - other).square().sum()) for one, other in zip(found, expected, strict=True))
    size = math.fsum(float(other.square().sum()) for other in expected)
    return math.sqrt(apart / size) if size else math.nan


def _capture(gradients: Gradients, images: Tensor, labels: Tensor, parameters: Sequence[Tensor]) -> Replay:
    stream = _side_stream(images.device)
    images, labels = images.clone(), labels.clone()
    generator = torch.get_rng_state()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(_WARM_UP):
            gradients(images, labels)
    torch.cuda.current_stream().wait_stream(stream)
    if not torch.equal(generator, torch.get_rng_state()):
        raise TrainingError(
            "a layer draws random numbers on the CPU, which a graph would repeat at every step"
        )
    for parameter in parameters:
        parameter.grad = None  # so that the backward pass makes new ones, in the graph's own memory
    graph = torch.cuda.CUDAGraph()
    with _without_collection(), torch.cuda.graph(graph, stream=stream):
        loss, logits = gradients(images, labels)
    held = [(parameter, parameter.grad) for parameter in parameters if parameter.grad is not None]
    return Replay(graph.replay, images, labels, loss, logits, held)


def _check(
    replay: Replay,
    gradients: Gradients,
    images: Tensor,
    labels: Tensor,
    parameters: Sequence[Tensor],
    most: float,
) -> None:
    """Both must give the same for a batch that the graph has not seen, from the same random numbers.

    Images against labels of their neighbors: so the gradients are large wherever training stands.
    """
    shifted = images.roll(1, 0)
    state = torch.cuda.get_rng_state(images.device)
    for parameter in parameters:
        parameter.grad = None
    _, expected_logits = gradients(shifted, labels)
    expected = {index: p.grad.clone() for index, p in enumerate(parameters) if p.grad is not None}
    torch.cuda.set_rng_state(state, images.device)
    _, logits = replay(shifted, labels)
    found = {index: p.grad for index, p in enumerate(parameters) if p.grad is not None}
    if found.keys() != expected.keys():
        raise TrainingError("other parameters have gradients in the graph than outside of it")
    gradients_apart = deviation(list(found.values()), list(expected.values()))
    logits_apart = deviation([logits], [expected_logits])
    for what, apart in (("logits", logits_apart), ("gradients", gradients_apart)):
        if not apart <= most:
            raise TrainingError(f"its {what} deviate from those of the step by {apart:.2g} of their norm")


@cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """One for all captures of a process: cuBLAS keeps a workspace of some 30 MB for every stream it has seen."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


@contextmanager
def _without_collection() -> Iterator[None]:
    """No cycle with an old graph in it may be collected in the middle of a capture: freeing one would end it."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _free_generator(device: torch.device) -> None:
    """A capture that failed leaves the generator's state marked as captured, and every later draw refused."""
    cuda_generator(device).graphsafe_set_state(torch.Generator(device).graphsafe_get_state())
