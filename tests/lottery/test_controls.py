"""Controls change one thing about a ticket, and exactly that: the mask, or the weights under it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from lthsweep.lottery.context import to_arrays
from lthsweep.lottery.starting_point import fresh_seed
from lthsweep.plan.prune_step import CONTROLS, controlled
from lthsweep.pruning.counts import kept_count
from lthsweep.training.schedule import learning_rate_factor
from tests.lottery.cases import (
    EPOCHS,
    SEED,
    STEPS,
    DenseRun,
    Watch,
    assert_same_arrays,
    assert_same_result,
    dense_of,
    finished,
    parent_of,
    prune_step,
    rows,
    ticket_of,
    undisturbed,
)

CONTROLLED = [name for name in CONTROLS if name != "ticket"]
PRUNABLE = 50_200


def step_of(control, sparsity=0.8, point=1, **changes):
    return controlled(prune_step(sparsity, point, **changes), control)


def start_of(dense: DenseRun, step):
    """The weights before the first step."""
    watch = Watch(stop=step.point.step(STEPS))
    assert ticket_of(dense, step, between_steps=watch) is None
    tensors = watch.checkpoint.tensors
    return to_arrays({n.removeprefix("model/"): t for n, t in tensors.items() if n.startswith("model/")})


def counts(masks):
    return {name: int(mask.sum()) for name, mask in masks.items()}


# Reinit: the mask of the ticket, other weights.


def test_reinit_has_the_tickets_mask_on_fresh_weights(packed):
    """Same places, and no survivor is where the dense run was initialized."""
    dense = dense_of(packed)
    ticket, control = undisturbed(dense, prune_step(0.8, 0)), undisturbed(dense, step_of("reinit", point=0))
    began, dense_began = start_of(dense, step_of("reinit")), dense.snapshots[0]

    assert_same_arrays(control.masks, ticket.masks)
    for name, mask in control.masks.items():
        assert not (began[name][mask] == dense_began[f"model/{name}"][mask]).any()
        assert not began[name][~mask].any()


def test_fresh_weights_depend_only_on_the_seed(packed):
    """Its own stream: initial weights as another seed's dense run would have them, the same for every sparsity."""
    dense = dense_of(packed)
    fresh = to_arrays(dense.context.build(fresh_seed(SEED)).state_dict())

    for sparsity in (0.5, 0.9):
        control = undisturbed(dense, step_of("reinit", sparsity))
        began = start_of(dense, step_of("reinit", sparsity))
        for name, mask in control.masks.items():
            assert np.array_equal(began[name], np.where(mask, fresh[name], 0))
    assert fresh_seed(SEED) != fresh_seed(SEED + 1)


def test_reinit_trains_the_whole_schedule(packed):
    """From step 0 to T; for k > 0 that is k epochs more than its ticket."""
    control = undisturbed(dense_of(packed), step_of("reinit", point=2))

    assert (control.metrics.rewind_step, control.metrics.epochs_trained) == (0, EPOCHS)
    assert len(control.curves) == EPOCHS


def test_reinit_masked_scales_neurons_to_kept_inputs(packed):
    """The same mask and the same draw: variance c / fan_in becomes c / kept, and the audit finds it as it started."""
    dense = dense_of(packed)
    plain, masked = start_of(dense, step_of("reinit")), start_of(dense, step_of("reinit-masked"))
    control = undisturbed(dense, step_of("reinit-masked"))

    for name, mask in control.masks.items():
        kept = np.maximum(mask.sum(axis=1, keepdims=True), 1)
        scaled = plain[name] * np.sqrt(mask.shape[1] / kept).astype(np.float32)
        np.testing.assert_allclose(masked[name], np.where(mask, scaled, 0), rtol=1e-6)
    others = masked.keys() - control.masks.keys()
    assert_same_arrays({name: masked[name] for name in others}, {name: plain[name] for name in others})
    assert control.audit["ok"]
    assert (control.metrics.rewind_step, control.metrics.epochs_trained) == (0, EPOCHS)


def test_neurons_with_all_inputs_are_drawn_as_dense(packed):
    """With an empty threshold nothing is scaled, and both controls are one training."""
    dense = dense_of(packed)

    plain, masked = (undisturbed(dense, step_of(name, 0.0)) for name in ("reinit", "reinit-masked"))

    assert_same_arrays(plain.weights, masked.weights)


# Random: other places, the weights of the dense run.


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_random_keeps_counts_not_places(packed, scope):
    """How many weights each layer has is left of the ticket, and nothing else."""
    dense = dense_of(packed)
    ticket = undisturbed(dense, prune_step(0.8, scope=scope))
    control = undisturbed(dense, step_of("random", scope=scope))
    whole = undisturbed(dense, step_of("random-global", scope=scope))

    assert counts(control.masks) == counts(ticket.masks)
    assert counts(whole.masks) != counts(ticket.masks)
    assert sum(counts(whole.masks).values()) == kept_count(PRUNABLE, 0.8) or scope == "layer"
    for name in ("fc1.weight", "fc2.weight"):
        assert not np.array_equal(control.masks[name], ticket.masks[name])
    assert control.audit["ok"]
    assert whole.audit["ok"]


