"""The training loop: its results, its side effects, and its endings."""

from __future__ import annotations

import copy
import math
from dataclasses import asdict, replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from lthsweep.errors import TrainingError
from lthsweep.pruning.apply import apply_masks, mask_multipliers
from lthsweep.pruning.audit import optimizer_momenta
from lthsweep.training.devices import has_random_layers
from lthsweep.training.evaluation import Score
from lthsweep.training.loop import train
from lthsweep.training.optimizers import OPTIMIZERS as REGISTERED
from lthsweep.training.schedule import learning_rate_factor
from lthsweep.training.state import Training, TrainingData
from tests.training.cases import (
    BATCH,
    OPTIMIZERS,
    STEPS,
    assert_same_state,
    convolutional,
    data_of,
    half_masks,
    perceptron,
    state_of,
    train_options,
)


def plain_loop(model, packed, options, *, seed, masks=None):
    """The loop as the paper describes it: fresh optimizer, scheduled rate, mask after each step."""
    optimizer = torch.optim.SGD(model.parameters(), **asdict(options.optimizer), foreach=False, fused=False)
    data = data_of(packed, seed=seed)
    model.train()
    for epoch in range(options.epochs):
        for number, (images, labels) in enumerate(data.train.epoch(epoch)):
            step = epoch * STEPS + number
            factor = learning_rate_factor(
                options.schedule, step, steps_per_epoch=STEPS, epochs=options.epochs
            )
            optimizer.param_groups[0]["lr"] = options.optimizer.lr * factor
            optimizer.zero_grad()
            functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
            with torch.no_grad():
                for name, mask in (masks or {}).items():
                    model.get_parameter(name).mul_(mask)
    return model


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("make", [perceptron, convolutional])
def test_training_is_the_plain_loop(packed, make, masked):
    """Resumption, masks and speed must not change the result."""
    options = train_options("sgd")
    model = make()
    masks = half_masks(model) if masked else None
    if masks:
        with torch.no_grad():
            for name, mask in masks.items():
                model.get_parameter(name).mul_(mask)
    expected = plain_loop(copy.deepcopy(model), packed, options, seed=2, masks=masks)
    training = Training(model, data_of(packed, seed=2), options, seed=2, masks=masks)

    assert train(training) == "finished"

    for (name, value), other in zip(model.state_dict().items(), expected.state_dict().values(), strict=True):
        torch.testing.assert_close(
            value, other, rtol=1e-4, atol=1e-5, msg=lambda text, at=name: f"{at}: {text}"
        )


def test_training_loss_is_smoothed_cross_entropy(packed):
    """(1 − ε)·CE + ε·mean of −log p over the classes; the accuracy is that of the logits before the step."""
    model = perceptron()
    options = train_options("sgd", epochs=1, label_smoothing=0.2)
    data = data_of(packed, train=BATCH)
    images, labels = next(iter(data.train.epoch(0)))
    log_p = functional.log_softmax(model(images), 1)
    hit = -log_p[torch.arange(BATCH), labels]
    expected = (0.8 * hit - 0.2 * log_p.mean(1)).mean().item()
    right = (log_p.argmax(1) == labels).sum().item()

    training = Training(model, data, options, seed=0)
    train(training)

    (row,) = training.progress.curves
    assert row.train_loss == pytest.approx(expected, rel=1e-6)
    assert row.train_accuracy == right / BATCH


def test_validation_loss_is_not_smoothed(packed):
    """It is compared between recipes."""
    model = perceptron()
    training = Training(model, data_of(packed), train_options("sgd", label_smoothing=0.3), seed=0)

    pairs = list(data_of(packed).validation())
    logits = model.eval()(torch.cat([images for images, _ in pairs]))
    expected = functional.cross_entropy(logits, torch.cat([labels for _, labels in pairs])).item()

    assert training.validate().loss == pytest.approx(expected, rel=1e-6)


