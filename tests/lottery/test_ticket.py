"""The ticket run: pruning, rewinding, the start of retraining, and the result."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from lthsweep.errors import PruningError, TrainingError, UnknownNameError
from lthsweep.lottery.context import to_tensors
from lthsweep.pruning.counts import kept_count
from lthsweep.pruning.make import make_masks
from lthsweep.pruning.prunable import prunable_weights
from lthsweep.pruning.scoring import ScoringContext
from lthsweep.store.metrics import METRICS
from lthsweep.training.evaluation import evaluate
from tests.lottery.cases import (
    BY_THE_LAUNCHER,
    EPOCHS,
    SEED,
    STEPS,
    DenseRun,
    Watch,
    assert_same_arrays,
    assert_same_result,
    context_of,
    dense_of,
    finished,
    measured,
    parent_of,
    prune_step,
    rows,
    ticket_of,
    undisturbed,
)

CASES = [
    ("lenet", "sgd"),
    ("lenet", "nesterov"),
    ("lenet", "adam"),
    ("short", "sgd"),
    ("short", "adamw"),
]
REWINDS = ["weights", "weights+optimizer", "lr", "none"]
PRUNABLE = ["fc1.weight", "fc2.weight", "fc3.weight"]


# The strongest law: a ticket that prunes nothing is its dense run.


@pytest.mark.parametrize("point", [0, 1, 1.4, "1it", "14it"])
@pytest.mark.parametrize(("model", "optimizer"), CASES)
def test_unpruned_ticket_equals_its_dense_run(packed, model, optimizer, point):
    """From k to T: same order, augmentation, dropout, statistics, momenta, schedule, so the same weights.

    If this holds, what sets a ticket apart from its dense run is its mask and nothing else.
    """
    dense = dense_of(packed, model, optimizer)
    step = prune_step(0.0, point, rewind="weights+optimizer")
    start = step.point.step(STEPS)

    ticket = undisturbed(dense, step)

    assert_same_arrays(ticket.weights, dense.result.weights)
    after = rows(dense.result, start)
    if start % STEPS:  # the first row is over the rest of its epoch only
        assert [row.val_loss for row in rows(ticket)] == [row.val_loss for row in after]
        assert rows(ticket)[1:] == after[1:]
    else:
        assert rows(ticket) == after
    for name in (
        "test_loss",
        "test_accuracy",
        "val_loss",
        "val_accuracy",
        "params_remaining",
        "macs_remaining",
    ):
        assert getattr(ticket.metrics, name) == getattr(dense.result.metrics, name), name
    assert ticket.audit["ok"]
    assert ticket.audit["got"] == 0


def test_optimizer_is_fresh_at_initialization(packed):
    """At k = 0 there are no momenta to rewind."""
    weights, both = (
        undisturbed(dense_of(packed), prune_step(0.7, 0, rewind=rewind))
        for rewind in ("weights", "weights+optimizer")
    )

    assert_same_result(weights, both)


# Pruning.


def final_weights(dense: DenseRun) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(dense.result.weights[name]) for name in PRUNABLE}


@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.9, 0.999])
def test_exactly_the_smallest_final_weights_are_pruned(packed, sparsity):
    """Ranked by the dense run's last weights, never by the rewound ones."""
    dense = dense_of(packed)

    ticket = undisturbed(dense, prune_step(sparsity))

    total = sum(weight.numel() for weight in final_weights(dense).values())
    expected = by_magnitude(final_weights(dense), sparsity)
    assert_same_arrays(ticket.masks, {name: mask.numpy() for name, mask in expected.items()})
    assert ticket.metrics.params_remaining == kept_count(total, sparsity)


def test_scope_layer_prunes_every_layer_alike(packed):
    """And the audit counts layer by layer."""
    dense = dense_of(packed)

    ticket = undisturbed(dense, prune_step(0.75, scope="layer"))

    expected = by_magnitude(final_weights(dense), 0.75, scope="layer")
    assert_same_arrays(ticket.masks, {name: mask.numpy() for name, mask in expected.items()})
    assert {row.sparsity for row in ticket.layers} == {0.75}
    assert ticket.audit["ok"]


