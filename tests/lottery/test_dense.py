"""The dense run: its snapshots, its end, and walking it again."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from lthsweep.errors import PruningError, TrainingError
from lthsweep.lottery.context import TrainingContext, to_arrays
from lthsweep.lottery.dense import replay_snapshots, train_dense
from lthsweep.store.metrics import METRICS
from lthsweep.training.loop import train
from lthsweep.training.state import Training
from tests.lottery.cases import (
    BY_THE_LAUNCHER,
    EPOCHS,
    SEED,
    STEPS,
    Watch,
    assert_same_arrays,
    assert_same_result,
    context_of,
    dense_of,
    finished,
    measured,
)

CASES = [("lenet", "sgd"), ("lenet", "adam"), ("short", "sgd"), ("short", "adamw")]


@pytest.mark.parametrize(("model", "optimizer"), CASES)
def test_snapshots_are_the_states_of_the_undisturbed_training(packed, model, optimizer):
    """Weights, BatchNorm statistics and optimizer state, in the middle of an epoch as well as at its end."""
    dense = dense_of(packed, model, optimizer)
    context = context_of(packed, model, optimizer)
    watch = Watch(0, 1, STEPS, STEPS + 2, 2 * STEPS)
    training = Training(context.build(SEED), context.training_data(SEED), context.train, seed=SEED)

    train(training, watch)

    for step, (tensors, _) in watch.states.items():
        expected = {name: value for name, value in tensors.items() if not name.startswith("best/")}
        assert_same_arrays(dense.snapshots[step], to_arrays(expected))
    assert_same_arrays(dense.result.weights, to_arrays(training.model.state_dict()))


def test_snapshot_at_initialization_has_no_momenta(packed):
    """k = 0 is the winning ticket's point: what `build` makes from the seed, and a fresh optimizer."""
    dense = dense_of(packed)

    initial = {f"model/{name}": value for name, value in dense.context.build(SEED).state_dict().items()}
    assert_same_arrays(dense.snapshots[0], to_arrays(initial))
    assert any(name.startswith("optimizer/") for name in dense.snapshots[1])


def test_a_network_with_an_empty_layer_is_not_trained(packed, monkeypatch):
    """The error is one of the package, so the run is not tried again."""
    empty = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(0), torch.nn.Linear(0, 10))
    empty(torch.zeros(1, *context_of(packed).input_shape))
    monkeypatch.setattr(TrainingContext, "build", lambda self, seed: empty)

    with pytest.raises(PruningError, match="'1' is empty"):
        train_dense(context_of(packed), SEED, snapshot_steps=[], save_snapshot=lambda *_: None)


def test_only_the_asked_steps_are_kept(packed):
    """Snapshots are the heaviest part of a sweep."""
    kept: dict = {}

    train_dense(context_of(packed), SEED, snapshot_steps=[0, 7], save_snapshot=kept.__setitem__)

    assert sorted(kept) == [0, 7]
    assert_same_arrays(kept[7], dense_of(packed).snapshots[7])


def test_the_result_of_a_dense_run_is_complete(packed):
    """Nothing was pruned, so it has no scores before or after pruning."""
    result = finished(dense_of(packed).result)

    expected = {name for name, info in METRICS.items() if info.runs == "all"} - BY_THE_LAUNCHER
    assert set(result.metrics.to_dict()) == expected
    metrics = result.metrics
    weights = 64 * 300 + 300 * 100 + 100 * 10
    assert metrics.params_total == weights + 410
    assert metrics.params_prunable == metrics.params_remaining == weights
    assert metrics.macs_dense == metrics.macs_remaining == weights
    assert (metrics.steps_per_epoch, metrics.steps_total) == (STEPS, EPOCHS * STEPS)
    assert (metrics.rewind_step, metrics.epochs_trained) == (0, EPOCHS)
    assert (metrics.sparsity_achieved, metrics.dead_channels) == (0, 0)
    assert metrics.dense_val_accuracy == metrics.val_accuracy == result.curves[-1].val_accuracy
    assert metrics.best_val_accuracy == max(row.val_accuracy for row in result.curves)
    assert result.masks == {}
    assert result.audit == {"ok": True}
    assert [(row.size, row.remaining, row.dead) for row in result.layers] == [
        (64 * 300, 64 * 300, False),
        (300 * 100, 300 * 100, False),
        (100 * 10, 100 * 10, False),
    ]


def test_best_epoch_scores_use_its_weights(packed):
    """The record keeps the last weights; the best epoch's are scored and let go."""
    dense = dense_of(packed, "lenet", "sgd")
    scripted = iter([0.2, 0.9, 0.4])

    def script(training):
        if "validate" not in vars(training):
            real = training.validate
            training.validate = lambda: dataclasses.replace(real(), accuracy=next(scripted))
        return False

    result = finished(
        train_dense(
            dense.context, SEED, snapshot_steps=[], save_snapshot=lambda *_: None, between_steps=script
        )
    )

    model = dense.context.build(SEED)
    at_best = dense.snapshots[2 * STEPS]
    model.load_state_dict(
        {n.removeprefix("model/"): torch.from_numpy(a) for n, a in at_best.items() if n.startswith("model/")}
    )
    expected, _ = dense.context.score_test(model)
    assert result.metrics.best_epoch == 2
    assert result.metrics.test_loss_best == expected.loss
    assert result.metrics.test_accuracy_best == expected.accuracy
    assert result.metrics.test_loss == dense.result.metrics.test_loss
    assert_same_arrays(result.weights, dense.result.weights)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [0, 4, STEPS, 2 * STEPS + 3, EPOCHS * STEPS])
