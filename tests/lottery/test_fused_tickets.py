"""Tickets trained as one: each has the record that it would have alone, up to rounding."""

from __future__ import annotations

import dataclasses

import pytest

from lthsweep.lottery.ticket import conclude_ticket, prepare_ticket, reason_not_fusible, retrain_ticket
from lthsweep.training.fused.ensemble import train_ensemble
from tests.lottery.cases import (
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
    prune_step,
    undisturbed,
)

WHOLE = "before_val_accuracy, before_test_accuracy, params_remaining, macs_remaining, sparsity_achieved, rewind_step"


def prepared_of(dense, step, **options):
    """A ticket of a dense run's, before it is trained."""
    context = options.pop("context", dense.context)
    return prepare_ticket(
        context,
        SEED,
        step,
        parent=dense.parent,
        snapshot=dense.snapshots[step.point.step(STEPS)] if step.returns_weights else None,
        dense_val_accuracy=dense.result.metrics.val_accuracy,
        **options,
    )


def together(dense, steps, watches=None, **options):
    prepared = [prepared_of(dense, step, **options) for step in steps]
    assert all(reason_not_fusible(one) is None for one in prepared)
    return trained(prepared, watches)


def trained(prepared, watches=None):
    """Their results; None for those that were stopped."""
    watches = watches or [lambda training: False] * len(prepared)
    endings = train_ensemble([one.training for one in prepared], watches)
    return [
        None if ending == "stopped" else conclude_ticket(one, ending)
        for one, ending in zip(prepared, endings, strict=True)
    ]


def assert_alike(result, expected):
    """Counts are equal; computed numbers are close."""
    assert result.ending == expected.ending
    assert_same_arrays(result.masks, expected.masks)
    assert result.audit == expected.audit
    assert result.audit["ok"]
    numbers, others = measured(result), measured(expected)
    assert numbers.keys() == others.keys()
    for name in WHOLE.split(", "):
        assert numbers[name] == others[name], name
    for name in ("train_loss", "val_loss", "test_loss"):
        assert numbers[name] == pytest.approx(others[name], rel=1e-4), name
    assert [row.step for row in result.curves] == [row.step for row in expected.curves]
    assert [row.name for row in result.layers] == [row.name for row in expected.layers]
    for name, array in expected.weights.items():
        assert result.weights[name] == pytest.approx(array, rel=1e-3, abs=1e-5), name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("optimizer", "rewind"),
    [
        *(("sgd", rewind) for rewind in ("weights", "weights+optimizer", "lr", "none")),
        ("adam", "weights"),
        ("adam", "weights+optimizer"),
    ],
)
def test_fused_tickets_equal_single_tickets(packed, optimizer, rewind):
    """Sparsity by sparsity: masks to the bit, weights and scores up to rounding, audit passed."""
    dense = dense_of(packed, "lenet", optimizer)
    steps = [prune_step(sparsity, 1, rewind=rewind) for sparsity in (0.5, 0.95)]

    results = together(dense, steps)

    for step, result in zip(steps, results, strict=True):
        assert_alike(finished(result), undisturbed(dense, step))


@pytest.mark.slow
def test_controls_are_trained_with_their_ticket(packed):
    """Other masks, other weights to start from; the same batches and rates."""
    dense = dense_of(packed)
    steps = [
        prune_step(0.8, 0),
        prune_step(0.8, 0, control="random"),
        prune_step(0.8, 0, control="reinit"),
    ]

    for step, result in zip(steps, together(dense, steps), strict=True):
        assert_alike(finished(result), undisturbed(dense, step))


def test_fine_tuned_tickets_go_with_their_like_only(packed):
    """Their learning rate is another one."""
    dense = dense_of(packed)
    prepared = [
        prepared_of(dense, prune_step(0.8, 1, rewind="none")),
        prepared_of(dense, prune_step(0.8, 1, rewind="weights")),
    ]

    with pytest.raises(Exception, match="differ in learning rate"):
        trained(prepared)


@pytest.mark.slow
def test_every_checkpoint_of_a_stop_resumes(packed):
    """Together again to the very bit, alone up to rounding."""
    dense = dense_of(packed)
    steps = [prune_step(0.6, 1), prune_step(0.9, 1)]
    watches = [Watch(stop=STEPS + 3) for _ in steps]
    whole = together(dense, steps)

    assert together(dense, steps, watches) == [None, None]

    again = trained(
        [
            prepared_of(dense, step, resume=watch.checkpoint)
            for step, watch in zip(steps, watches, strict=True)
        ]
    )
    for result, expected in zip(again, whole, strict=True):
        assert_same_result(finished(result), finished(expected))
    alone = prepared_of(dense, steps[1], resume=watches[1].checkpoint)
    assert_alike(finished(retrain_ticket(alone)), undisturbed(dense, steps[1]))


@pytest.mark.slow
def test_one_set_of_images_serves_all(packed):
    """On a GPU each would otherwise bring its own."""
    dense = dense_of(packed)
    data = dense.context.training_data(SEED)

    prepared = [prepared_of(dense, prune_step(sparsity, 1), data=data) for sparsity in (0.5, 0.8)]

    assert all(one.training.data is data for one in prepared)
    results = trained(prepared)
    assert_alike(finished(results[0]), undisturbed(dense, prune_step(0.5, 1)))


def test_whole_filters_and_group_lasso_go_alone(packed):
    """The first has a different shape, the second an additional step after each step."""
    dense = dense_of(packed)
    filters = prepared_of(dense, prune_step(0.5, 1, method="filter"))
    lasso = dataclasses.replace(
        dense.context, train=dataclasses.replace(dense.context.train, epochs=EPOCHS, group_lasso=1e-3)
    )

    assert "filters" in (reason_not_fusible(filters) or "")
    assert "group_lasso" in (reason_not_fusible(prepared_of(dense, prune_step(0.5, 1), context=lasso)) or "")


def test_bfloat16_tickets_can_be_fused(packed):
    """Audited like any."""
    dense = dense_of(packed)
    context = context_of(packed, precision="bf16")

    results = together(dense, [prune_step(0.5, 1), prune_step(0.8, 1)], context=context)

    assert all(finished(result).audit["ok"] for result in results)