def test_excluded_layers_are_not_touched_and_not_counted(packed):
    """Sparsity is a share of the weights that may be pruned; excluded ones still cost their multiplications."""
    ticket = finished(ticket_of(dense_of(packed), prune_step(0.5, exclude=("fc3",))))

    assert sorted(ticket.masks) == PRUNABLE[:2]
    assert ticket.metrics.params_prunable == 64 * 300 + 300 * 100
    assert ticket.metrics.params_remaining == (64 * 300 + 300 * 100) // 2
    assert ticket.metrics.macs_remaining == ticket.metrics.params_remaining + 100 * 10
    assert ticket.audit["ok"]


def test_layer_rates_hold_at_every_level(packed):
    """The output layer of the paper loses 10 % at each level where the others lose 20 %."""
    dense = dense_of(packed)
    rules = {"scope": "layer", "rates": (("fc3", 0.5),)}
    first = finished(ticket_of(dense, prune_step(0.2, **rules)))
    second = finished(ticket_of(dense, prune_step(0.36, **rules), parent=parent_of(first)))

    assert [int(second.masks[name].sum()) for name in PRUNABLE] == [64 * 192, 192 * 100, 810]
    assert second.audit["ok"]


def test_threshold_reports_the_achieved_sparsity(packed):
    """Not asked as a sparsity: the name `sparsity_asked` is absent, `threshold` is there."""
    dense = dense_of(packed)

    ticket = undisturbed(dense, prune_step(None, threshold=0.05))

    for name, weight in final_weights(dense).items():
        assert np.array_equal(ticket.masks[name], (weight.abs() > 0.05).numpy())
    remaining = sum(int(mask.sum()) for mask in ticket.masks.values())
    assert 0 < remaining < 50_200
    assert ticket.metrics.sparsity_achieved == (50_200 - remaining) / 50_200
    assert ticket.audit["ok"]
    assert ticket.audit["threshold"] == 0.05


def test_threshold_above_all_leaves_dead_layers(packed):
    """A finding, not a failure: the table shows chance and names the layers."""
    ticket = undisturbed(dense_of(packed), prune_step(None, threshold=100.0))

    assert ticket.metrics.params_remaining == 0
    assert ticket.metrics.sparsity_achieved == 1
    assert ticket.audit["ok"]
    assert ticket.audit["dead_layers"] == PRUNABLE
    assert all(row.dead for row in ticket.layers)


def test_random_pruning_depends_only_on_the_seed(packed):
    """The control: as many weights, others."""
    dense = dense_of(packed)
    step = prune_step(0.8, method="random")
    other = dataclasses.replace(
        dense.parent, weights={name: -2 * array for name, array in dense.parent.weights.items()}
    )

    ticket, again = undisturbed(dense, step), finished(ticket_of(dense, step, parent=other))

    assert_same_arrays(ticket.masks, again.masks)
    assert ticket.metrics.params_remaining == kept_count(50_200, 0.8)
    smallest = undisturbed(dense, prune_step(0.8))
    assert any(not np.array_equal(ticket.masks[name], smallest.masks[name]) for name in PRUNABLE)


def test_rewind_points_share_their_mask(packed):
    """The mask comes from the dense run; k only determines where its survivors return to."""
    dense = dense_of(packed)

    first, *others = (
        undisturbed(dense, prune_step(0.8, point, rewind=rewind))
        for point, rewind in ((0, "weights"), (1, "weights"), (2, "lr"), (2.2, "none"))
    )

    for other in others:
        assert_same_arrays(other.masks, first.masks)


# To where survivors return.


def start_of(dense: DenseRun, step, **options):
    """The state before the first step of retraining: tensors and progress."""
    start = step.point.step(STEPS)
    watch = Watch(stop=start)
    assert ticket_of(dense, step, between_steps=watch, **options) is None
    return watch.states[start]


def masks_of(dense: DenseRun, sparsity: float) -> dict[str, np.ndarray]:
    """The masks of level 1, made without the ticket run."""
    model = dense.context.build(SEED)
    model.load_state_dict(to_tensors(dense.result.weights))
    return {name: mask.numpy() for name, mask in by_magnitude(prunable_weights(model), sparsity).items()}


def by_magnitude(weights, sparsity, masks=None, *, scope="global"):
    """Masks of magnitude pruning, made without a run."""
    return make_masks("magnitude", ScoringContext(weights, masks), scope=scope, sparsity=sparsity)


