"""The gradients of a step as one CUDA graph: a hundred kernels start with one launch.

A step of a small network takes as long as the processor needs to launch its kernels, one after the other. A graph
contains forward pass, loss, backward pass and masks of a training whose tensors stay where they are; each batch is
copied into it, and the graph is launched as a whole. The optimizer's step stays outside: fused it is one launch or a
few, and its learning rate is a Python number, which a graph would freeze.

Numbers: a graph launches the kernels that ran while it was captured, in the same order, so it is neither in the key nor
in a record. It could differ from eager steps only where a library chooses another algorithm. cuDNN and cuBLAS choose by
shapes, which are the same; only `torch.backends.cudnn.benchmark`, which is off, would choose by time. The results of a
graph are compared with those of the eager step before it is used.

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
from lthsweep.training.devices import cuda_generator, isolated_generators
from lthsweep.training.loop import GradientFunction, StepFunction, optimizer_step
from lthsweep.training.state import Training
from lthsweep.training.sums import StepOutcome

__all__ = ["Replay", "graphed", "graphed_step", "relative_difference", "unchanged"]

_WARM_UP = 3
"""Calls before the capture, in which libraries allocate memory and choose algorithms; PyTorch's notes use as many."""

_MOST_DIFFERENCE = {"fp32": 0.01, "bf16": 0.25}
"""Of logits and gradients of a graph from those of the eager step. Kernels that round differently in bf16, as a library
might choose, reach a fifth where BatchNorm magnifies it; another dropout mask, batch or pruning mask reaches a half at
least (ResNet-20, MobileNetV2)."""


def graphed_step(
    training: Training, gradients: GradientFunction, inputs: Tensor, labels: Tensor
) -> StepFunction:
    """The step function of a training on a GPU, as a CUDA graph where it can be captured.

    Args:
        training: in training mode.
        gradients: its gradient function.
        inputs: of a batch, on the device. All batches have its shape.
        labels: of the same batch.
    """
    captured = graphed(
        gradients,
        inputs,
        labels,
        parameters=list(training.parameters.values()),
        buffers=list(training.buffers.values()),
        precision=training.options.precision,
    )
    return optimizer_step(training, captured)


def graphed(
    gradients: GradientFunction,
    inputs: Tensor,
    labels: Tensor,
    *,
    parameters: Sequence[Tensor],
    buffers: Sequence[Tensor] = (),
    precision: str = "fp32",
) -> GradientFunction:
    """The same gradients from a CUDA graph; `gradients` itself where they cannot be captured.

    Every tensor that `gradients` reads, except the batch, must stay where it is: parameters, masks and statistics can
    change only in place. Random layers draw from the device's generator as they do without a graph, so it is seeded
    before each step as always. A layer that draws on the CPU would be frozen, so its network is not captured; nor is
    one that reads values back, for example with `.item()`. A line on standard output then gives the reason.

    Args:
        gradients: called five times here. Keeps no autograd history between calls.
        inputs: of a batch, on the device. All batches have its shape.
        labels: of the same batch.
        parameters: those whose `.grad` is filled.
        buffers: what else a call changes, such as BatchNorm statistics; restored afterward.
        precision: of the forward pass; determines how far a graph may differ.

    Returns:
        A function to be called on the same stream as the optimizer. It returns new tensors at each call, and leaves
        gradients in tensors that the next call overwrites.
    """
    with torch.cuda.device(inputs.device), unchanged(parameters, buffers, inputs.device):
        try:
            replay = _capture(gradients, inputs, labels, parameters)
            _check(replay, gradients, inputs, labels, parameters, _MOST_DIFFERENCE[precision])
        except (RuntimeError, TrainingError) as error:
            _free_generator(inputs.device)
            first = error.__context__ or error  # the cause, not that the capture was ended by it
            reason = (str(first).splitlines() or [type(first).__name__])[0]
            print(f"no CUDA graph, kernels are launched one by one: {reason}", flush=True)
            return gradients
    return replay