def test_curves_count_from_initialization(packed):
    """Epochs completed and steps made, with the rate of each epoch's last step and means over its samples."""
    options = train_options(
        "sgd", schedule={"name": "step", "warmup": 0.0, "milestones": [1, 2], "gamma": 0.1}
    )
    training = Training(perceptron(), data_of(packed), options, seed=0)

    train(training)

    rows = training.progress.curves
    assert [(row.epoch, row.step) for row in rows] == [(1, 5), (2, 10), (3, 15)]
    assert [row.lr for row in rows] == pytest.approx([0.05, 0.005, 0.0005])
    assert all(row.seconds > 0 for row in rows)
    assert training.progress.samples == 3 * STEPS * BATCH
    assert training.progress.seconds_train == pytest.approx(sum(row.seconds for row in rows))
    assert rows[-1].val_accuracy == training.validate().accuracy


def test_a_start_inside_an_epoch_finishes_that_epoch(packed):
    """A fractional rewind epoch: the rest of its epoch is the first row, over the samples that were left."""
    options = train_options("sgd", schedule={"name": "constant", "warmup": 0.0})
    seen = []
    training = Training(perceptron(), data_of(packed), options, seed=0, start_step=STEPS + 3)

    train(training, lambda current: seen.append(current.progress.step))

    assert [(row.epoch, row.step) for row in training.progress.curves] == [(2, 10), (3, 15)]
    assert seen == list(range(8, 16))
    assert training.progress.samples == 7 * BATCH


