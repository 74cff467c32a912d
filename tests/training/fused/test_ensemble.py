"""Ensembles: each member computes the same as alone, and has the same kind of state as any training."""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from lthsweep.errors import TrainingError
from lthsweep.models.build import build_model
from lthsweep.models.shapes import TextShape
from lthsweep.pruning.audit import optimizer_momenta
from lthsweep.training.fused.ensemble import Ensemble, train_ensemble
from lthsweep.training.fused.trial import reason_not_fusible
from lthsweep.training.group_lasso import GroupLasso
from lthsweep.training.loop import never_stop, train
from lthsweep.training.state import Training, TrainingData
from tests.training.cases import (
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

EPOCHS = 3
MODELS = {"perceptron": perceptron, "convolutional": convolutional}
TOLERANCE = 1e-4
"""Relative, of the norm of each tensor, in fp32. It differs from processor to processor; measured after 15 steps with
AVX2 and AVX-512, one thread and two: at most 6e-5 (convolutional, adamw), below 3e-5 elsewhere."""

SETTINGS = settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def member(packed, number, *, model="convolutional", optimizer="sgd", dropout=0.3, **changes):
    """One of several trainings that differ in their masks."""
    made = MODELS[model](0, dropout=dropout)
    table = train_options(optimizer, epochs=EPOCHS, label_smoothing=0.1, **changes)
    data = data_of(packed, seed=5, augment="crop-flip")
    return Training(made, data, table, seed=5, masks=half_masks(made, number))


def no_hooks(*trainings):
    return [lambda training: False for _ in trainings]


def stopping_at(step, trainings):
    return [lambda training: training.progress.step == step for _ in trainings]


@functools.cache
def by_itself(packed, number, model, optimizer):
    training = member(packed, number, model=model, optimizer=optimizer)
    assert train(training) == "finished"
    return state_of(training)


def assert_close(found, expected, tolerance=TOLERANCE):
    """Tensor by tensor in norm; curves in loss; a few samples can be classified differently."""
    assert found[0].keys() == expected[0].keys()
    for name, value in expected[0].items():
        if name.startswith("best/"):  # which epoch is best may hang on one sample
            continue
        assert found[0][name].dtype == value.dtype, name
        apart = torch.linalg.vector_norm((found[0][name] - value).double())
        assert apart <= tolerance * (torch.linalg.vector_norm(value.double()) + 1e-2), name
    assert len(found[1]["curves"]) == len(expected[1]["curves"])
    for row, other in zip(found[1]["curves"], expected[1]["curves"], strict=True):
        assert (row["epoch"], row["step"], row["lr"]) == (other["epoch"], other["step"], other["lr"])
        for name in ("train_loss", "val_loss"):
            assert row[name] == pytest.approx(other[name], rel=tolerance), name
        for name in ("train_accuracy", "val_accuracy"):
            assert row[name] == pytest.approx(other[name], abs=0.03), name
    for name in ("step", "samples", "seen"):
        assert found[1][name] == expected[1][name], name


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("model", MODELS)
def test_members_equal_single_trainings(packed, model, optimizer):
    """With dropout, BatchNorm, augmentation, smoothing, weight decay and momenta; only rounding differs."""
    trainings = [member(packed, number, model=model, optimizer=optimizer) for number in range(3)]

    assert train_ensemble(trainings, no_hooks(*trainings)) == ["finished"] * 3

    for number, training in enumerate(trainings):
        assert_close(state_of(training), by_itself(packed, number, model, optimizer))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_pruned_weights_and_momenta_stay_zero(packed, optimizer):
    """After every step, of every member."""
    trainings = [member(packed, number, optimizer=optimizer) for number in range(2)]
    looked = []

    def look(training):
        weights = {name: training.model.get_parameter(name) for name in training.multipliers}
        for name, moments in optimizer_momenta(training.optimizer, weights).items():
            for value in (weights[name], *moments):
                assert value.detach()[training.multipliers[name] == 0].count_nonzero() == 0
            looked.append(len(moments))
        return training.progress.step == 3

    assert train_ensemble(trainings, [look, look]) == ["stopped"] * 2
    assert looked[-1] == {"sgd": 1, "nesterov": 1, "plain": 0, "adam": 2, "adamw": 2}[optimizer]


NETWORKS = {
    "lenet_300_100": ({}, (1, 8, 8)),
    "conv2": ({}, (3, 8, 8)),
    "conv4": ({}, (3, 8, 8)),
    "conv6": ({}, (3, 8, 8)),
    "resnet20": ({"init": "kaiming_normal"}, (3, 8, 8)),
    "vgg11": ({}, (3, 16, 16)),
    "mobilenet_v2": ({"strides": "cifar", "width": 0.1, "dropout": 0.2}, (3, 16, 16)),
    "text_cnn": ({"embedding": 8, "filters": 5, "dropout": 0.5}, TextShape(9, 30)),
    "text_transformer": ({"embedding": 8, "layers": 2, "heads": 2, "dropout": 0.1}, TextShape(9, 30)),
    "audio_cnn": ({"channels": 4, "dropout": 0.2}, (1, 16, 20)),
}


class Noise:
    """Training batches of no meaning, in the shape of a network's input."""

    steps = 3

    def __init__(self, shape):
        self._shape = shape

    def epoch(self, epoch, start_step=0):
        for step in range(start_step, self.steps):
            generator = torch.Generator().manual_seed(100 * epoch + step)
            if isinstance(self._shape, TextShape):
                shape = 8, self._shape.length
                images = torch.randint(0, self._shape.vocabulary, shape, generator=generator)
            else:
                images = torch.randn(8, *self._shape, generator=generator)
                images = images.to(memory_format=torch.channels_last)
            yield images, torch.randint(0, 4, (8,), generator=generator)


def of_network(name, number, **changes):
    options, shape = NETWORKS[name]
    model = build_model({"name": name, **options}, input_shape=shape, classes=4, seed=0)
    model = model.to(memory_format=torch.channels_last)
    data = TrainingData(Noise(shape), lambda: Noise(shape).epoch(9))
    return Training(model, data, train_options(**changes), seed=5, masks=half_masks(model, number))


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_can_be_fused_unchanged(name):
    """One step, in which rounding has not grown yet: gradients (as momenta), weights, statistics of each member."""
    assert (
        name == "vgg11" or reason_not_fusible(of_network(name, 0)) is None
    )  # a second of convolutions of 512 channels
    alone = [of_network(name, number) for number in range(2)]
    together = [of_network(name, number) for number in range(2)]

    for training in alone:
        train(training, lambda current: current.progress.step == 1)
    train_ensemble(together, stopping_at(1, together))

    for one, other in zip(together, alone, strict=True):
        found, expected = state_of(one), state_of(other)
        assert_close(found, expected, 1e-3)
        for key, value in expected[0].items():
            if "running" in key or "tracked" in key:
                torch.testing.assert_close(found[0][key], value, rtol=1e-4, atol=1e-6)
        assert found[1]["loss_sum"] == pytest.approx(expected[1]["loss_sum"], rel=1e-5)
        assert found[1]["correct"] == expected[1]["correct"]


def test_bfloat16_ensemble_is_as_precise_as_single(packed):
    """Forward passes are rough, and no rougher than a training alone; weights stay float32."""
    exact, alone, fused = (
        [
            member(packed, 0, dropout=0.0, precision=precision),
            member(packed, 1, dropout=0.0, precision=precision),
        ]
        for precision in ("fp32", "bf16", "bf16")
    )
    for training in (*exact, *alone):
        train(training, lambda current: current.progress.step == 5)

    train_ensemble(fused, stopping_at(5, fused))

    def apart(one, other):
        pairs = zip(one.model.parameters(), other.model.parameters(), strict=True)
        return math.sqrt(sum(float((left - right).detach().square().sum()) for left, right in pairs))

    for one, rough, true in zip(fused, alone, exact, strict=True):
        assert 0 < apart(one, true) < 3 * apart(rough, true)
        assert {weight.dtype for weight in one.model.parameters()} == {torch.float32}


@given(order=st.permutations(range(3)))
@SETTINGS
def test_the_order_of_members_permutes_their_results(packed, order):
    """No member depends on another."""
    straight = [member(packed, number, model="perceptron") for number in range(3)]
    mixed = [member(packed, number, model="perceptron") for number in order]

    train_ensemble(straight, stopping_at(STEPS + 2, straight))
    train_ensemble(mixed, stopping_at(STEPS + 2, mixed))

    for training, number in zip(mixed, order, strict=True):
        assert_close(state_of(training), state_of(straight[number]))


# Checkpoints.


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["nesterov", "adam"])
@pytest.mark.parametrize("stop", [0, 3, STEPS, 2 * STEPS + 1])
def test_resumed_ensemble_equals_uninterrupted_one(packed, optimizer, stop):
    """Everything it needs is in the checkpoints of its members."""
    whole, first, second = (
        [member(packed, number, optimizer=optimizer) for number in range(2)] for _ in range(3)
    )
    train_ensemble(whole, no_hooks(*whole))

    assert train_ensemble(first, stopping_at(stop, first)) == ["stopped"] * 2
    for training, left in zip(second, first, strict=True):
        training.restore(*state_of(left))
    assert train_ensemble(second, no_hooks(*second)) == ["finished"] * 2

    for training, other in zip(second, whole, strict=True):
        assert_same_state(state_of(training), state_of(other))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_checkpoints_move_between_ensemble_and_single_training(packed, optimizer):
    """A member whose ensemble ended is trained alone, and the reverse; the same object can continue, too."""
    together = [member(packed, number, optimizer=optimizer) for number in range(2)]
    alone, again = (member(packed, 0, optimizer=optimizer) for _ in range(2))
    train_ensemble(together, stopping_at(STEPS + 2, together))

    alone.restore(*state_of(together[0]))
    train(alone, lambda current: current.progress.step == 2 * STEPS)
    again.restore(*state_of(alone))
    train(together[1], lambda current: current.progress.step == 2 * STEPS)
    train_ensemble([together[1], again], no_hooks(alone, again))

    assert_close(state_of(again), by_itself(packed, 0, "convolutional", optimizer))
    assert_close(state_of(together[1]), by_itself(packed, 1, "convolutional", optimizer))


