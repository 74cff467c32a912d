"""The ticket run: prune, rewind the survivors, retrain, audit. A control is the same with one thing changed.

Source: Frankle & Carbin, ICLR 2019, arXiv:1803.03635, section 1. What is kept is said by `mask`, what training starts
from by `origin`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from lthsweep.errors import TrainingError
from lthsweep.lottery.frame import Frame, Shrunk, frame_of
from lthsweep.lottery.mask import mask_of
from lthsweep.lottery.material import Arrays, Material, to_tensors
from lthsweep.lottery.origin import Origin, origin_of
from lthsweep.lottery.result import (
    Checkpoint,
    Result,
    conclude,
    measure,
    score_without_retraining,
)
from lthsweep.plan.prune_step import CONTROLS, PruneStep
from lthsweep.pruning.audit import audit, optimizer_momenta
from lthsweep.pruning.filters import largest_filter
from lthsweep.pruning.masks import Masks
from lthsweep.pruning.prunable import prunable_weights
from lthsweep.training import fusible
from lthsweep.training.loop import Ending, Training, TrainingData
from lthsweep.training.optimizers import restore_optimizer
from lthsweep.training.schedule import learning_rate_factor

__all__ = [
    "Parent",
    "Prepared",
    "clear_pruned",
    "conclude_ticket",
    "prepare_ticket",
    "prunable_of",
    "why_alone",
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
class Prepared:
    """A ticket that is made and not trained yet, or where an earlier attempt left it.

    Attributes:
        training: at its next step.
        material, step, parent, dense_val_accuracy: as for `prepare_ticket`.
        start_step: its rewind point in steps.
        masks: parameter name → bool tensor in full shapes, True where kept.
        prunable: the weights that may be pruned, in full shapes.
        frame: what is trained in place of the full network.
        origin: where retraining starts.
        started_from: the prunable weights there, masked.
        pruned_metrics: scores before any retraining.
    """

    training: Training
    material: Material
    step: PruneStep
    parent: Parent
    dense_val_accuracy: float
    start_step: int
    masks: Masks
    prunable: Mapping[str, torch.nn.Parameter]
    frame: Frame
    origin: Origin
    started_from: Mapping[str, torch.Tensor]
    pruned_metrics: Mapping[str, float]


def prepare_ticket(
    material: Material,
    seed: int,
    step: PruneStep,
    *,
    parent: Parent,
    snapshot: Arrays | None,
    dense_val_accuracy: float,
    resume: Checkpoint | None = None,
    data: TrainingData | None = None,
) -> Prepared:
    """Prune and rewind: all that comes before training.

    Args:
        material: data and model of the run.
        seed: the replicate's seed; order, augmentation and random layers continue the trunk's.
        step: how much is pruned, to where survivors return, and what a control does instead.
        parent: whose final weights are ranked; a control's is its ticket's.
        snapshot: the trunk's snapshot at the rewind point ("model/NAME", "optimizer/NAME:ENTRY"); None where
            survivors keep the parent's final weights (`rewind = "lr"` and `"none"`) or get fresh ones.
        dense_val_accuracy: the trunk's last validation accuracy, for `steps_to_dense`.
        resume: where an earlier attempt stopped.
        data: of this material and seed, where several tickets share it; None makes it.

    Raises:
        PruningError: if the mask cannot be made, for example because the parent diverged.
        TrainingError: if the rewind point is not before the end of training.
    """
    model = material.build(seed)
    data = data or material.training_data(seed)
    start_step = step.point.step(data.train.steps)
    if start_step >= material.epochs * data.train.steps:
        raise TrainingError(
            f"rewind point {step.point} is step {start_step} of {material.epochs * data.train.steps}: "
            f"nothing would be left to train; choose an earlier grid.rewind_epoch"
        )

    model.load_state_dict(to_tensors(parent.weights))
    prunable = prunable_weights(model, step.exclude)
    masks = mask_of(
        step, material=material, data=data, seed=seed, network=model, masks=parent.masks, snapshot=snapshot
    )
    frame = frame_of(step.method, model, masks, material)
    frame.load(to_tensors(parent.weights))
    pruned_metrics = score_without_retraining(material, frame.model, data.validation)

    origin = origin_of(
        step, material=material, seed=seed, final=parent.weights, snapshot=snapshot, masks=masks
    )
    frame.load(to_tensors(origin.weights))
    training = Training(
        frame.model,
        data,
        material.train,
        seed=seed,
        start_step=start_step,
        masks=frame.held,
        learning_rate=_last_rate(material, data.train.steps) if origin.last_rate else None,
        lasso=frame.lasso(),
    )
    if origin.optimizer:
        restore_optimizer(training.optimizer, frame.model, frame.narrowed(to_tensors(origin.optimizer)))
        clear_pruned(training, frame.held)
    frame.finish()
    started_from = {name: weight.detach().clone() for name, weight in prunable.items()}
    if resume is not None:
        training.restore(resume.tensors, resume.progress)
    return Prepared(
        training=training,
        material=material,
        step=step,
        parent=parent,
        dense_val_accuracy=dense_val_accuracy,
        start_step=start_step,
        masks=masks,
        prunable=prunable,
        frame=frame,
        origin=origin,
        started_from=started_from,
        pruned_metrics=pruned_metrics,
    )


def why_alone(prepared: Prepared) -> str | None:
    """Why this ticket cannot be trained as one with others; None if it can."""
    if isinstance(prepared.frame, Shrunk):
        return "whole filters are gone from its network, which has a shape of its own"
    return fusible.why_alone(prepared.training)


def conclude_ticket(prepared: Prepared, ending: Ending) -> Result:
    """Measure and audit a ticket whose training has ended, "finished" or "diverged"."""
    training, frame, step, masks = prepared.training, prepared.frame, prepared.step, prepared.masks
    parent, prunable = prepared.parent, prepared.prunable
    if ending == "diverged":
        clear_pruned(training, frame.held)  # zero times NaN is NaN
    frame.finish()
    full = frame.full if frame.full is not frame.model else None
    metrics = measure(
        prepared.material,
        training,
        ending,
        masks=masks,
        prunable=prunable,
        start_step=prepared.start_step,
        dense_val_accuracy=prepared.dense_val_accuracy,
        full=full,
    )
    metrics = replace(
        metrics,
        **prepared.pruned_metrics,
        before_val_accuracy=parent.val_accuracy,
        before_test_accuracy=parent.test_accuracy,
    )
    found = audit(
        masks,
        snapshot=prunable_of(prepared.origin.weights, masks),
        start=prepared.started_from,
        final={name: weight.detach() for name, weight in prunable.items()},
        momenta=_momenta(training, frame, masks),
        sparsity=step.sparsity,
        threshold=step.threshold,
        scope=step.scope,
        rates=step.rates,
        left={name: int(mask.sum()) for name, mask in parent.masks.items()} or None,
        parent=prunable_of(parent.weights, masks),
        shuffle=CONTROLS[step.control].shuffle,
        miss=_half_of_a_filter(frame, prunable),
    )
    return conclude(training, ending, metrics, masks, prunable, found.to_dict(), full)


def _last_rate(material: Material, steps_per_epoch: int) -> float:
    factor = learning_rate_factor(
        material.train["schedule"],
        material.epochs * steps_per_epoch - 1,
        steps_per_epoch=steps_per_epoch,
        epochs=material.epochs,
    )
    return float(material.train["optimizer"]["lr"]) * factor


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
    training: Training, frame: Frame, masks: Mapping[str, torch.Tensor]
) -> dict[str, tuple[torch.Tensor, ...]]:
    """The momenta of prunable weights in full shapes; what is gone from the network has none."""
    parameters = dict(training.model.named_parameters())
    found = optimizer_momenta(training.optimizer, {name: parameters[name] for name in masks})
    return {
        name: tuple(frame.widened({name: moment})[name] for moment in moments)
        for name, moments in found.items()
    }


def _half_of_a_filter(frame: Frame, prunable: Mapping[str, torch.Tensor]) -> int | None:
    return largest_filter(frame.families, prunable) // 2 if isinstance(frame, Shrunk) else None