def test_dense_run_resumes_from_its_checkpoint(packed, stop):
    """Result and snapshots equal those of an uninterrupted run; the stopped run returned no result."""
    dense = dense_of(packed, "short", "sgd")
    kept: dict = {}
    options = {"snapshot_steps": range(EPOCHS * STEPS), "save_snapshot": kept.__setitem__}
    watch = Watch(stop=stop)

    assert train_dense(dense.context, SEED, **options, between_steps=watch) is None
    assert sorted(kept) == list(range(min(stop + 1, EPOCHS * STEPS)))
    result = train_dense(dense.context, SEED, **options, resume=watch.checkpoint)

    assert_same_result(finished(result), dense.result)
    assert kept.keys() == dense.snapshots.keys()
    for step, arrays in kept.items():
        assert_same_arrays(arrays, dense.snapshots[step])


@pytest.mark.slow
@pytest.mark.parametrize(("model", "optimizer"), CASES)
@pytest.mark.parametrize("nearest", [None, 0, 2, STEPS])
def test_replay_passes_through_the_same_weights(packed, model, optimizer, nearest):
    """A grid that grows by rewind points gets their snapshots from the beginning or from the one before."""
    dense = dense_of(packed, model, optimizer)
    kept: dict = {}
    steps = [STEPS, 2 * STEPS + 1]

    reached = replay_snapshots(
        dense.context,
        SEED,
        snapshot_steps=steps,
        save_snapshot=kept.__setitem__,
        nearest=None if nearest is None else (nearest, dense.snapshots[nearest]),
    )

    assert reached
    assert sorted(kept) == steps
    for step in steps:
        assert_same_arrays(kept[step], dense.snapshots[step])


def test_a_walk_ends_at_its_last_point(packed):
    """The replay ends at the last rewind point."""
    steps = []

    replay_snapshots(
        context_of(packed),
        SEED,
        snapshot_steps=[2, 7],
        save_snapshot=lambda *_: None,
        between_steps=lambda training: steps.append(training.progress.step),
    )

    assert steps == list(range(8))


def test_a_walk_that_is_stopped_says_so(packed):
    """The snapshots up to there are kept, and the walk may be made again."""
    kept: dict = {}

    reached = replay_snapshots(
        context_of(packed),
        SEED,
        snapshot_steps=[2, 7],
        save_snapshot=kept.__setitem__,
        between_steps=lambda training: training.progress.step == 4,
    )

    assert not reached
    assert sorted(kept) == [2]


def exploding(packed):
    """A recipe whose weights overflow within some twenty steps: weight decay times 1e6 each."""
    context = context_of(packed)
    optimizer = dataclasses.replace(context.train.optimizer, lr=1e6, weight_decay=1e-3)
    options = dataclasses.replace(context.train, epochs=20, optimizer=optimizer)
    return dataclasses.replace(context, train=options)


def test_a_diverged_dense_run_is_a_result(packed):
    """NaN is an outcome of the recipe, with curves and counts, not a crash."""
    result = train_dense(exploding(packed), SEED, snapshot_steps=[0], save_snapshot=lambda *_: None)

    assert result is not None
    assert result.ending == "diverged"
    assert result.metrics.test_accuracy == 0
    assert math.isnan(result.metrics.test_loss)
    assert result.metrics.epochs_trained == len(result.curves) < 20


def test_replay_that_diverges_names_the_remedy(packed):
    """No ticket can return to where the dense run never was."""
    with pytest.raises(TrainingError, match=r"step 95.*train\.optimizer\.lr"):
        replay_snapshots(exploding(packed), SEED, snapshot_steps=[95], save_snapshot=lambda *_: None)


def test_the_test_set_decides_nothing(packed):
    """With other test labels all is the same but the test scores."""
    shuffled = dataclasses.replace(packed, test_labels=np.roll(packed.test_labels, 7))
    context = dataclasses.replace(context_of(packed), packed=shuffled)
    dense = dense_of(packed)

    result = finished(train_dense(context, SEED, snapshot_steps=[], save_snapshot=lambda *_: None))

    assert_same_arrays(result.weights, dense.result.weights)
    differing = {
        name for name, value in measured(result).items() if value != getattr(dense.result.metrics, name)
    }
    assert {"test_loss", "test_accuracy"} <= differing
    assert all(name.startswith("test_") for name in differing)


def test_fewer_training_images_keep_the_validation_images(packed):
    """A study on a part is cheaper, and its accuracies are of the same held-out and test images."""
    whole = context_of(packed)
    part = dataclasses.replace(whole, data=dataclasses.replace(whole.data, train_images=40))

    assert part.training_data(SEED).train.steps == 40 // 16
    assert part.split()[1].tolist() == whole.split()[1].tolist()
    assert set(part.split()[0]) < set(whole.split()[0])
    for (x, y), (other_x, other_y) in zip(
        part.training_data(SEED).validation(), whole.training_data(SEED).validation(), strict=True
    ):
        assert torch.equal(x, other_x)
        assert torch.equal(y, other_y)