def test_a_checkpoint_is_complete_between_any_two_steps(packed):
    """Also in the middle of an epoch, where losses still wait on the device; for every member."""
    together = [member(packed, number) for number in range(2)]
    seen = {}

    def keep(training):
        if training.progress.step == 3:
            seen[training] = state_of(training)
        return False

    train_ensemble(together, [keep, keep])

    for number, training in enumerate(together):
        alone = member(packed, number)
        train(alone, lambda current: current.progress.step == 3)
        assert_close(seen[training], state_of(alone))
        assert seen[training][1]["loss_sum"] == pytest.approx(alone.progress.loss_sum, rel=1e-5)
        assert seen[training][1]["correct"] == alone.progress.correct


def test_one_stop_stops_all_at_the_same_step(packed):
    """Earlier members are checked again, so their checkpoints are of this step too."""
    together = [member(packed, number) for number in range(3)]
    asked = [[], [], []]

    def hook(number, training):
        asked[number].append(training.progress.step)
        return number == 1 and training.progress.step == 2

    endings = train_ensemble(together, [functools.partial(hook, number) for number in range(3)])

    assert endings == ["stopped"] * 3
    assert asked == [[0, 1, 2, 2], [0, 1, 2], [0, 1, 2, 2]]


def test_members_share_the_time_that_they_take_together(packed):
    """The times of the tickets add up to the time of the device."""
    together = [member(packed, number) for number in range(4)]

    train_ensemble(together, no_hooks(*together))

    rows = [[row.seconds for row in training.progress.curves] for training in together]
    assert rows[0] == pytest.approx(rows[3])
    assert all(seconds > 0 for seconds in itertools.chain(*rows))