def test_start_inside_an_epoch_uses_remaining_samples(packed):
    """The first batch is the one that the dense run had at that step."""
    inputs = []

    class Watched(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = perceptron()

        def forward(self, images):
            if self.training:
                inputs.append(images.clone())
            return self.net(images)

    data = data_of(packed, seed=4, augment="crop")
    train(
        Training(Watched(), data, train_options("sgd"), seed=4, start_step=STEPS + 3),
        lambda current: current.progress.step == STEPS + 4,
    )

    expected = list(data_of(packed, seed=4, augment="crop").train.epoch(1))[3][0]
    assert torch.equal(inputs[-1], expected)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_global_generators_are_left_as_they_were(packed, dropout):
    """A library that reseeds its user's generator makes everything after it repeat itself."""
    torch.manual_seed(11)
    before = torch.get_rng_state()

    train(Training(perceptron(dropout=dropout), data_of(packed), train_options("sgd"), seed=0))

    assert torch.equal(torch.get_rng_state(), before)


def test_stop_and_error_restore_generators(packed):
    """Both leave the loop in the middle."""
    torch.manual_seed(11)
    before = torch.get_rng_state()

    def fail(training):
        if training.progress.step == 3:
            raise KeyboardInterrupt
        return False

    model = perceptron(dropout=0.5)
    train(
        Training(model, data_of(packed), train_options("sgd"), seed=0),
        lambda current: current.progress.step == 2,
    )
    with pytest.raises(KeyboardInterrupt):
        train(Training(model, data_of(packed), train_options("sgd"), seed=0), fail)

    assert torch.equal(torch.get_rng_state(), before)


class Drawing(nn.Module):
    """A random layer that no list contains; it records its draws in training."""

    def __init__(self) -> None:
        super().__init__()
        self.net = perceptron()
        self.drawn: list[float] = []

    def __deepcopy__(self, memo):
        return Drawing()

    def forward(self, images):
        if self.training:
            self.drawn.append(torch.rand(()).item())
        return self.net(images)


def drawn_by(packed, seed, *, start=0, spoil=0):
    torch.manual_seed(spoil)
    model = Drawing()
    train(Training(model, data_of(packed), train_options("sgd"), seed=seed, start_step=start))
    return model.drawn


def test_random_layers_draw_by_seed_and_step_alone(packed):
    """Earlier draws do not matter: a ticket draws the same numbers as its dense run."""
    whole = drawn_by(packed, 0)

    assert len(set(whole)) == 3 * STEPS  # every step another number
    assert drawn_by(packed, 0, spoil=99) == whole
    assert drawn_by(packed, 0, start=7) == whole[7:]
    assert not set(drawn_by(packed, 1)) & set(whole)


def test_random_layers_are_found_by_trying():
    """Any draw counts, from dropout or from an unknown layer; the trial changes nothing."""
    example = torch.zeros(2, 1, 8, 8)
    for model, random in (
        (perceptron(), False),
        (convolutional(), False),
        (perceptron(dropout=0.2), True),
        (convolutional(dropout=0.2), True),
        (Drawing(), True),
    ):
        before = {name: value.clone() for name, value in model.state_dict().items()}
        generator = torch.get_rng_state()

        assert has_random_layers(model.eval(), example) is random

        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        assert torch.equal(torch.get_rng_state(), generator)
        assert not model.training


def test_batch_norm_statistics_are_counted_once_a_step(packed):
    """Neither the trial for random layers nor validation moves them."""
    model = convolutional()

    train(Training(model, data_of(packed), train_options("sgd"), seed=0))

    assert model.get_buffer("1.num_batches_tracked").item() == 3 * STEPS


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("make", [perceptron, convolutional])
def test_pruned_weights_and_momenta_stay_zero(packed, make, optimizer):
    """Momentum, moments and weight decay all try to revive them."""
    model = make()
    masks = half_masks(model)
    training = Training(model, data_of(packed), train_options(optimizer), seed=0, masks=masks)
    checked = []

    def check(current):
        weights = {name: model.get_parameter(name) for name in masks}
        for name, moments in optimizer_momenta(current.optimizer, weights).items():
            for value in (weights[name], *moments):
                assert value.detach()[~masks[name]].count_nonzero() == 0
            checked.append(len(moments))
        return False

    train(training, check)

    expected = {"sgd": 1, "nesterov": 1, "plain": 0, "adam": 2, "adamw": 2}[optimizer]
    assert checked[-1] == expected
    kept = torch.cat([model.get_parameter(name)[mask] for name, mask in masks.items()])
    assert kept.count_nonzero() == kept.numel()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("make", [perceptron, convolutional])
def test_multiplying_the_weights_too_would_change_no_bit(packed, make, optimizer):
    """Masked gradients are enough, because every optimizer leaves a zero with zero momenta and no gradient a zero."""
    models = make(), make()
    masks = half_masks(models[0])
    once, twice = (
        Training(model, data_of(packed), train_options(optimizer), seed=0, masks=masks) for model in models
    )
    weights = {name: models[1].get_parameter(name) for name in masks}
    multipliers = mask_multipliers(masks, weights)

    def multiply(current):
        apply_masks(weights, multipliers)
        return False

    train(once)
    train(twice, multiply)

    assert_same_state(state_of(once), state_of(twice))


def test_every_optimizer_is_tried_with_masks():
    """A new one must show that it keeps zeros before a ticket is trained with it."""
    assert {table["name"] for table in OPTIMIZERS.values()} == set(REGISTERED)


def test_a_pruned_weight_that_moves_ends_the_training(packed):
    """Weights are not masked between two steps, so they are checked at the end of each epoch."""
    model = perceptron()
    masks = half_masks(model)
    training = Training(model, data_of(packed), train_options("sgd"), seed=0, masks=masks)

    def revive(current):
        if current.progress.step == 2:
            with torch.no_grad():
                model.get_parameter("1.weight").fill_(0.5)
        return False

    with pytest.raises(TrainingError, match=r"moved pruned weights of 1\.weight"):
        train(training, revive)
    assert training.progress.step == STEPS


def test_it_does_not_matter_when_sums_are_read(packed, monkeypatch):
    """Reading them waits for the device, so it is put off; the order of additions stays, and with it every bit."""
    late, early = (Training(perceptron(), data_of(packed), train_options("sgd"), seed=0) for _ in range(2))

    train(late)
    monkeypatch.setattr("lthsweep.training.sums._MOST_LOSSES", 2)
    train(early)

    assert_same_state(state_of(late), state_of(early))


def test_masks_of_ones_change_no_bit(packed):
    """A ticket that prunes nothing is its dense run."""
    plain, masked = (
        Training(convolutional(), data_of(packed), train_options("sgd"), seed=0) for _ in range(2)
    )
    model = masked.model
    ones = {name: torch.ones_like(mask) for name, mask in half_masks(model).items()}
    masked = Training(model, data_of(packed), train_options("sgd"), seed=0, masks=ones)

    train(plain)
    train(masked)

    assert_same_state(state_of(plain), state_of(masked))


def test_a_loss_that_explodes_ends_as_diverged(packed):
    """It ends at the epoch where numbers end, and not one sample counts as right."""
    options = train_options("sgd", epochs=50)
    options = replace(options, optimizer=replace(options.optimizer, lr=1e6))
    training = Training(perceptron(), data_of(packed), options, seed=0)

    assert train(training) == "diverged"

    *before, last = training.progress.curves
    assert last.step < 50 * STEPS
    assert not math.isfinite(last.train_loss)
    assert math.isnan(last.val_loss)
    assert last.val_accuracy == 0
    assert all(math.isfinite(row.train_loss) for row in before)


def test_divergence_in_the_last_step_is_found(packed):
    """Their loss has not been computed yet: the epoch's own loss is finite."""
    training = Training(
        perceptron(),
        data_of(packed, train=BATCH),
        train_options("plain", epochs=1),
        seed=0,
        learning_rate=math.inf,
    )

    assert train(training) == "diverged"

    (row,) = training.progress.curves
    assert math.isfinite(row.train_loss)
    assert math.isnan(row.val_loss)
    assert row.val_accuracy == 0


def test_a_constant_learning_rate_replaces_the_schedule(packed):
    """Fine-tuning goes on at the last rate of the dense run."""
    training = Training(perceptron(), data_of(packed), train_options("sgd"), seed=0, learning_rate=0.003)

    train(training)

    assert [row.lr for row in training.progress.curves] == [0.003] * 3
    assert training.optimizer.param_groups[0]["lr"] == 0.003


def test_first_of_equal_epochs_is_best(packed):
    """On ties the earlier weights are kept, as early stopping would do."""
    training = Training(perceptron(), data_of(packed), train_options("sgd", epochs=5), seed=0)
    accuracies = iter([0.5, 0.75, 0.75, 0.6, 0.75])
    training.validate = lambda: Score(1.0, next(accuracies))
    after_epoch = {}

    def keep(current):
        if current.progress.step % STEPS == 0:
            after_epoch[current.progress.step // STEPS] = current.model.get_parameter("1.weight").clone()
        return False

    train(training, keep)

    assert (training.progress.best_epoch, training.progress.best_accuracy) == (2, 0.75)
    assert torch.equal(training.best_model["1.weight"], after_epoch[2])
    assert not torch.equal(training.best_model["1.weight"], after_epoch[3])


def test_without_validation_images_no_epoch_is_best(packed):
    """Then nothing may be chosen; the test set does not step in."""
    data = TrainingData(data_of(packed).train, lambda: iter(()))
    training = Training(perceptron(), data, train_options("sgd"), seed=0)

    assert train(training) == "finished"

    assert training.progress.best_epoch == 0
    assert training.best_model == {}
    assert all(math.isnan(row.val_loss) and math.isnan(row.val_accuracy) for row in training.progress.curves)


def test_bfloat16_computes_roughly_and_keeps_weights_exact(packed):
    """Autocast: forward passes in bfloat16, weights and optimizer in float32."""
    models = [convolutional(), convolutional()]
    for model, precision in zip(models, ("fp32", "bf16"), strict=True):
        train(Training(model, data_of(packed), train_options("sgd", precision=precision), seed=0))

    exact, rough = (model.get_parameter("9.weight") for model in models)
    assert rough.dtype == torch.float32
    assert not torch.equal(exact, rough)
    torch.testing.assert_close(rough, exact, rtol=0.1, atol=0.05)


def test_seeds_are_replicates(packed):
    """Order and augmentation of another seed are others, from the same initial weights."""
    found = []
    for seed in (0, 0, 1):
        training = Training(
            perceptron(), data_of(packed, seed=seed, augment="crop"), train_options("sgd"), seed=seed
        )
        train(training)
        found.append(training.progress.curves[-1].train_loss)

    assert found[0] == found[1] != found[2]