@pytest.mark.parametrize("point", [0, 1, 1.4])
@pytest.mark.parametrize("rewind", REWINDS)
@pytest.mark.parametrize(("model", "optimizer"), [("short", "sgd"), ("short", "adamw")])
def test_retraining_starts_from_where_the_mode_says(packed, model, optimizer, rewind, point):
    """Weights and BatchNorm from the snapshot or the parent; momenta from the snapshot or none."""
    dense = dense_of(packed, model, optimizer)
    step = prune_step(0.6, point, rewind=rewind)
    masks = masks_of(dense, 0.6)
    snapshot = dense.snapshots[step.point.step(STEPS)]
    weights = dense.result.weights
    if rewind.startswith("weights"):
        weights = {n.removeprefix("model/"): a for n, a in snapshot.items() if n.startswith("model/")}
    momenta = {n: a for n, a in snapshot.items() if n.startswith("optimizer/") and "optimizer" in rewind}

    tensors, progress = start_of(dense, step)

    assert progress["step"] == step.point.step(STEPS)
    expected = {f"model/{name}": array for name, array in weights.items()} | momenta
    assert {name for name in tensors if not name.startswith("best/")} == expected.keys()
    for name, array in expected.items():
        parameter = name.split("/", 1)[1].rsplit(":", 1)[0]
        mask = masks.get(parameter, True) if array.ndim else True
        assert np.array_equal(tensors[name].numpy(), np.where(mask, array, 0)), name
    assert progress["samples"] == 0


@pytest.mark.parametrize("rewind", REWINDS)
def test_every_mode_trains_from_k_to_the_end(packed, rewind):
    """The same number of steps in each, so that modes can be compared; only the rate differs."""
    dense = dense_of(packed)
    seen = []

    ticket = finished(
        ticket_of(
            dense,
            prune_step(0.6, 1, rewind=rewind),
            between_steps=lambda training: seen.append(training.progress.step),
        )
    )

    assert seen == list(range(STEPS, EPOCHS * STEPS + 1))
    assert ticket.metrics.rewind_step == STEPS
    assert ticket.metrics.epochs_trained == EPOCHS - 1
    dense_rates = [row.lr for row in dense.result.curves][1:]
    expected = dense_rates if rewind != "none" else [dense_rates[-1]] * 2
    assert [row.lr for row in ticket.curves] == expected
    assert [row.epoch for row in ticket.curves] == [2, 3]


def test_the_modes_are_different_experiments(packed):
    """A mode that silently did what another does would be a wrong column in the table."""
    found = [
        undisturbed(dense_of(packed), prune_step(0.6, 1, rewind=rewind)).weights["fc1.weight"]
        for rewind in REWINDS
    ]

    assert all(not np.array_equal(one, other) for i, one in enumerate(found) for other in found[:i])


# Levels.


@pytest.mark.parametrize("rewind", REWINDS)
def test_level_two_is_nested_in_level_one(packed, rewind):
    """Iterative pruning: each level prunes the weights that the level before kept and trained."""
    dense = dense_of(packed)
    first = undisturbed(dense, prune_step(0.5, 1, rewind=rewind))

    second = finished(ticket_of(dense, prune_step(0.8, 1, rewind=rewind), parent=parent_of(first)))

    for name in PRUNABLE:
        assert not (second.masks[name] & ~first.masks[name]).any()
    weights = {name: torch.from_numpy(first.weights[name]) for name in PRUNABLE}
    masks = {name: torch.from_numpy(first.masks[name]) for name in PRUNABLE}
    expected = by_magnitude(weights, 0.8, masks)
    assert_same_arrays(second.masks, {name: mask.numpy() for name, mask in expected.items()})
    assert second.metrics.before_val_accuracy == first.metrics.val_accuracy
    assert second.metrics.before_test_accuracy == first.metrics.test_accuracy
    assert second.metrics.dense_val_accuracy == dense.result.metrics.val_accuracy
    assert second.audit["ok"]


def test_thresholds_of_a_chain_are_audited_too(packed):
    """What level 1 pruned is zero in level 2's parent, so one comparison covers both."""
    dense = dense_of(packed)
    first = undisturbed(dense, prune_step(None, threshold=0.03))

    second = finished(ticket_of(dense, prune_step(None, threshold=0.06), parent=parent_of(first)))

    assert second.audit["ok"]
    assert second.audit["kept"] < first.audit["kept"]