# Divergence.


def test_diverged_member_leaves_others_unchanged(packed):
    """It ends with its epoch, as alone; not a digit beyond rounding changes for its neighbors."""
    together = [member(packed, number, dropout=0.0) for number in range(3)]
    spoiled = member(packed, 1, dropout=0.0)
    for training in (together[1], spoiled):
        with torch.no_grad():
            training.model.get_parameter("9.weight").fill_(1e38)
    alone = [member(packed, number, dropout=0.0) for number in (0, 2)]

    endings = train_ensemble(together, no_hooks(*together))

    assert endings == ["finished", "diverged", "finished"]
    assert train(spoiled) == "diverged"
    assert [row.step for row in together[1].progress.curves] == [STEPS]
    assert not math.isfinite(together[1].progress.curves[-1].train_loss)
    assert together[1].progress.curves[-1].val_accuracy == spoiled.progress.curves[-1].val_accuracy
    for training, other in zip((together[0], together[2]), alone, strict=True):
        train(other)
        assert_close(state_of(training), state_of(other))


def test_error_gives_members_their_own_tensors(packed):
    """Each of them can then be trained alone."""
    together = [member(packed, number) for number in range(2)]

    def fail(training):
        if training.progress.step == 4:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        train_ensemble(together, [fail, fail])
    for training in together:
        assert train(training) == "finished"

    for number, training in enumerate(together):
        assert_close(state_of(training), by_itself(packed, number, "convolutional", "sgd"))


