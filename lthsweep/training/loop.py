"""The training loop: one epoch and one step, from start to finish.

Two arguments vary the loop: a `StepFunction` computes a step, and `BetweenSteps` runs between two steps. `plain_step`
is the step that papers describe. A CUDA graph (`lthsweep.training.cuda_graph`) and the joint step of several tickets
(`lthsweep.training.fused`) are other implementations, and the loop stays the same.

The state of the loop is the model, the optimizer and `Progress`, nothing else: order and augmentation are functions of
(seed, epoch, sample), the learning rate is a function of the step, and random layers are reseeded from (seed, step)
before every step. A checkpoint between any two steps is therefore complete.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

from lthsweep.pruning.apply import mask_gradients
from lthsweep.randomness import torch_seed
from lthsweep.training.devices import has_random_layers, isolated_generators, seed_generators
from lthsweep.training.evaluation import autocast
from lthsweep.training.state import Ending, Training
from lthsweep.training.sums import StepOutcome

__all__ = [
    "BetweenSteps",
    "GradientFunction",
    "StepFunction",
    "forward_and_loss",
    "never_stop",
    "optimizer_step",
    "plain_gradients",
    "plain_step",
    "train",
]

StepFunction = Callable[[Tensor, Tensor, float], StepOutcome]
"""(inputs, labels, learning rate) → loss and logits; updates the weights. Nothing in it waits for the device."""

GradientFunction = Callable[[Tensor, Tensor], StepOutcome]
"""(inputs, labels) → loss and logits in tensors that no later call changes; leaves the gradients in `.grad`."""

BetweenSteps = Callable[[Training], bool]
"""Called before every step and once after the last, to take snapshots and checkpoints; True stops the training."""


def never_stop(training: Training) -> bool:
    """The `BetweenSteps` of a training that nothing interrupts."""
    return False


def train(
    training: Training, between_steps: BetweenSteps = never_stop, step_function: StepFunction | None = None
) -> Ending:
    """Train from the current step to the end.

    Args:
        training: continues where its `progress` is.
        between_steps: called before every step and once after the last.
        step_function: computes the steps; by default `plain_step`, on a GPU as a CUDA graph.

    Returns:
        How the training ended. It has diverged if the loss of an epoch, or a weight at its end, is not finite.
    """
    # An example: the search for random layers and a CUDA graph need the shape of a batch before the first step.
    inputs, labels = next(iter(training.data.train.epoch(0)))
    with isolated_generators(inputs.device):
        reseed = has_random_layers(training.model, inputs[:2])
        training.model.train()
        step_function = step_function or _default_step(training, inputs, labels)
        while training.progress.step < training.total_steps:
            if not _train_epoch(training, step_function, between_steps, reseed=reseed):
                return Ending.STOPPED
            if training.has_diverged():
                return Ending.DIVERGED
            training.check_pruned_weights()
        return Ending.STOPPED if between_steps(training) else Ending.FINISHED


def _train_epoch(
    training: Training, step_function: StepFunction, between_steps: BetweenSteps, *, reseed: bool
) -> bool:
    """Train the rest of the current epoch and validate; False if `between_steps` stopped it before its end."""
    epoch, offset = divmod(training.progress.step, training.steps_per_epoch)
    training.start_clock()
    for inputs, labels in training.data.train.epoch(epoch, offset):
        training.count_time()  # before `between_steps`: a checkpoint that it writes includes the time
        if between_steps(training):
            training.sums.read()
            return False
        step = training.progress.step
        if reseed:
            seed_generators(torch_seed(training.seed, "layers", step), inputs.device)
        outcome = step_function(inputs, labels, training.learning_rate(step))
        training.sums.add(outcome, labels)
    training.sums.read()
    training.release_gradients()
    training.finish_epoch(epoch + 1)  # validate, keep the best weights, add a row to the curves
    return True


def _default_step(training: Training, inputs: Tensor, labels: Tensor) -> StepFunction:
    """The step function for batches of this shape on this device."""
    if inputs.device.type == "cuda":
        from lthsweep.training.cuda_graph.graphed import graphed_step  # not imported by a run on a CPU

        return graphed_step(training, plain_gradients(training), inputs, labels)
    return plain_step(training)


def plain_step(training: Training) -> StepFunction:
    """One step of stochastic gradient descent on the surviving weights of one network."""
    return optimizer_step(training, plain_gradients(training))


def plain_gradients(training: Training) -> GradientFunction:
    """Forward pass, loss, backward pass, masks.

    Pruned weights and their momenta are zero at the start of a training. Every optimizer here leaves a weight at zero
    if its momenta and its gradient are zero (weight decay of zero is zero), so the gradients are masked and the weights
    are not: masking the weights would take a tenth of a step of LeNet. `check_pruned_weights` verifies it every epoch.
    """
    model, precision, smoothing = training.model, training.options.precision, training.options.label_smoothing
    parameters, multipliers = list(training.parameters.values()), training.multipliers
    masked = {name: training.parameters[name] for name in multipliers}

    def gradients(inputs: Tensor, labels: Tensor) -> StepOutcome:
        for parameter in parameters:  # zero_grad() without its hooks
            parameter.grad = None
        loss, logits = forward_and_loss(model, inputs, labels, precision, smoothing)
        loss.backward()  # type: ignore[no-untyped-call]
        if masked:
            mask_gradients(masked, multipliers)
        return StepOutcome(loss.detach(), logits.detach())

    return gradients


def forward_and_loss(
    network: Callable[[Tensor], Tensor], inputs: Tensor, labels: Tensor, precision: str, smoothing: float
) -> tuple[Tensor, Tensor]:
    """Mean smoothed cross-entropy of a batch, and its logits in float32."""
    with autocast(inputs.device, precision):
        logits = network(inputs)
    logits = logits.float()
    return functional.cross_entropy(logits, labels, label_smoothing=smoothing), logits


def optimizer_step(training: Training, gradients: GradientFunction) -> StepFunction:
    """The step function that computes gradients and then lets the optimizer update the weights."""
    optimizer, lasso = training.optimizer, training.lasso

    def take_step(inputs: Tensor, labels: Tensor, rate: float) -> StepOutcome:
        for group in optimizer.param_groups:
            group["lr"] = rate
        outcome = gradients(inputs, labels)
        optimizer.step()
        if lasso is not None:
            lasso.step(rate)
        return outcome

    return take_step
