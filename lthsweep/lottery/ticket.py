"""A ticket: prune a trained network, rewind the surviving weights, retrain.

Source: Frankle & Carbin, ICLR 2019, arXiv:1803.03635, section 1. `lthsweep.lottery.mask` chooses the weights that are
kept, `lthsweep.lottery.starting_point` the weights from which they train again. A control is a ticket with one thing
changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lthsweep.errors import TrainingError
from lthsweep.lottery.context import TrainingContext, to_tensors
from lthsweep.lottery.mask import mask_of
from lthsweep.lottery.pruned_network import PrunedNetwork, SmallNetwork, clear_pruned, pruned_network_of
from lthsweep.lottery.result import (
    Checkpoint,
    Result,
    conclude,
    measure,
    score_without_retraining,
)
from lthsweep.lottery.starting_point import starting_point_of
from lthsweep.models.layers import load_state, transposed_groups
from lthsweep.plan.prune_step import CONTROLS, PruneStep
from lthsweep.pruning.audit import audit
from lthsweep.pruning.masks import Masks
from lthsweep.pruning.prunable import prunable_weights
from lthsweep.store.weights import Arrays
from lthsweep.training.loop import BetweenSteps, never_stop, train
from lthsweep.training.optimizers import restore_optimizer
from lthsweep.training.state import Ending, Training, TrainingData

__all__ = [
    "Parent",
    "PreparedTicket",
    "conclude_ticket",
    "prepare_ticket",
    "prunable_of",
    "reason_not_fusible",
    "retrain_ticket",
]


@dataclass(frozen=True)
class Parent:
    """The run whose final weights are pruned: the dense run, or the level before.

    Attributes:
        weights: its final `state_dict` as arrays.
        masks: its masks; empty for the dense run.
        val_accuracy, test_accuracy: its scores after the last epoch, the accuracy before this pruning.
    """

    weights: Arrays
    masks: Arrays
    val_accuracy: float
    test_accuracy: float


@dataclass(frozen=True, eq=False)
class PreparedTicket:
    """A ticket that is pruned and rewound, and has to be retrained.

    Attributes:
        training: at its next step.
        context, prune, dense_val_accuracy: as for `prepare_ticket`.
        network: the network that is trained.
        masks: parameter name → bool tensor in full shapes, True = kept.
        prunable: the weights that can be pruned, in full shapes.
        pruned_from: the same weights before this pruning, needed to audit a threshold.
        rewound_to: the same weights at the starting point, not masked.
        started_from: the same weights before the first step, masked.
        kept_before: parameter name → number of weights kept before this pruning; None for all.
        earlier_metrics: accuracies before pruning, and between pruning and retraining.
    """

    training: Training
    context: TrainingContext
    prune: PruneStep
    dense_val_accuracy: float
    network: PrunedNetwork
    masks: Masks
    prunable: Mapping[str, torch.nn.Parameter]
    pruned_from: Mapping[str, Tensor] | None
    rewound_to: Mapping[str, Tensor]
    started_from: Mapping[str, Tensor]
    kept_before: Mapping[str, int] | None
    earlier_metrics: Mapping[str, float]


def prepare_ticket(
    context: TrainingContext,
    seed: int,
    prune: PruneStep,
    *,
    parent: Parent,
    snapshot: Arrays | None,
    dense_val_accuracy: float,
    resume: Checkpoint | None = None,
    data: TrainingData | None = None,
) -> PreparedTicket:
    """Prune and rewind.

    Args:
        context: data and model of the run.
        seed: seed of the replicate; order, augmentation and random layers continue those of the dense run.
        prune: how much is pruned, where survivors return to, and what a control does instead.
        parent: run whose final weights are pruned; a control has that of its ticket.
        snapshot: snapshot of the dense run at the rewind point ("model/NAME", "optimizer/NAME:ENTRY"); None where
            survivors keep their weights (`rewind = "lr"` and `"none"`) or get fresh ones.
        dense_val_accuracy: last validation accuracy of the dense run, for `steps_to_dense`.
        resume: checkpoint of an earlier attempt.
        data: data of this context and seed, if several tickets share it; None creates it.

    Raises:
        PruningError: if the mask cannot be made, for example because the parent diverged.
        TrainingError: if the rewind point is not before the end of training.
    """
    model = context.build(seed)
    data = data or context.training_data(seed)
    start_step = _start_step(prune, context.train.epochs, data.train.steps)
    trained = to_tensors(parent.weights)
    load_state(model, trained)
    prunable = prunable_weights(model, prune.exclude)

    # Prune.
    masks = mask_of(
        prune, context=context, data=data, seed=seed, network=model, masks=parent.masks, snapshot=snapshot
    )
    network = pruned_network_of(prune.method, model, masks, context)
    network.load(trained)
    pruned_metrics = score_without_retraining(context, network.model, data.validation)

    # Rewind.
    start = starting_point_of(
        prune, context=context, seed=seed, final=parent.weights, snapshot=snapshot, masks=masks
    )
    network.load(to_tensors(start.weights))
    training = Training(
        network.model,
        data,
        context.train,
        seed=seed,
        start_step=start_step,
        masks=network.trained_masks,
        learning_rate=context.train.last_learning_rate(data.train.steps) if start.last_rate else None,
        lasso=network.lasso(),
    )
    if start.optimizer:
        restore_optimizer(training.optimizer, network.model, network.narrowed(to_tensors(start.optimizer)))
        clear_pruned(training, network.trained_masks)
    network.sync_full()
    started_from = {name: weight.detach().clone() for name, weight in prunable.items()}
    if resume is not None:
        training.restore(resume.tensors, resume.progress)
    return PreparedTicket(
        training=training,
        context=context,
        prune=prune,
        dense_val_accuracy=dense_val_accuracy,
        network=network,
        masks=masks,
        prunable=prunable,
        pruned_from=prunable_of(parent.weights, masks),
        rewound_to=prunable_of(start.weights, masks),
        started_from=started_from,
        kept_before={name: int(mask.sum()) for name, mask in parent.masks.items()} or None,
        earlier_metrics={
            **pruned_metrics,
            "before_val_accuracy": parent.val_accuracy,
            "before_test_accuracy": parent.test_accuracy,
        },
    )


def retrain_ticket(ticket: PreparedTicket, between_steps: BetweenSteps = never_stop) -> Result | None:
    """Train a ticket to its end and measure it; None if `between_steps` stopped it."""
    ending = train(ticket.training, between_steps)
    return None if ending is Ending.STOPPED else conclude_ticket(ticket, ending)


def conclude_ticket(ticket: PreparedTicket, ending: Ending) -> Result:
    """Measure and audit a ticket whose training has finished or diverged."""
    training, network, prune, masks = ticket.training, ticket.network, ticket.prune, ticket.masks
    if ending is Ending.DIVERGED:
        clear_pruned(training, network.trained_masks)  # zero times NaN is NaN: pruned positions hold NaN now
    network.sync_full()
    full = network.full if network.full is not network.model else None
    metrics = measure(
        ticket.context,
        training,
        ending,
        masks=masks,
        prunable=ticket.prunable,
        start_step=prune.point.step(training.steps_per_epoch),
        dense_val_accuracy=ticket.dense_val_accuracy,
        full=full,
    )
    metrics = replace(metrics, **ticket.earlier_metrics)
    found = audit(
        masks,
        snapshot=ticket.rewound_to,
        start=ticket.started_from,
        final={name: weight.detach() for name, weight in ticket.prunable.items()},
        momenta=network.momenta(training, masks),
        sparsity=prune.sparsity,
        threshold=prune.threshold,
        scope=prune.scope,
        rates=prune.rates,
        kept_before=ticket.kept_before,
        parent=ticket.pruned_from,
        shuffle=CONTROLS[prune.control].shuffle,
        allowed_error=network.allowed_error(ticket.prunable),
        transposed=transposed_groups(network.full),
    )
    return conclude(training, ending, metrics, masks, ticket.prunable, found.to_dict(), full)


def reason_not_fusible(ticket: PreparedTicket) -> str | None:
    """The reason why a ticket cannot be fused with others; None if it can."""
    if isinstance(ticket.network, SmallNetwork):
        return "its network lost whole filters and has its own shape"
    from lthsweep.training.fused import trial  # not imported by a run that is trained alone

    return trial.reason_not_fusible(ticket.training)


def prunable_of(weights: Arrays, masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The arrays of a `state_dict` that have a mask, as tensors on the device of the masks."""
    return {name: torch.from_numpy(weights[name]).to(mask.device) for name, mask in masks.items()}


def _start_step(prune: PruneStep, epochs: int, steps_per_epoch: int) -> int:
    start = prune.point.step(steps_per_epoch)
    if start >= epochs * steps_per_epoch:
        raise TrainingError(
            f"rewind point {prune.point} is step {start} of {epochs * steps_per_epoch}: "
            f"nothing would be left to train; choose an earlier grid.rewind_epoch"
        )
    return start
