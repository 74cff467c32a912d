"""The ticket run: prune, rewind the survivors, retrain, audit. A control is the same with one thing changed.

Source: Frankle & Carbin, ICLR 2019, arXiv:1803.03635, section 1. What is kept is said by `mask`, what training starts
from by `starting_point`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from lthsweep.errors import TrainingError
from lthsweep.lottery.context import Arrays, TrainingContext, to_tensors
from lthsweep.lottery.mask import mask_of
from lthsweep.lottery.pruned_network import PrunedNetwork, SmallNetwork, pruned_network_of
from lthsweep.lottery.result import (
    Checkpoint,
    Result,
    amounts_of,
    conclude,
    measure,
    score_without_retraining,
)
from lthsweep.lottery.starting_point import StartingPoint, starting_point_of
from lthsweep.plan.controls import CONTROLS
from lthsweep.plan.run import PruneStep
from lthsweep.pruning.audit import audit, optimizer_momenta
from lthsweep.pruning.filters import largest_filter
from lthsweep.pruning.masks import Masks
from lthsweep.pruning.prunable import prunable_weights
from lthsweep.training.loop import BetweenSteps, never_stop, train
from lthsweep.training.optimizers import restore_optimizer
from lthsweep.training.training import Ending, Training, TrainingData

__all__ = [
    "Parent",
    "PreparedTicket",
    "clear_pruned",
    "conclude_ticket",
    "prepare_ticket",
    "prunable_of",
    "reason_not_fusible",
    "retrain_ticket",
]


@dataclass(frozen=True)
class Parent:
    """The run whose final weights are ranked: the trunk, or the level before.

    Attributes:
        weights: its final `state_dict` as arrays.
        masks: its masks; empty for the trunk.
        val_accuracy, test_accuracy: its scores at the last epoch: accuracy before this pruning.
    """

    weights: Arrays
    masks: Arrays
    val_accuracy: float
    test_accuracy: float


@dataclass(frozen=True, eq=False)
class PreparedTicket:
    """A ticket that is made and not trained yet, or where an earlier attempt left it.

    Attributes:
        training: at its next step.
        context, step, level, parent, dense_val_accuracy: as for `prepare_ticket`.
        start_step: its rewind point in steps.
        masks: parameter name → bool tensor in full shapes, True where kept.
        prunable: the weights that may be pruned, in full shapes.
        network: what is trained in place of the full network.
        starting_point: where retraining starts.
        started_from: the prunable weights there, masked.
        pruned_metrics: scores before any retraining.
    """

    training: Training
    context: TrainingContext
    step: PruneStep
    level: int
    parent: Parent
    dense_val_accuracy: float
    start_step: int
    masks: Masks
    prunable: Mapping[str, torch.nn.Parameter]
    network: PrunedNetwork
    starting_point: StartingPoint
    started_from: Mapping[str, torch.Tensor]
    pruned_metrics: Mapping[str, float]


def prepare_ticket(
    context: TrainingContext,
    seed: int,
    step: PruneStep,
    *,
    level: int,
    parent: Parent,
    snapshot: Arrays | None,
    dense_val_accuracy: float,
    resume: Checkpoint | None = None,
    data: TrainingData | None = None,
) -> PreparedTicket:
    """Prune and rewind: all that comes before training.

    Args:
        context: data and model of the run.
        seed: the replicate's seed; order, augmentation and random layers continue the trunk's.
        step: how much is pruned, to where survivors return, and what a control does instead.
        level: 1 for the first pruning of a chain.
        parent: whose final weights are ranked; a control's is its ticket's.
        snapshot: the trunk's snapshot at the rewind point ("model/NAME", "optimizer/NAME:ENTRY"); None where
            survivors keep the parent's final weights (`rewind = "lr"` and `"none"`) or get fresh ones.
        dense_val_accuracy: the trunk's last validation accuracy, for `steps_to_dense`.
        resume: where an earlier attempt stopped.
        data: of this context and seed, where several tickets share it; None makes it.

    Raises:
        PruningError: if the mask cannot be made, for example because the parent diverged.
        TrainingError: if the rewind point is not before the end of training.
    """
    model = context.build(seed)
    data = data or context.training_data(seed)
    start_step = step.point.step(data.train.steps)
    if start_step >= context.train.epochs * data.train.steps:
        raise TrainingError(
            f"rewind point {step.point} is step {start_step} of {context.train.epochs * data.train.steps}: "
            f"nothing would be left to train; choose an earlier grid.rewind_epoch"
        )

    model.load_state_dict(to_tensors(parent.weights))
    prunable = prunable_weights(model, step.exclude)
    masks = mask_of(
        step, context=context, data=data, seed=seed, prunable=prunable, parent=parent.masks, network=model
    )
    network = pruned_network_of(step.method, model, masks, context)
    network.load(to_tensors(parent.weights))
    pruned_metrics = score_without_retraining(context, network.model, data.validation)

    starting_point = starting_point_of(
        step, context=context, seed=seed, final=parent.weights, snapshot=snapshot, masks=masks
    )
    network.load(to_tensors(starting_point.weights))
    training = Training(
        network.model,
        data,
        context.train,
        seed=seed,
        start_step=start_step,
        masks=network.held,
        learning_rate=context.train.last_learning_rate(data.train.steps)
        if starting_point.last_rate
        else None,
        lasso=network.lasso(),
    )
    if starting_point.optimizer:
        restore_optimizer(
            training.optimizer,
            network.model,
            network.narrowed(to_tensors(starting_point.optimizer)),
        )
        clear_pruned(training, network.held)
    network.finish()
    started_from = {name: weight.detach().clone() for name, weight in prunable.items()}
    if resume is not None:
        training.restore(resume.tensors, resume.progress)
    return PreparedTicket(
        training=training,
        context=context,
        step=step,
        level=level,
        parent=parent,
        dense_val_accuracy=dense_val_accuracy,
        start_step=start_step,
        masks=masks,
        prunable=prunable,
        network=network,
        starting_point=starting_point,
        started_from=started_from,
        pruned_metrics=pruned_metrics,
    )


def retrain_ticket(prepared: PreparedTicket, between_steps: BetweenSteps = never_stop) -> Result | None:
    """Train a ticket to its end and measure it; None if `between_steps` stopped it."""
    ending = train(prepared.training, between_steps)
    return None if ending is Ending.STOPPED else conclude_ticket(prepared, ending)


def reason_not_fusible(prepared: PreparedTicket) -> str | None:
    """Why this ticket cannot be trained as one with others; None if it can."""
    if isinstance(prepared.network, SmallNetwork):
        return "whole filters are gone from its network, which has a shape of its own"
    from lthsweep.training.fused import trial  # not imported by a run that is trained alone

    return trial.reason_not_fusible(prepared.training)


def conclude_ticket(prepared: PreparedTicket, ending: Ending) -> Result:
    """Measure and audit a ticket whose training has ended, "finished" or "diverged"."""
    training, network, step, masks = (
        prepared.training,
        prepared.network,
        prepared.step,
        prepared.masks,
    )
    parent, prunable = prepared.parent, prepared.prunable
    if ending is Ending.DIVERGED:
        clear_pruned(training, network.held)  # zero times NaN is NaN
    network.finish()
    full = network.full if network.full is not network.model else None
    metrics = measure(
        prepared.context,
        training,
        ending,
        masks=masks,
        prunable=prunable,
        start_step=prepared.start_step,
        dense_val_accuracy=prepared.dense_val_accuracy,
        full=full,
    )
    metrics |= {**prepared.pruned_metrics, **amounts_of(step, prepared.level, metrics)}
    metrics |= {"before_val_accuracy": parent.val_accuracy, "before_test_accuracy": parent.test_accuracy}
    found = audit(
        masks,
        snapshot=prunable_of(prepared.starting_point.weights, masks),
        start=prepared.started_from,
        final={name: weight.detach() for name, weight in prunable.items()},
        momenta=_momenta(training, network, masks),
        sparsity=step.sparsity,
        threshold=step.threshold,
        scope=step.scope,
        rates=step.rates,
        left={name: int(mask.sum()) for name, mask in parent.masks.items()} or None,
        parent=prunable_of(parent.weights, masks),
        shuffle=CONTROLS[step.control].shuffle,
        miss=_half_of_a_filter(network, prunable),
    )
    return conclude(training, ending, metrics, masks, prunable, found.to_dict(), full)


def clear_pruned(training: Training, masks: Mapping[str, torch.Tensor]) -> None:
    """Zero pruned weights and their momenta, whatever they were."""
    parameters = dict(training.model.named_parameters())
    pruned = {name: parameters[name] for name in masks}
    with torch.no_grad():
        for name, moments in optimizer_momenta(training.optimizer, pruned).items():
            for value in (pruned[name], *moments):
                value.masked_fill_(~masks[name], 0.0)


def prunable_of(weights: Arrays, masks: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Those of a `state_dict`'s arrays that have a mask, as tensors on its device."""
    return {name: torch.from_numpy(weights[name]).to(mask.device) for name, mask in masks.items()}


def _momenta(
    training: Training, network: PrunedNetwork, masks: Mapping[str, torch.Tensor]
) -> dict[str, tuple[torch.Tensor, ...]]:
    """The momenta of prunable weights in full shapes; what is gone from the network has none."""
    parameters = dict(training.model.named_parameters())
    found = optimizer_momenta(training.optimizer, {name: parameters[name] for name in masks})
    return {
        name: tuple(network.widened({name: moment})[name] for moment in moments)
        for name, moments in found.items()
    }


def _half_of_a_filter(network: PrunedNetwork, prunable: Mapping[str, torch.Tensor]) -> int | None:
    return largest_filter(network.families, prunable) // 2 if isinstance(network, SmallNetwork) else None
