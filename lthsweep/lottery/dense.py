"""The dense run, from which every ticket of its recipe and seed descends."""

from __future__ import annotations

from collections.abc import Callable, Collection

from lthsweep.errors import TrainingError
from lthsweep.lottery.context import TrainingContext, to_arrays, to_tensors
from lthsweep.lottery.result import Checkpoint, Result, conclude, measure
from lthsweep.pruning.prunable import prunable_weights
from lthsweep.store.weights import Arrays
from lthsweep.training.group_lasso import GroupLasso
from lthsweep.training.loop import BetweenSteps, never_stop, train
from lthsweep.training.state import Ending, Training

__all__ = ["dense_training", "replay_snapshots", "train_dense"]

SaveSnapshot = Callable[[int, Arrays], None]


def train_dense(
    context: TrainingContext,
    seed: int,
    *,
    snapshot_steps: Collection[int],
    save_snapshot: SaveSnapshot,
    resume: Checkpoint | None = None,
    between_steps: BetweenSteps = never_stop,
) -> Result | None:
    """Train the dense model from initialization to T, with snapshots at the rewind points.

    Args:
        context: data and model of the run.
        seed: seed of initialization, order, augmentation and random layers, each with its own stream.
        snapshot_steps: steps at which weights, BatchNorm statistics and optimizer state are saved.
        save_snapshot: called with the step and the arrays "model/NAME" and "optimizer/NAME:ENTRY".
        resume: checkpoint of an earlier attempt, which saved its snapshots up to there.
        between_steps: as for `train`.

    Returns:
        The result, or None if `between_steps` stopped the run.

    Raises:
        PruningError: if the network has an empty layer, or none that can be pruned.
    """
    training = dense_training(context, seed)
    prunable = prunable_weights(training.model)  # before training, whose checks fail on an empty layer
    if resume is not None:
        training.restore(resume.tensors, resume.progress)
    ending = train(training, _keeping_snapshots(snapshot_steps, save_snapshot, between_steps))
    if ending is Ending.STOPPED:
        return None
    metrics = measure(
        context,
        training,
        ending,
        masks={},
        prunable=prunable,
        start_step=0,
        dense_val_accuracy=None,
    )
    return conclude(training, ending, metrics, {}, prunable, {"ok": True})


def replay_snapshots(
    context: TrainingContext,
    seed: int,
    *,
    snapshot_steps: Collection[int],
    save_snapshot: SaveSnapshot,
    nearest: tuple[int, Arrays] | None = None,
    between_steps: BetweenSteps = never_stop,
) -> bool:
    """Replay a finished dense run up to the last of some rewind points that were added to the grid later.

    Order, augmentation and initialization are pure functions of the seed, so on the same kind of machine the
    replay passes through the same weights, bit for bit.

    Args:
        context: as for `train_dense`.
        seed: as for `train_dense`.
        snapshot_steps: steps of the new rewind points, at least one.
        save_snapshot: as for `train_dense`.
        nearest: (step, arrays) of the latest snapshot before all of these points, from which the replay starts; None
            starts at initialization.
        between_steps: as for `train_dense`.

    Returns:
        True if all points were reached; False if `between_steps` stopped the replay.

    Raises:
        TrainingError: if the trajectory diverges before the last of the points.
    """
    start, arrays = nearest or (0, {})
    training = dense_training(context, seed, start)
    if arrays:
        training.restore(to_tensors(arrays), training.progress.to_dict())
    last = max(snapshot_steps)

    def stop_at_last(current: Training) -> bool:
        return between_steps(current) or current.progress.step >= last

    ending = train(training, _keeping_snapshots(snapshot_steps, save_snapshot, stop_at_last))
    reached = training.progress.step
    if ending is Ending.DIVERGED and reached < last:
        raise TrainingError(
            f"seed {seed} diverges by step {reached}, before the rewind point at step {last}; "
            f"lower train.optimizer.lr or lengthen train.schedule.warmup"
        )
    return reached >= last


def dense_training(context: TrainingContext, seed: int, start: int = 0) -> Training:
    """A dense run before its first step, or at a later step with weights that the caller restores."""
    model = context.build(seed)
    lasso = GroupLasso.of(model, context.input_shape, context.train.group_lasso)
    return Training(
        model, context.training_data(seed), context.train, seed=seed, start_step=start, lasso=lasso
    )


def _keeping_snapshots(
    steps: Collection[int], save: SaveSnapshot, between_steps: BetweenSteps
) -> BetweenSteps:
    """Save snapshots before `between_steps` is called: it can stop the training at a rewind point."""

    def save_first(training: Training) -> bool:
        if training.progress.step in steps:
            save(training.progress.step, snapshot_of(training))
        return between_steps(training)

    return save_first


def snapshot_of(training: Training) -> Arrays:
    """Weights, BatchNorm statistics and optimizer state at the current step."""
    tensors, _ = training.state()
    return to_arrays({name: value for name, value in tensors.items() if not name.startswith("best/")})