def test_members_are_views_of_stacked_tensors(packed):
    """Nothing is copied between them: a step is seen at once, in the memory format of the networks."""
    together = [member(packed, number) for number in range(2)]
    (images, labels), *_ = together[0].data.train.epoch(0)

    with Ensemble(together) as ensemble:
        ensemble.step_function()(images, labels, 0.1)
        assert not ensemble.between_steps(dict.fromkeys(together, never_stop))(ensemble)
        for name, whole in ensemble.parameters.items():
            for number, training in enumerate(together):
                assert training.model.get_parameter(name).data_ptr() == whole[number].data_ptr()
        weight = together[1].model.get_parameter("0.weight")
        assert weight.is_contiguous(memory_format=torch.channels_last)
        momentum = together[1].optimizer.state[weight]["momentum_buffer"]
        assert momentum.data_ptr() != weight.data_ptr()
    assert (
        together[0].model.get_parameter("0.weight").data_ptr() != ensemble.parameters["0.weight"].data_ptr()
    )


# Which trainings can be fused.


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"step": 3}, "the current step"),
        ({"seed": 6}, "seed"),
        ({"rate": 0.01}, "learning rate"),
        ({"options": {"label_smoothing": 0.0}}, "train options"),
        ({"model": perceptron}, "network"),
        ({"frozen": True}, "frozen parameters"),
        ({"masks": None}, "masked layers"),
    ],
)
def test_trainings_with_other_differences_are_refused(packed, changes, what):
    """By name, before anything is changed."""
    first = member(packed, 0)
    model = changes.get("model", convolutional)(0, dropout=0.3)
    if "frozen" in changes:
        model.get_parameter("9.bias").requires_grad_(False)
    other = Training(
        model,
        first.data,
        replace(first.options, **changes.get("options", {})),
        seed=changes.get("seed", 5),
        start_step=changes.get("step", 0),
        masks=changes.get("masks", half_masks(model, 1)),
        learning_rate=changes.get("rate"),
    )
    before = state_of(first)

    with pytest.raises(TrainingError, match=f"differ in {what} cannot be fused"):
        train_ensemble([first, other], no_hooks(first, other))

    assert_same_state(state_of(first), before)