@pytest.mark.parametrize("control", ["random", "random-global"])
def test_random_rewinds_as_its_ticket(packed, control):
    """Survivors return to the dense run at k, and training is the ticket's."""
    dense = dense_of(packed)
    step = step_of(control, point=1, rewind="weights+optimizer")

    began, result = start_of(dense, step), undisturbed(dense, step)

    for name, mask in result.masks.items():
        snapshot = dense.snapshots[STEPS][f"model/{name}"]
        assert np.array_equal(began[name], np.where(mask, snapshot, 0))
    assert result.metrics.rewind_step == STEPS


@pytest.mark.parametrize("control", ["random", "random-global"])
def test_a_shuffled_threshold_is_audited_by_its_counts(packed, control):
    """Its places are not those above the threshold, and need not be."""
    dense = dense_of(packed)
    ticket = undisturbed(dense, prune_step(None, threshold=0.05))

    result = undisturbed(dense, step_of(control, None, threshold=0.05))

    assert sum(counts(result.masks).values()) == sum(counts(ticket.masks).values())
    assert result.audit["ok"]
    assert ticket.audit["ok"]


# Fine-tuning and learning-rate rewinding: the ticket's mask on trained weights.


@pytest.mark.parametrize("control", ["fine-tune", "lr-rewind"])
def test_trained_weights_stay_under_the_tickets_mask(packed, control):
    """They start from the dense run's final weights times the mask, for as long as the ticket retrains."""
    dense = dense_of(packed)
    ticket = undisturbed(dense, prune_step(0.8, 1))

    began, result = start_of(dense, step_of(control)), undisturbed(dense, step_of(control))

    assert_same_arrays(result.masks, ticket.masks)
    for name, array in dense.result.weights.items():
        assert np.array_equal(began[name], array * result.masks[name] if name in result.masks else array)
    assert result.metrics.epochs_trained == ticket.metrics.epochs_trained
    assert result.audit["ok"]


def test_fine_tuning_keeps_the_last_rate(packed):
    """Renda et al. 2020, section 2."""
    dense = dense_of(packed)
    train = dense.context.train

    def rate(step):
        factor = learning_rate_factor(train.schedule, step, steps_per_epoch=STEPS, epochs=EPOCHS)
        return train.optimizer.lr * factor

    fine, rewound, ticket = (
        [row.lr for row in rows(undisturbed(dense, step_of(control)))]
        for control in ("fine-tune", "lr-rewind", "ticket")
    )

    assert fine == [rate(EPOCHS * STEPS - 1)] * (EPOCHS - 1)
    assert rewound == ticket == [rate((epoch + 1) * STEPS - 1) for epoch in range(1, EPOCHS)]


# Chains, criteria.


@pytest.mark.parametrize("control", CONTROLLED)
def test_level_two_controls_have_their_tickets_mask(packed, control):
    """Made from the same parent, without waiting for the ticket."""
    dense = dense_of(packed)
    parent = parent_of(undisturbed(dense, prune_step(0.5, 1)))
    ticket = finished(ticket_of(dense, prune_step(0.8, 1), parent=parent))

    result = finished(ticket_of(dense, step_of(control), parent=parent))

    if control.startswith("random"):
        assert sum(counts(result.masks).values()) == sum(counts(ticket.masks).values())
    else:
        assert_same_arrays(result.masks, ticket.masks)
    assert result.audit["ok"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "method"),
    [("lenet", "snip"), ("lenet", "synflow"), ("mobilenet", "snip"), ("short", "synflow")],
)
def test_methods_at_initialization_read_no_trained_weight(packed, model, method):
    """Another parent, the same mask; the count is exact and the survivors are the dense run's at k."""
    dense = dense_of(packed, model, "sgd")
    step = prune_step(0.7, 0, method=method)
    other = dataclasses.replace(
        dense.parent, weights={name: array * 0 for name, array in dense.parent.weights.items()}
    )

    ticket = undisturbed(dense, step)
    from_other = finished(ticket_of(dense, step, parent=other))

    assert_same_arrays(ticket.masks, from_other.masks)
    assert_same_arrays(ticket.weights, from_other.weights)
    total = sum(mask.size for mask in ticket.masks.values())
    assert sum(counts(ticket.masks).values()) == kept_count(total, 0.7)
    assert ticket.audit["ok"]


def test_methods_have_masks_of_their_own(packed):
    """None is another one under a new name."""
    dense = dense_of(packed)
    found = [
        undisturbed(dense, prune_step(0.8, 0, method=method)).masks["fc2.weight"]
        for method in ("magnitude", "random", "snip", "synflow")
    ]

    assert len({mask.tobytes() for mask in found}) == 4


def test_controls_draw_nothing_from_the_global_generator(packed):
    """Whatever was drawn before changes none of them."""
    dense = dense_of(packed)
    for control in CONTROLLED:
        torch.manual_seed(0)
        one = finished(ticket_of(dense, step_of(control)))
        torch.manual_seed(1)
        assert_same_result(one, finished(ticket_of(dense, step_of(control))))
