"""A trial of a network before a sweep is queued: it is built, takes a training step, and is pruned, on a few samples.

Everything that would fail later in every worker fails here once, with a message that names the cause: a network that
cannot be copied, is random in evaluation mode, keeps a state that checkpoints would miss, or gives no gradients, and a
pruning method that does not apply to it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from lthsweep.errors import ModelError, PruningError
from lthsweep.lottery.context import TrainingContext, to_arrays
from lthsweep.lottery.dense import dense_training
from lthsweep.lottery.mask import mask_of
from lthsweep.lottery.pruned_network import SmallNetwork, pruned_network_of
from lthsweep.models.layers import load_state, state_of, transposed_groups
from lthsweep.models.macs import NetworkCost, evaluating, network_cost
from lthsweep.plan.prune_step import PruneStep
from lthsweep.pruning.counts import kept_by_rates
from lthsweep.pruning.prunable import ParameterRow, parameter_rows, prunable_weights
from lthsweep.training.devices import isolated_generators, seed_generators
from lthsweep.training.loop import plain_step
from lthsweep.training.state import Training

__all__ = ["NetworkFacts", "try_network"]

_SAMPLES = 8
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class NetworkFacts:
    """What `plan --model` shows of a network.

    Attributes:
        rows: its parameters, and which of them are pruned.
        buffers: name → shape.
        cost: parameters and multiply-accumulates for one sample.
        without_gradient: prunable weights that the loss of the first batch does not depend on.
    """

    rows: list[ParameterRow]
    buffers: dict[str, tuple[int, ...]]
    cost: NetworkCost
    without_gradient: list[str]


def try_network(
    context: TrainingContext, seed: int, steps: Iterable[PruneStep], *, fused: bool
) -> NetworkFacts:
    """Build, train and prune a network once.

    Args:
        context: of the run; the trial uses batches of at most 8 samples.
        seed: of the replicate.
        steps: pruning steps of its tickets.
        fused: whether tickets are to be trained as an ensemble.

    Raises:
        CodeError, ModelError, PruningError: if the network or a method cannot be used; the message names the reason.
    """
    size = min(_SAMPLES, context.train.batch_size)
    context = replace(context, train=replace(context.train, batch_size=size))
    steps = list(steps)
    exclude = steps[0].exclude if steps else ()
    model = context.build(seed)
    _check_tensors(model)
    rows = parameter_rows(model, exclude)
    prunable_weights(model, exclude)
    for step in steps:
        sizes = {name: weight.numel() for name, weight in prunable_weights(model, step.exclude).items()}
        kept_by_rates(sizes, sizes, 0.0, list(step.rates))
    cost = network_cost(model, context.input_shape)
    training = dense_training(context, seed)
    inputs, labels = next(iter(training.data.train.epoch(0)))
    with isolated_generators(inputs.device):
        classes = len(context.packed.class_names)
        pruned = [row.name for row in rows if not row.kept_because]
        without = _train_one_step(training, inputs, labels, classes, pruned)
        _check_evaluation(context, seed, training.model, inputs)
        for step in steps:
            _prune(context, seed, step, training, inputs)
        if fused:
            _check_fusing(training)
    buffers = {name: tuple(buffer.shape) for name, buffer in model.named_buffers()}
    return NetworkFacts(rows, buffers, cost, without)


def _check_tensors(model: nn.Module) -> None:
    for name, value in model.state_dict().items():
        if not isinstance(value, Tensor):
            raise ModelError(
                f"the state_dict of the network has {name!r}, which is no tensor and cannot be stored"
            )
    for name, parameter in model.named_parameters():
        if parameter.dtype != torch.float32:
            raise ModelError(
                f"parameter {name!r} is {parameter.dtype}; build networks in float32, and set train.precision"
            )


def _train_one_step(
    training: Training, inputs: Tensor, labels: Tensor, classes: int, prunable: list[str]
) -> list[str]:
    """Take one step; returns the prunable weights without a gradient."""
    model = training.model
    try:
        copy.deepcopy(model)
    except Exception as error:
        raise ModelError(f"the network cannot be copied: {type(error).__name__}: {error}") from error
    unsaved = {name: value.clone() for name, value in model.named_buffers() if name not in model.state_dict()}
    model.train()
    seed_generators(0, inputs.device)
    try:
        logits = model(inputs)
    except Exception as error:
        remedy = "; raise train.batch_size" if len(inputs) == 1 else ""
        raise ModelError(
            f"the network fails in training mode on a batch of {tuple(inputs.shape)}: {type(error).__name__}: "
            f"{error}{remedy}"
        ) from error
    if not isinstance(logits, Tensor) or tuple(logits.shape) != (len(inputs), classes):
        found = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ModelError(
            f"the network returns {found} in training mode for a batch of {len(inputs)}; return logits of shape "
            f"[{len(inputs)}, {classes}]"
        )
    if not logits.requires_grad:
        raise ModelError("the output of the network has no gradient: no trainable parameter takes part in it")
    outcome = plain_step(training)(inputs, labels, training.learning_rate(0))
    if not bool(torch.isfinite(outcome.loss)):
        raise ModelError("the loss of the first batch is not finite; check model.init and data.normalize")
    without = [name for name in prunable if training.parameters[name].grad is None]
    if len(without) == len(prunable):
        raise ModelError(f"no gradient of the loss reaches a prunable weight: {', '.join(without[:5])}")
    now = dict(model.named_buffers())
    changed = next((name for name, value in unsaved.items() if not torch.equal(value, now[name])), None)
    if changed:
        raise ModelError(
            f"buffer {changed!r} changes in training and is not saved (persistent=False), so a resumed run would "
            f"differ; register it as persistent"
        )
    return without


def _check_evaluation(context: TrainingContext, seed: int, model: nn.Module, inputs: Tensor) -> None:
    """In evaluation mode the outputs are a function of the saved state."""
    with evaluating(model), torch.no_grad():
        first, second = model(inputs), model(inputs)
    if not torch.equal(first.nan_to_num(), second.nan_to_num()):
        raise ModelError(
            "the network gives other outputs for the same inputs in evaluation mode; use modules such as nn.Dropout, "
            "or functional.dropout(x, training=self.training)"
        )
    restored = context.build(seed)
    load_state(restored, state_of(model))
    with evaluating(restored), torch.no_grad():
        again = restored(inputs)
    if not torch.equal(first.nan_to_num(), again.nan_to_num()):
        raise ModelError(
            "after a step the outputs depend on something that is not in the state_dict, so a resumed run would "
            "differ; keep it in a parameter or in a buffer"
        )


def _prune(context: TrainingContext, seed: int, step: PruneStep, training: Training, inputs: Tensor) -> None:
    """Make the mask of a step from the network of the trial; for whole filters, the smaller network too."""
    model = copy.deepcopy(training.model)
    state = {f"model/{name}": value for name, value in to_arrays(state_of(model)).items()}
    if step.control == "reinit-masked" and (transposed := transposed_groups(model)):
        raise PruningError(
            f'the control "reinit-masked" is not defined for the transposed convolution {next(iter(transposed))!r}: '
            f"rows of its weight are inputs"
        )
    masks = mask_of(
        step,
        context=context,
        data=training.data,
        seed=seed,
        network=model,
        masks={},
        snapshot=state if step.returns_weights else None,
    )
    network = pruned_network_of(step.method, model, masks, context)
    if isinstance(network, SmallNetwork):
        _check_small(network, inputs)


def _check_small(network: SmallNetwork, inputs: Tensor) -> None:
    """The smaller network computes what the full one does with zeros for removed channels."""
    network.load(state_of(network.full))
    network.sync_full()
    with evaluating(network.full), evaluating(network.model), torch.no_grad():
        full = network.full(inputs)
        try:
            small = network.model(inputs)
        except Exception as error:
            raise PruningError(
                f"without whole filters the network fails: {type(error).__name__}: {error}; use "
                f'prune.method = "magnitude"'
            ) from error
    if not torch.allclose(full, small, rtol=_TOLERANCE, atol=_TOLERANCE * float(full.abs().max())):
        raise PruningError(
            "without whole filters the network computes something else than with zeros in their place; use "
            'prune.method = "magnitude"'
        )


def _check_fusing(training: Training) -> None:
    from lthsweep.training.fused.trial import reason_not_fusible  # only where tickets are fused

    if reason := reason_not_fusible(training):
        raise ModelError(f'tickets cannot be fused: {reason}; set train.fuse = 1 or "auto"')
