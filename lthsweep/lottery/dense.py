"""The dense run: the trunk from which every ticket of its recipe and seed descends."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from lthsweep.errors import TrainingError
from lthsweep.lottery.material import Arrays, Material, to_arrays, to_tensors
from lthsweep.lottery.result import Checkpoint, Result, conclude, measure
from lthsweep.pruning.prunable import prunable_weights
from lthsweep.training.group_lasso import GroupLasso
from lthsweep.training.loop import BetweenSteps, Training

__all__ = ["dense_training", "replay_snapshots", "train_dense"]

SaveSnapshot = Callable[[int, Arrays], None]


def train_dense(
    material: Material,
    seed: int,
    *,
    snapshot_steps: Collection[int],
    save_snapshot: SaveSnapshot,
    resume: Checkpoint | None = None,
    between_steps: BetweenSteps = lambda training: False,
) -> Result | None:
    """Train the dense model from initialization to T, leaving snapshots at the rewind points.

    Args:
        material: data and model of the run.
        seed: of initialization, order, augmentation and random layers, each by its own stream.
        snapshot_steps: steps at which weights, BatchNorm statistics and optimizer state are kept.
        save_snapshot: called with the step and the arrays "model/NAME" and "optimizer/NAME:ENTRY".
        resume: where an earlier attempt stopped; its snapshots up to there were saved by it.
        between_steps: as for `Training.run`.

    Returns:
        The result, or None if `between_steps` stopped it.
    """
    training = dense_training(material, seed)
    if resume is not None:
        training.restore(resume.tensors, resume.progress)
    ending = training.run(_keeping_snapshots(snapshot_steps, save_snapshot, between_steps))
    if ending == "stopped":
        return None
    prunable = prunable_weights(training.model)
    metrics = measure(
        material,
        training,
        ending,
        masks={},
        prunable=prunable,
        start_step=0,
        dense_val_accuracy=None,
    )
    return conclude(training, ending, metrics, {}, prunable, {"ok": True})


def replay_snapshots(
    material: Material,
    seed: int,
    *,
    snapshot_steps: Collection[int],
    save_snapshot: SaveSnapshot,
    nearest: tuple[int, Mapping[str, Any]] | None = None,
    between_steps: BetweenSteps = lambda training: False,
) -> bool:
    """Walk a finished trunk's trajectory again, to the last of some rewind points that joined the grid later.

    Order, augmentation and initialization are pure functions of the seed, so on the same kind of machine the
    walk passes through the same weights, bit for bit.

    Args:
        material: as for `train_dense`.
        seed: as for `train_dense`.
        snapshot_steps: steps of the new points, at least one.
        save_snapshot: as for `train_dense`.
        nearest: (step, arrays) of the latest snapshot before all of the points, to start from; None starts at
            initialization.
        between_steps: as for `train_dense`.

    Returns:
        Whether all points were reached; False if `between_steps` stopped the walk.

    Raises:
        TrainingError: if the trajectory diverges before the last of the points.
    """
    start, arrays = nearest or (0, {})
    training = dense_training(material, seed, start)
    if arrays:
        training.restore(to_tensors(arrays), training.progress.to_dict())
    last = max(snapshot_steps)

    def stop_at_last(current: Training) -> bool:
        return between_steps(current) or current.progress.step >= last

    ending = training.run(_keeping_snapshots(snapshot_steps, save_snapshot, stop_at_last))
    reached = training.progress.step
    if ending == "diverged" and reached < last:
        raise TrainingError(
            f"seed {seed} diverges by step {reached}, before the rewind point at step {last}; "
            f"lower train.optimizer.lr or lengthen train.schedule.warmup"
        )
    return reached >= last


def dense_training(material: Material, seed: int, start: int = 0) -> Training:
    """A dense run before its first step, or with the step count of a later one and weights yet to be restored."""
    model = material.build(seed)
    lasso = GroupLasso.of(model, material.input_shape, material.group_lasso)
    return Training(
        model, material.training_data(seed), material.train, seed=seed, start_step=start, lasso=lasso
    )


def _keeping_snapshots(
    steps: Collection[int], save: SaveSnapshot, between_steps: BetweenSteps
) -> BetweenSteps:
    """Save the snapshot first: a training that is stopped at a rewind point has its snapshot all the same."""

    def hook(training: Training) -> bool:
        if training.progress.step in steps:
            save(training.progress.step, snapshot_of(training))
        return between_steps(training)

    return hook


def snapshot_of(training: Training) -> Arrays:
    """Weights, BatchNorm statistics and optimizer state of this moment."""
    tensors, _ = training.state()
    return to_arrays({name: value for name, value in tensors.items() if not name.startswith("best/")})
