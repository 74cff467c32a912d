"""Filter tickets are trained small and recorded in full shape."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from lthsweep.errors import PruningError
from lthsweep.lottery.context import to_tensors
from lthsweep.lottery.dense import train_dense
from lthsweep.models.macs import network_cost
from lthsweep.pruning.channels import cut, kept_in
from lthsweep.pruning.coupling import families_of
from lthsweep.pruning.shrink import shrink
from lthsweep.training.evaluation import evaluate
from tests.lottery.cases import (
    MODELS,
    SEED,
    STEPS,
    DenseRun,
    Watch,
    assert_same_result,
    context_of,
    dense_of,
    finished,
    measured,
    parent_of,
    prune_step,
    ticket_of,
    undisturbed,
)

NAMES = ["lenet", "short"]


def filters(sparsity=0.6, point=1, **changes):
    return prune_step(sparsity, point, method="filter", **changes)


def masks_of(ticket):
    return {name: torch.from_numpy(mask) for name, mask in ticket.masks.items()}


def small_of(dense, ticket):
    """The small network, rebuilt from a record and the final weights."""
    model = dense.context.build(SEED)
    model.load_state_dict(to_tensors(ticket.weights))
    return model, shrink(model, masks_of(ticket), dense.context.input_shape)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_stored_network_is_the_trained_one(packed, name):
    """Its weights in their places, zeros elsewhere: shrinking gives it back bit for bit."""
    dense = dense_of(packed, name)
    ticket = undisturbed(dense, filters())

    full, small = small_of(dense, ticket)

    for entry, value in small.state_dict().items():
        assert np.array_equal(value.numpy(), ticket.shrunk[entry]), entry
    images, _ = next(dense.context.training_data(SEED).validation())
    with torch.no_grad():
        torch.testing.assert_close(small.eval()(images), full.eval()(images), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_its_scores_are_those_of_either_network(packed, name):
    """Taken from the small one, true of both."""
    dense = dense_of(packed, name)
    ticket = undisturbed(dense, filters())
    validation = dense.context.training_data(SEED).validation

    for model in small_of(dense, ticket):
        score = evaluate(model, validation())
        assert score.accuracy == ticket.metrics.val_accuracy
        assert score.loss == pytest.approx(ticket.metrics.val_loss, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("rewind", ["weights", "weights+optimizer", "lr", "none"])
@pytest.mark.parametrize("name", NAMES)
def test_the_audit_holds_whatever_is_rewound(packed, name, rewind):
    """Survivors start where they should, nothing that went comes back, the share is the nearest there is."""
    ticket = undisturbed(dense_of(packed, name), filters(rewind=rewind))

    assert ticket.audit["ok"], ticket.audit
    assert ticket.audit["dead_layers"] == []
    assert abs(ticket.metrics.sparsity_achieved - 0.6) < 0.02


def test_training_it_small_is_training_it_masked(packed):
    """The same steps on the same weights, up to the order in which sums are taken.

    LeNet's removed units have their bias at zero and pass no gradient, so the masked network can stand for it.
    """
    dense = dense_of(packed)
    step = filters(0.5, 0)
    ticket = undisturbed(dense, step)
    model = dense.context.build(SEED)
    kept = kept_in(families_of(model, dense.context.input_shape), masks_of(ticket))
    start = {name: array.copy() for name, array in dense.snapshots[0].items()}
    for layer, alive in zip(("fc1", "fc2"), kept, strict=True):
        start[f"model/{layer}.bias"][~alive.numpy()] = 0
    weights = {name: array.copy() for name, array in dense.result.weights.items()}
    for name, mask in ticket.masks.items():  # a threshold that keeps exactly these
        weights[name] = np.where(mask, 1.0, 0.0).astype(np.float32)
    masked_step = dataclasses.replace(step, method="magnitude", sparsity=None, threshold=0.5)

    masked = finished(
        ticket_of(
            dense, masked_step, parent=dataclasses.replace(dense.parent, weights=weights), snapshot=start
        )
    )

    for name, array in ticket.weights.items():
        np.testing.assert_allclose(array, masked.weights[name], rtol=1e-3, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("name", NAMES)
def test_the_network_that_is_run_is_counted(packed, name):
    """A mask removes no parameter; whole filters do."""
    dense = dense_of(packed, name)
    ticket, masked = undisturbed(dense, filters()), undisturbed(dense, prune_step(0.6))
    _, small = small_of(dense, ticket)

    counted = network_cost(small, dense.context.input_shape)

    assert ticket.metrics.params_model == counted.params_total < ticket.metrics.params_total
    assert ticket.metrics.macs_model == counted.macs_dense == ticket.metrics.macs_remaining
    assert masked.shrunk is None
    for result in (masked, dense.result):
        assert result.metrics.params_model == result.metrics.params_total
        assert result.metrics.macs_model == result.metrics.macs_dense


@pytest.mark.slow
@pytest.mark.parametrize("stop", [STEPS + 1, 2 * STEPS, 3 * STEPS - 1])
@pytest.mark.parametrize(("name", "optimizer"), [("lenet", "adam"), ("short", "sgd")])
def test_stopped_filter_ticket_resumes_exactly(packed, name, optimizer, stop):
    """The checkpoint is of the small network, which the parent's weights and masks tell again."""
    dense = dense_of(packed, name, optimizer)
    step = filters(rewind="weights+optimizer")
    watch = Watch(stop=stop)

    assert ticket_of(dense, step, between_steps=watch) is None
    resumed = finished(ticket_of(dense, step, resume=watch.checkpoint))

    assert_same_result(resumed, undisturbed(dense, step))


