"""The measurements of a finished run: one field here is one value of a record and one column of the table.

To add a metric, add a field to `Metrics` and the line that computes it (`lthsweep.lottery.result.measure`). The
record, `/runs`, `/tickets`, `lthsweep compare --metric` and the columns in docs/the-table.md follow from the field.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal

__all__ = ["METRICS", "TIMING_METRICS", "MetricInfo", "Metrics"]


@dataclass(frozen=True, kw_only=True)
class MetricInfo:
    """Properties of one metric.

    Attributes:
        description: one line for docs/the-table.md, with the unit.
        better: which values are better; None if the metric has no better direction, so `compare` refuses it.
        runs: which runs have it.
        over_seeds: how `/tickets` combines the seeds of a grid point, ignoring NaN; None leaves the metric out.
            The median also ignores negative values, which stand for "never".
        timing: the value differs between two executions of the same run, without either being wrong.
    """

    description: str
    better: Literal["higher", "lower"] | None = None
    runs: Literal["all", "tickets", "budget"] = "all"
    over_seeds: Literal["mean", "median"] | None = None
    timing: bool = False


def _metric(
    description: str,
    *,
    better: Literal["higher", "lower"] | None = None,
    runs: Literal["all", "tickets", "budget"] = "all",
    over_seeds: Literal["mean", "median"] | None = None,
    timing: bool = False,
) -> float:
    info = MetricInfo(description=description, better=better, runs=runs, over_seeds=over_seeds, timing=timing)
    return field(default=math.nan, metadata={"info": info})


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """The metrics of one run, in the order of the table's columns; NaN where a run does not have one.

    Losses are mean cross-entropy in nats, accuracies are in [0, 1].
    """

    sparsity_achieved: float = _metric(
        "fraction of the prunable weights that was removed; `sparsity` is the fraction asked for",
        better="higher",
    )
    steps_per_epoch: float = _metric("training steps of one epoch")
    steps_total: float = _metric("training steps of the whole schedule")
    rewind_step: float = _metric("step at which training started; 0 for a dense run", over_seeds="mean")
    epochs_trained: float = _metric("epochs that this run trained; of a budget run, over all its rounds")
    train_loss: float = _metric("training loss over the last epoch", better="lower")
    train_accuracy: float = _metric("training accuracy over the last epoch", better="higher")
    val_loss: float = _metric("validation loss after the last epoch", better="lower")
    val_accuracy: float = _metric("validation accuracy after the last epoch", better="higher")
    best_epoch: float = _metric("first epoch with the best validation accuracy")
    best_val_accuracy: float = _metric("best validation accuracy of any epoch", better="higher")
    test_loss: float = _metric("test loss after the last epoch", better="lower")
    test_accuracy: float = _metric(
        "test accuracy after the last epoch; verdicts compare this one", better="higher"
    )
    test_loss_best: float = _metric("test loss with the weights of the best validation epoch", better="lower")
    test_accuracy_best: float = _metric(
        "test accuracy with the weights of the best validation epoch", better="higher"
    )
    before_val_accuracy: float = _metric(
        "validation accuracy of the parent, before this pruning", better="higher", runs="tickets"
    )
    before_test_accuracy: float = _metric(
        "test accuracy of the parent, before this pruning; unknown for a budget run",
        better="higher",
        runs="tickets",
    )
    pruned_val_accuracy: float = _metric(
        "validation accuracy right after pruning, before retraining", better="higher", runs="tickets"
    )
    pruned_test_loss: float = _metric(
        "test loss right after pruning, before retraining", better="lower", runs="tickets"
    )
    pruned_test_accuracy: float = _metric(
        "test accuracy right after pruning, before retraining", better="higher", runs="tickets"
    )
    dense_val_accuracy: float = _metric(
        "validation accuracy of the dense run after its last epoch", better="higher"
    )
    steps_to_dense: float = _metric(  # no direction: -1 is not a number of steps
        "training steps until validation accuracy first reached the dense run's last one, to the epoch; -1 if never",
        over_seeds="median",
    )
    params_total: float = _metric("parameters of the dense network", better="lower")
    params_prunable: float = _metric("weights that pruning can remove", better="lower")
    params_remaining: float = _metric("prunable weights that remain", better="lower")
    dead_channels: float = _metric(
        "output channels, or units of a linear layer, that have no weight left; summed over the prunable layers",
        over_seeds="mean",
    )
    macs_dense: float = _metric(
        "multiply-accumulates of all weights for one input", better="lower", over_seeds="mean"
    )
    macs_remaining: float = _metric(
        "multiply-accumulates of the remaining weights for one input", better="lower", over_seeds="mean"
    )
    bytes_dense: float = _metric("bytes of all weights as plain arrays", better="lower", over_seeds="mean")
    bytes_sparse: float = _metric(
        "bytes of the weights as stored: survivors and compressed mask", better="lower", over_seeds="mean"
    )
    seconds_train: float = _metric(
        "seconds of training, validation included; a run [trained in an ensemble](fusing.md) has its share, so sums "
        "are the time that a device was busy",
        better="lower",
        over_seeds="mean",
        timing=True,
    )
    seconds_test: float = _metric(
        "seconds of one pass over the test set", better="lower", over_seeds="mean", timing=True
    )
    images_per_second: float = _metric(
        "training images per second of `seconds_train`", better="higher", timing=True
    )
    seconds_wall: float = _metric(
        "seconds from the start of the last attempt to its end; in an ensemble, its share of them",
        better="lower",
        timing=True,
    )
    rounds: float = _metric("prunings of a [budget run](budget.md)", runs="budget", over_seeds="mean")
    seconds_budget: float = _metric(
        "seconds that the budget run was given", better="lower", runs="budget", over_seeds="mean"
    )
    seconds_predicted: float = _metric(
        "seconds that the plan made after the first epoch predicted",
        better="lower",
        runs="budget",
        over_seeds="mean",
        timing=True,
    )
    seconds_spent: float = _metric(
        "seconds that the budget run took", better="lower", runs="budget", over_seeds="mean", timing=True
    )
    params_model: float = _metric(
        "parameters of the network that was trained: masks leave all of it, [filters](structured.md) a part",
        better="lower",
    )
    macs_model: float = _metric(
        "multiply-accumulates of the network that was trained, for one input", better="lower"
    )
    bytes_model: float = _metric(
        "bytes of the network that was trained, as a safetensors file", better="lower"
    )

    @classmethod
    def from_dict(cls, values: Mapping[str, float]) -> Metrics:
        """Return the metrics that a record holds; absent ones are NaN."""
        return cls(**{name: values[name] for name in METRICS if name in values})

    def to_dict(self) -> dict[str, float]:
        """Return name to number, for a record; NaN ones are left out."""
        return {name: value for name, value in vars(self).items() if not math.isnan(value)}


METRICS: Mapping[str, MetricInfo] = {item.name: item.metadata["info"] for item in fields(Metrics)}
"""Every metric by name, in the order of the columns."""

TIMING_METRICS = frozenset(name for name, info in METRICS.items() if info.timing)
"""Metrics that can differ between two executions of the same run."""