def test_trainings_on_other_batches_are_refused(packed):
    """The same seed does not make the same data."""
    first, other = member(packed, 0), member(packed, 1)
    other.data = data_of(packed, seed=5, augment="none")

    with pytest.raises(TrainingError, match="different batches"):
        train_ensemble([first, other], no_hooks(first, other))


def test_optimizers_that_counted_different_steps_are_refused(packed):
    """Adam corrects its moments by the count of steps, which all members share."""
    first, other = member(packed, 0, optimizer="adam"), member(packed, 1, optimizer="adam")
    train(first, lambda current: current.progress.step == 2)
    other.progress.step = 2

    with pytest.raises(TrainingError, match="optimizer state"):
        train_ensemble([first, other], no_hooks(first, other))


def test_empty_ensemble_is_refused():
    """No member is special."""
    with pytest.raises(TrainingError, match="at least one training"):
        Ensemble([])


class Asking(nn.Module):
    """Reads values, which a batched network cannot."""

    def __init__(self) -> None:
        super().__init__()
        self.net = perceptron()

    def forward(self, images):
        logits = self.net(images)
        return logits * 2 if logits.sum() > 0 else logits


@pytest.mark.parametrize(
    ("model", "reason"),
    [(Asking, "cannot be batched"), (perceptron, None), (functools.partial(perceptron, dropout=0.5), None)],
)
def test_networks_that_cannot_be_batched_are_found(packed, model, reason):
    """Any user's layer can be the reason; the network itself is not changed."""
    training = Training(model(), data_of(packed), train_options(), seed=0)
    before, generator = state_of(training), torch.get_rng_state()

    found = reason_not_fusible(training)

    assert found is None if reason is None else reason in found
    assert_same_state(state_of(training), before)
    assert torch.equal(torch.get_rng_state(), generator)


class DrawingByMember(nn.Module):
    """A random layer that asks the processor for a number per call: alone and together are two sequences."""

    calls = 0

    def __init__(self) -> None:
        super().__init__()
        self.net = perceptron()

    def forward(self, images):
        DrawingByMember.calls += 1
        return self.net(images) * (1.0 + DrawingByMember.calls % 3)


def test_layer_with_other_draws_is_found_by_trial(packed):
    """Its losses differ."""
    reason = reason_not_fusible(Training(DrawingByMember(), data_of(packed), train_options(), seed=0))

    assert reason is not None
    assert "when it is batched" in reason


class CountingOtherwise(nn.Module):
    """Its statistics are others when it is batched; its count of steps is as large as late in a training."""

    def __init__(self) -> None:
        super().__init__()
        self.net = perceptron()
        self.register_buffer("seen", torch.zeros(3))
        self.register_buffer("num_batches_tracked", torch.tensor(100_000))

    def forward(self, images):
        self.num_batches_tracked.add_(1)
        batched = torch._C._functorch.is_batchedtensor(self.seen)
        self.seen.add_(2.0 if batched else 1.0)
        return self.net(images)


def test_different_statistics_are_found_next_to_large_counts(packed):
    reason = reason_not_fusible(Training(CountingOtherwise(), data_of(packed), train_options(), seed=0))

    assert reason is not None
    assert "other statistics when it is batched" in reason


def test_out_of_memory_in_a_trial_is_raised(packed, monkeypatch):
    """Another process on the GPU must not decide that a recipe is never fused."""

    def full(self):
        raise torch.OutOfMemoryError("40 GiB")

    training = Training(perceptron(), data_of(packed), train_options(), seed=0)
    monkeypatch.setattr(Ensemble, "__enter__", full)

    with pytest.raises(torch.OutOfMemoryError):
        reason_not_fusible(training)


def test_group_lasso_goes_alone(packed):
    """Its proximal step belongs to one network."""
    model = convolutional()
    lasso = GroupLasso.of(model, (1, 8, 8), 1e-3)
    training = Training(model, data_of(packed), train_options(), seed=0, lasso=lasso)

    assert "group_lasso" in (reason_not_fusible(training) or "")