def test_a_chain_that_falls_is_refused(packed):
    """Pruned weights never come back."""
    dense = dense_of(packed)
    first = undisturbed(dense, prune_step(0.8))

    with pytest.raises(PruningError, match="must rise"):
        ticket_of(dense, prune_step(0.5), parent=parent_of(first))


# The audit.


@pytest.mark.parametrize("optimizer", ["sgd", "nesterov", "plain", "adam", "adamw"])
@pytest.mark.parametrize("rewind", REWINDS)
def test_every_ticket_passes_its_audit(packed, optimizer, rewind):
    """Exact count, zeros and zero momenta at the end, survivors equal to where they return."""
    ticket = undisturbed(dense_of(packed, "lenet", optimizer), prune_step(0.9, 1.4, rewind=rewind))

    promises = (
        "exact",
        "pruned_weights_zero",
        "pruned_momenta_zero",
        "survivors_equal_snapshot",
        "finite",
        "ok",
    )
    assert {name: ticket.audit[name] for name in promises} == dict.fromkeys(promises, True)
    assert ticket.audit["kept"] == ticket.audit["asked_kept"] == kept_count(50_200, 0.9)
    for name, mask in ticket.masks.items():
        assert not ticket.weights[name][~mask].any()


@pytest.mark.parametrize("broken", ["pruned_weights_zero", "pruned_momenta_zero"])
def test_the_audit_sees_weights_that_came_back(packed, broken):
    """A check that cannot fail proves nothing: here pruned weights or their momenta are filled after the last step."""

    def revive(training):
        if training.progress.step == EPOCHS * STEPS:
            weight = training.model.get_parameter("fc2.weight")
            momentum = training.optimizer.state[weight]["momentum_buffer"]
            with torch.no_grad():
                (weight if broken == "pruned_weights_zero" else momentum).fill_(0.5)
        return False

    ticket = finished(ticket_of(dense_of(packed), prune_step(0.5), between_steps=revive))

    assert not ticket.audit[broken]
    assert not ticket.audit["ok"]


# The result.


def test_the_metrics_of_a_ticket_are_complete(packed):
    """Only bytes and the wall clock are left to the launcher, and budgets to budget runs."""
    metrics = undisturbed(dense_of(packed), prune_step(0.8, 1)).metrics.to_dict()

    expected = {name for name, info in METRICS.items() if info.runs != "budget"} - BY_THE_LAUNCHER
    assert set(metrics) == expected
    assert all(math.isfinite(value) for value in metrics.values())
    assert all(isinstance(value, int | float) for value in metrics.values())


def test_counts_agree_with_masks_and_layers(packed):
    """Columns are derived from the masks, so none may say otherwise; depthwise layers are counted right."""
    dense = dense_of(packed, "mobilenet", "sgd")

    ticket = undisturbed(dense, prune_step(0.7, 1))

    metrics = ticket.metrics
    kept = {name: int(mask.sum()) for name, mask in ticket.masks.items()}
    sizes = {name: mask.size for name, mask in ticket.masks.items()}
    assert metrics.params_remaining == sum(kept.values()) == kept_count(sum(sizes.values()), 0.7)
    assert metrics.params_prunable == sum(sizes.values())
    assert metrics.dead_channels == sum(ticket.audit["dead_channels"].values())
    assert metrics.params_total == sum(
        array.size
        for name, array in ticket.weights.items()
        if "running" not in name and "batches" not in name
    )
    assert (
        metrics.sparsity_achieved
        == ticket.audit["got"]
        == (sum(sizes.values()) - sum(kept.values())) / sum(sizes.values())
    )
    assert ticket.audit["asked"] == 0.7
    assert [(row.name, row.size, row.remaining) for row in ticket.layers] == [
        (name, sizes[name], kept[name]) for name in ticket.masks
    ]
    positions = dict.fromkeys(sizes, 1)
    model = dense.context.build(SEED).eval()
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(
                lambda _, __, out, name=name: positions.__setitem__(
                    f"{name}.weight", out.shape[2] * out.shape[3]
                )
            )
    model(torch.zeros(1, 1, 8, 8))
    assert metrics.macs_dense == sum(sizes[name] * positions[name] for name in sizes)
    assert metrics.macs_remaining == sum(kept[name] * positions[name] for name in sizes)


