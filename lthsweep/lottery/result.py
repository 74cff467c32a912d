"""The result of a finished run: its metrics, measured once at the end, and the parts of its record."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from pydantic import JsonValue
from torch import nn

from lthsweep.lottery.context import TrainingContext, to_arrays
from lthsweep.models.layers import load_state, state_of, transposed_groups
from lthsweep.models.macs import network_cost
from lthsweep.pruning.masks import LayerRow, dead_channels, dense_masks, layer_rows
from lthsweep.store.metrics import Metrics
from lthsweep.store.weights import Arrays
from lthsweep.training.evaluation import evaluate
from lthsweep.training.progress import CurveRow
from lthsweep.training.state import Batches, Ending, Training

__all__ = [
    "Checkpoint",
    "Result",
    "conclude",
    "measure",
    "score_without_retraining",
    "steps_to_reach",
]


@dataclass(frozen=True)
class Checkpoint:
    """A training stopped between two steps: tensors by name and plain values; see `Training.state`."""

    tensors: Mapping[str, torch.Tensor]
    progress: Mapping[str, JsonValue]


@dataclass(frozen=True)
class Result:
    """One finished (or diverged) training, as plain values and NumPy arrays.

    Attributes:
        ending: "finished" or "diverged".
        metrics: see `lthsweep.store.metrics`; those that the launcher measures are NaN.
        curves: one row per epoch.
        layers: one row per prunable layer.
        masks: parameter name → bool array, True where kept; empty for a dense run.
        audit: the checks of docs/protocol.md with their outcome.
        weights: the final state of the model, by the names of its `state_dict`.
        notes: additional plain values for the provenance.
        shrunk: final state of the physically smaller network, if that was trained; else None.
    """

    ending: Ending
    metrics: Metrics
    curves: Sequence[CurveRow]
    layers: Sequence[LayerRow]
    masks: Arrays
    audit: Mapping[str, object]
    weights: Arrays = field(repr=False)
    notes: dict[str, object] = field(default_factory=dict)
    shrunk: Arrays | None = field(default=None, repr=False)


def measure(
    context: TrainingContext,
    training: Training,
    ending: Ending,
    *,
    masks: Mapping[str, torch.Tensor],
    prunable: Mapping[str, torch.Tensor],
    start_step: int,
    dense_val_accuracy: float | None,
    full: nn.Module | None = None,
) -> Metrics:
    """Measure the final scores, costs and counts of a training.

    The test set is read here and nowhere decides anything: its score is taken at the last epoch, and once
    more with the weights of the best validation epoch.

    Args:
        context: data and model of the run.
        training: as it ended.
        ending: how it ended.
        masks: parameter name → bool tensor; empty for a dense run.
        prunable: parameter name → weight, the weights that may be pruned.
        start_step: the step training started from.
        dense_val_accuracy: last validation accuracy of the dense run; None for the dense run itself.
        full: the network of full shape, if the trained one is smaller.
    """
    progress = training.progress
    last = progress.curves[-1]
    weights = {name: value.clone() for name, value in state_of(training.model).items()}
    test, seconds_test = context.score_test(training.model)
    best = test
    if training.best_model and progress.best_epoch != last.epoch:
        load_state(training.model, training.best_model)
        best, _ = context.score_test(training.model)
        load_state(training.model, weights)
    counted = network_cost(full or training.model, context.input_shape, masks or None)
    own = counted if full is None else network_cost(training.model, context.input_shape)
    target = last.val_accuracy if dense_val_accuracy is None else dense_val_accuracy
    has_validation = not math.isnan(last.val_accuracy)
    prunable_total = sum(weight.numel() for weight in prunable.values())
    remaining = sum(int(mask.sum()) for mask in masks.values()) if masks else prunable_total
    return Metrics(
        sparsity_achieved=(prunable_total - remaining) / prunable_total,
        steps_per_epoch=training.steps_per_epoch,
        steps_total=training.total_steps,
        rewind_step=start_step,
        epochs_trained=(progress.step - start_step) / training.steps_per_epoch,
        train_loss=last.train_loss,
        train_accuracy=last.train_accuracy,
        val_loss=last.val_loss,
        val_accuracy=last.val_accuracy,
        best_epoch=progress.best_epoch if has_validation else last.epoch,
        best_val_accuracy=progress.best_accuracy if has_validation else math.nan,
        test_loss=test.loss,
        test_accuracy=test.accuracy,
        test_loss_best=best.loss,
        test_accuracy_best=best.accuracy,
        dense_val_accuracy=target,
        steps_to_dense=steps_to_reach(progress.curves, target, start_step),
        params_total=counted.params_total,
        params_prunable=prunable_total,
        params_remaining=remaining,
        dead_channels=sum(dead_channels(masks, transposed_groups(full or training.model)).values()),
        macs_dense=counted.macs_dense,
        macs_remaining=counted.macs_remaining,
        seconds_train=progress.seconds_train,
        seconds_test=seconds_test,
        images_per_second=progress.samples / progress.seconds_train if progress.seconds_train else math.nan,
        params_model=own.params_total,
        macs_model=own.macs_dense,
    )


def score_without_retraining(
    context: TrainingContext, model: torch.nn.Module, validation: Callable[[], Batches]
) -> dict[str, float]:
    """Scores of a network that was pruned and not trained since."""
    held_out = evaluate(model, validation(), precision=context.train.precision)
    test, _ = context.score_test(model)
    return {
        "pruned_val_accuracy": held_out.accuracy,
        "pruned_test_loss": test.loss,
        "pruned_test_accuracy": test.accuracy,
    }


def steps_to_reach(curves: Sequence[CurveRow], target: float, start_step: int) -> int:
    """Steps of training after which validation accuracy was first at or above `target`; -1 if never.

    Validation is once an epoch, so the answer is the end of an epoch.
    """
    for row in curves:
        if row.val_accuracy >= target:
            return row.step - start_step
    return -1


def conclude(
    training: Training,
    ending: Ending,
    metrics: Metrics,
    masks: Mapping[str, torch.Tensor],
    prunable: Mapping[str, torch.Tensor],
    audit: Mapping[str, object],
    full: nn.Module | None = None,
) -> Result:
    """Put the parts of a result together, off the device; `full` as for `measure`, with the final weights in it."""
    everything = dense_masks(prunable)
    return Result(
        ending=ending,
        metrics=metrics,
        curves=tuple(training.progress.curves),
        layers=tuple(layer_rows(masks or everything, prunable)),
        masks=to_arrays(masks),
        audit=audit,
        weights=to_arrays(state_of(full or training.model)),
        shrunk=None if full is None else to_arrays(training.model.state_dict()),
    )