@dataclass(frozen=True, eq=False)
class Replay:
    """A captured gradient function.

    Attributes:
        launch: runs it on the contents of `inputs` and `labels`.
        inputs, labels: the tensors from which it reads its batch.
        loss, logits: the tensors into which it writes its outcome.
        gradients: pairs of a parameter and the tensor into which its gradient is written.
    """

    launch: Callable[[], None]
    inputs: Tensor
    labels: Tensor
    loss: Tensor
    logits: Tensor
    gradients: Sequence[tuple[Tensor, Tensor]]

    def __call__(self, inputs: Tensor, labels: Tensor) -> StepOutcome:
        """Compute the gradients of a batch; does not wait for the device."""
        self.inputs.copy_(inputs)
        self.labels.copy_(labels)
        self.launch()
        for parameter, gradient in self.gradients:  # `.grad` can have been set to None
            parameter.grad = gradient
        return StepOutcome(self.loss.clone(), self.logits.clone())


@contextmanager
def unchanged(
    parameters: Sequence[Tensor], buffers: Sequence[Tensor], device: torch.device
) -> Iterator[None]:
    """Restore buffers and random generators at the end of the block, and drop gradients."""
    before = [buffer.clone() for buffer in buffers]
    with isolated_generators(device):
        yield
    for buffer, value in zip(buffers, before, strict=True):
        buffer.copy_(value)
    for parameter in parameters:
        parameter.grad = None


def relative_difference(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """‖found − expected‖₂ / ‖expected‖₂ over all tensors together; NaN if there is nothing to compare."""
    apart = math.fsum(float((one - other).square().sum()) for one, other in zip(found, expected, strict=True))
    size = math.fsum(float(other.square().sum()) for other in expected)
    return math.sqrt(apart / size) if size else math.nan


def _capture(
    gradients: GradientFunction, inputs: Tensor, labels: Tensor, parameters: Sequence[Tensor]
) -> Replay:
    stream = _side_stream(inputs.device)
    inputs, labels = inputs.clone(), labels.clone()
    generator = torch.get_rng_state()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(_WARM_UP):
            gradients(inputs, labels)
    torch.cuda.current_stream().wait_stream(stream)
    if not torch.equal(generator, torch.get_rng_state()):
        raise TrainingError(
            "a layer draws random numbers on the CPU, which a graph would repeat at every step"
        )
    for parameter in parameters:
        parameter.grad = None  # so that the backward pass makes new ones, in the graph's own memory
    graph = torch.cuda.CUDAGraph()
    with _without_collection(), torch.cuda.graph(graph, stream=stream):
        loss, logits = gradients(inputs, labels)
    held = [(parameter, parameter.grad) for parameter in parameters if parameter.grad is not None]
    return Replay(graph.replay, inputs, labels, loss, logits, held)


def _check(
    replay: Replay,
    gradients: GradientFunction,
    inputs: Tensor,
    labels: Tensor,
    parameters: Sequence[Tensor],
    most: float,
) -> None:
    """Compare graph and eager step on a batch that the graph has not seen, from the same random numbers.

    Inputs are paired with the labels of other inputs, so that the gradients are large at any point of a training.
    """
    shifted = inputs.roll(1, 0)
    state = torch.cuda.get_rng_state(inputs.device)
    for parameter in parameters:
        parameter.grad = None
    _, expected_logits = gradients(shifted, labels)
    expected = {index: p.grad.clone() for index, p in enumerate(parameters) if p.grad is not None}
    torch.cuda.set_rng_state(state, inputs.device)
    _, logits = replay(shifted, labels)
    found = {index: p.grad for index, p in enumerate(parameters) if p.grad is not None}
    if found.keys() != expected.keys():
        raise TrainingError("other parameters have gradients in the graph than in the eager step")
    gradients_apart = relative_difference(list(found.values()), list(expected.values()))
    logits_apart = relative_difference([logits], [expected_logits])
    for what, apart in (("logits", logits_apart), ("gradients", gradients_apart)):
        if not apart <= most:
            raise TrainingError(
                f"its {what} differ from those of the eager step by {apart:.2g} of their norm"
            )


@cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """One stream for all captures of a process: cuBLAS keeps a workspace of some 30 MB for every stream."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


@contextmanager
def _without_collection() -> Iterator[None]:
    """Disable garbage collection during a capture: freeing an old graph in a cycle would end the capture."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _free_generator(device: torch.device) -> None:
    """Replace the generator's state: a failed capture leaves it marked as captured, and later draws are refused."""
    cuda_generator(device).graphsafe_set_state(torch.Generator(device).graphsafe_get_state())