@pytest.mark.slow
def test_pruned_accuracy_is_that_of_masked_weights(packed):
    """The parent's BatchNorm and biases, its weights where kept, zero elsewhere."""
    dense = dense_of(packed, "mobilenet", "sgd")
    ticket = undisturbed(dense, prune_step(0.5, 0))
    model = dense.context.build(SEED)
    weights = {
        name: array * ticket.masks[name] if name in ticket.masks else array
        for name, array in dense.result.weights.items()
    }
    model.load_state_dict(to_tensors(weights))

    test, _ = dense.context.score_test(model)
    held_out = evaluate(model, dense.context.training_data(SEED).validation())

    assert ticket.metrics.pruned_test_accuracy == test.accuracy
    assert ticket.metrics.pruned_test_loss == test.loss
    assert ticket.metrics.pruned_val_accuracy == held_out.accuracy
    assert ticket.metrics.before_test_accuracy == dense.result.metrics.test_accuracy


def test_steps_to_dense_count_from_rewind_point(packed):
    """Steps of retraining until the dense run's last validation accuracy was reached."""
    dense = dense_of(packed)

    ticket = undisturbed(dense, prune_step(0.2, 1))

    target = dense.result.metrics.val_accuracy
    reached = [row.step - STEPS for row in ticket.curves if row.val_accuracy >= target]
    assert ticket.metrics.steps_to_dense == (reached[0] if reached else -1)


# Ends.


def test_diverged_ticket_has_zero_pruned_weights(packed):
    """Zero times NaN is NaN, and a ticket's holes may not fill up because its survivors exploded."""
    options = context_of(packed).train
    optimizer = dataclasses.replace(options.optimizer, lr=1e6)
    options = dataclasses.replace(options, epochs=20, optimizer=optimizer)
    context = dataclasses.replace(context_of(packed), train=options)

    ticket = ticket_of(dense_of(packed), prune_step(0.8, 0), context=context)

    assert ticket is not None
    assert ticket.ending == "diverged"
    for name, mask in ticket.masks.items():
        assert not ticket.weights[name][~mask].any()
        assert not np.isfinite(ticket.weights[name][mask]).all()
    assert ticket.audit["ok"]
    assert not ticket.audit["finite"]
    assert ticket.metrics.test_accuracy == 0
    assert math.isnan(ticket.metrics.test_loss)
    assert ticket.metrics.params_remaining == kept_count(50_200, 0.8)


def test_a_parent_that_diverged_has_no_ticket(packed):
    """NaN has no magnitude; the message gives the reason."""
    dense = dense_of(packed)
    weights = {**dense.parent.weights, "fc2.weight": np.full((100, 300), np.nan, np.float32)}

    with pytest.raises(PruningError, match=r"fc2\.weight.*diverged"):
        ticket_of(dense, prune_step(0.5), parent=dataclasses.replace(dense.parent, weights=weights))


def test_nothing_that_a_ticket_reads_is_changed(packed):
    """Snapshot and parent serve many tickets."""
    dense = dense_of(packed)
    snapshot = {name: array.copy() for name, array in dense.snapshots[STEPS].items()}
    weights = {name: array.copy() for name, array in dense.result.weights.items()}

    finished(ticket_of(dense, prune_step(0.8, 1, rewind="weights+optimizer")))

    assert_same_arrays(dense.snapshots[STEPS], snapshot)
    assert_same_arrays(dense.result.weights, weights)


def test_a_ticket_is_reproducible(packed):
    """Same seed, same bits."""
    dense = dense_of(packed, "short", "adamw")

    one, other = (finished(ticket_of(dense, prune_step(0.7, 1))) for _ in range(2))

    assert_same_result(one, other)
    assert measured(one)["epochs_trained"] == 2


def test_a_rewind_point_at_the_end_is_refused(packed):
    """Nothing would be left to train; a folder of images is measured only now."""
    step = prune_step(0.5, f"{EPOCHS * STEPS}it")

    with pytest.raises(TrainingError, match=r"grid\.rewind_epoch"):
        ticket_of(dense_of(packed), step, snapshot={})


def test_a_missing_snapshot_is_said(packed):
    """With what makes it again."""
    with pytest.raises(TrainingError, match="lthsweep run"):
        ticket_of(dense_of(packed), prune_step(0.5), snapshot=None)


def test_unknown_mode_is_refused_with_known_ones(packed):
    """The file is checked before, but a task of another version may say anything."""
    with pytest.raises(UnknownNameError, match="lr, none, weights"):
        ticket_of(dense_of(packed), prune_step(0.5, rewind="everything"))