@pytest.mark.slow
@pytest.mark.parametrize("scope", ["global", "layer"])
def test_levels_remove_more_of_what_is_left(packed, scope):
    """Iterative pruning: the parent's masks tell which filters are gone, and these stay gone."""
    dense = dense_of(packed, "short")
    first = undisturbed(dense, filters(0.4, scope=scope))

    second = finished(ticket_of(dense, filters(0.7, scope=scope), parent=parent_of(first)))

    assert second.audit["ok"]
    assert all(not (second.masks[name] & ~first.masks[name]).any() for name in first.masks)
    assert second.metrics.params_model < first.metrics.params_model


def test_momenta_of_survivors_are_rewound_with_them(packed):
    """Cut like the weights that they belong to."""
    dense = dense_of(packed)
    step = filters(rewind="weights+optimizer")
    watch = Watch(STEPS)

    ticket = finished(ticket_of(dense, step, between_steps=watch))

    tensors, _ = watch.states[STEPS]
    families = families_of(dense.context.build(SEED), dense.context.input_shape)
    snapshot = to_tensors(dense.snapshots[STEPS])
    kept = kept_in(families, masks_of(ticket))
    for section, entry in (("model/", ""), ("optimizer/", ":momentum_buffer")):
        full = {
            name: snapshot[f"{section}{name}{entry}"] for name in ("fc1.weight", "fc2.weight", "fc3.weight")
        }
        for name, expected in cut(full, families, kept).items():
            assert torch.equal(tensors[f"{section}{name}{entry}"], expected), name


def test_pruned_score_is_that_of_the_small_network(packed):
    """Biases of removed units are gone too."""
    dense = dense_of(packed)
    ticket = undisturbed(dense, filters())
    model = dense.context.build(SEED)
    model.load_state_dict(to_tensors(dense.result.weights))
    small = shrink(model, masks_of(ticket), dense.context.input_shape)

    score, _ = dense.context.score_test(small)

    assert ticket.metrics.pruned_test_accuracy == score.accuracy
    assert ticket.metrics.pruned_test_loss == pytest.approx(score.loss)


@pytest.mark.parametrize("control", ["reinit", "fine-tune", "lr-rewind"])
def test_controls_have_the_filters_of_their_ticket(packed, control):
    """Fresh weights in the same small network (Liu et al. 2019), or no rewinding."""
    from lthsweep.plan.prune_step import controlled

    dense = dense_of(packed)
    ticket = undisturbed(dense, filters())

    found = finished(ticket_of(dense, controlled(filters(), control)))

    assert all(np.array_equal(found.masks[name], mask) for name, mask in ticket.masks.items())
    assert found.metrics.params_model == ticket.metrics.params_model
    assert found.audit["ok"]


def test_filter_level_after_single_weights_is_refused(packed):
    """A chain is of one method; a parent of another is refused, not misread."""
    dense = dense_of(packed)
    weights = undisturbed(dense, prune_step(0.3))

    with pytest.raises(PruningError, match="whole filters"):
        ticket_of(dense, filters(0.6), parent=parent_of(weights))


# With the group lasso.


def dense_with_lasso(packed, strength, model="lenet"):
    context = context_of(packed, model, group_lasso=strength)
    snapshots = {}
    result = train_dense(context, SEED, snapshot_steps=range(3 * STEPS), save_snapshot=snapshots.__setitem__)
    return DenseRun(context, finished(result), snapshots)


def test_strength_zero_is_training_without_it(packed):
    """So no old result moves."""
    with_zero = dense_with_lasso(packed, 0.0).result

    assert_same_result(with_zero, dense_of(packed).result)


@pytest.mark.parametrize("method", ["filter", "magnitude"])
def test_tickets_use_their_dense_runs_recipe(packed, method):
    """The penalty too: the ticket that prunes nothing walks its dense run, small or masked."""
    dense = dense_with_lasso(packed, 0.1)

    ticket = finished(ticket_of(dense, prune_step(0.0, 1, method=method, rewind="weights+optimizer")))

    for name, array in dense.result.weights.items():
        assert np.array_equal(ticket.weights[name], array), name


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_removing_zero_filters_changes_nothing(packed, name):
    """Filters at zero rank lowest, and their maps were zeros."""
    dense = dense_with_lasso(packed, 0.4 if name == "lenet" else 1.0, name)
    ticket = finished(ticket_of(dense, filters(0.05, rewind="none")))

    assert ticket.metrics.pruned_test_accuracy == dense.result.metrics.test_accuracy
    assert ticket.metrics.pruned_test_loss == pytest.approx(dense.result.metrics.test_loss, rel=1e-4)
    assert ticket.metrics.params_model < dense.result.metrics.params_model


@pytest.mark.slow
def test_small_ticket_with_lasso_resumes_exactly(packed):
    """Its groups are those that are left."""
    dense = dense_with_lasso(packed, 0.05, "short")
    watch = Watch(stop=2 * STEPS - 1)

    assert ticket_of(dense, filters(), between_steps=watch) is None
    resumed = finished(ticket_of(dense, filters(), resume=watch.checkpoint))

    assert_same_result(resumed, finished(ticket_of(dense, filters())))


def test_metrics_of_either_method_have_the_same_names(packed):
    """One table holds both."""
    dense = dense_of(packed)

    small, masked = undisturbed(dense, filters()), undisturbed(dense, prune_step(0.6))

    assert measured(small).keys() == measured(masked).keys()
    assert MODELS.keys() >= set(NAMES)
