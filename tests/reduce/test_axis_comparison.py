"""From the cells of a plan to a comparison along one axis."""

from __future__ import annotations

import math

import pytest

from lthsweep.errors import QueryError
from lthsweep.reduce.axis_comparison import COMPARABLE, LOWER_IS_BETTER, RunScore, compare_axis
from lthsweep.reduce.run_result import ResultState
from tests.reduce.reduce_cases import make_plan

INITS = ["kaiming_normal", "xavier_normal"]
BONUS = {"kaiming_normal": 0.02, "xavier_normal": 0.0}


def a_plan(**grid):
    return make_plan(
        **{"sparsity": [0.5, 0.9], "rewind_epoch": [0], "seed": [0, 1, 2], "model.init": INITS, **grid}
    )


def outcomes_of(plan, noise=0.001):
    """Accuracies by scheme and seed; kaiming is two points ahead."""
    return {
        key: RunScore(
            ResultState.DONE, 0.9 + BONUS[run.recipe.model["init"]] + noise * run.seed * (1 + run.level % 2)
        )
        for key, run in plan.runs.items()
    }


def at(found, **values):
    return [row for row in found.records() if all(row[name] == value for name, value in values.items())]


def test_rows_cover_points_dense_runs_and_the_mean():
    plan = a_plan()

    found = compare_axis(plan, outcomes_of(plan), "model.init")

    assert [(row["at"], row["sparsity"], row["model.init"]) for row in found.records()] == [
        ("dense", 0.0, "kaiming_normal"),
        ("dense", 0.0, "xavier_normal"),
        ("point", 0.5, "kaiming_normal"),
        ("point", 0.5, "xavier_normal"),
        ("point", 0.9, "kaiming_normal"),
        ("point", 0.9, "xavier_normal"),
        ("overall", "", "kaiming_normal"),
        ("overall", "", "xavier_normal"),
    ]
    assert {row["first"] for row in found.records()} == {"kaiming_normal"}
    assert {row["n"] for row in found.records()} == {3}
    assert found.tests == 3


def test_pairs_are_of_one_seed():
    """Seeds differ by more than schemes do; their differences do not differ at all."""
    plan = a_plan()

    (row,) = at(compare_axis(plan, outcomes_of(plan, noise=0.2), "model.init"), sparsity=0.5, rank=2)

    assert row["difference"] == pytest.approx(-0.02)
    assert row["sd"] > 0.1
    assert row["ci_high"] - row["ci_low"] < 1e-9


def test_any_axis_can_be_compared():
    """Whether a finding holds for another way of pruning is the same question along another axis."""
    plan = a_plan(**{"prune.method": ["magnitude", "random"]})

    found = compare_axis(plan, outcomes_of(plan), "prune.method")

    assert {row["at"] for row in found.records()} == {
        "point",
        "overall",
    }  # both ways prune the same dense runs
    assert {(row["sparsity"], row["model.init"]) for row in at(found, at="point")} == {
        (s, init) for s in (0.5, 0.9) for init in INITS
    }
    assert {row["prune.method"] for row in found.records()} == {"magnitude", "random"}


def test_axes_have_their_names_of_the_file():
    """As the grid names it is as it is compared."""
    plan = a_plan(control=["ticket", "reinit"])

    found = compare_axis(plan, outcomes_of(plan), "control")

    assert found.axis == "prune.control"
    assert {row["prune.control"] for row in found.records()} == {"ticket", "reinit"}


def test_dense_runs_have_one_row():
    plan = a_plan(**{"prune.scope": ["global", "layer"], "rewind_epoch": [0, 1]})

    found = compare_axis(plan, outcomes_of(plan), "model.init")

    assert [(row["prune.scope"], row["rewind_epoch"]) for row in at(found, at="dense")] == [("", "")] * 2


def test_sparsity_zero_replaces_the_dense_rows():
    plan = a_plan(sparsity=[0.0, 0.5])

    assert not at(compare_axis(plan, outcomes_of(plan), "model.init"), at="dense")


def test_rewind_epochs_and_sparsities_can_be_compared():
    plan = a_plan(rewind_epoch=[0, 1])

    for axis in ("rewind_epoch", "sparsity"):
        found = compare_axis(plan, outcomes_of(plan), axis)
        assert {row["at"] for row in found.records()} == {"point", "overall"}


def test_missing_and_diverged_runs_are_counted():
    plan = a_plan()
    outcomes = outcomes_of(plan)
    for cell in plan.cells:
        if cell["model.init"] == "xavier_normal" and cell["sparsity"] == 0.5:
            del outcomes[cell.run]
        if cell["model.init"] == "xavier_normal" and cell["sparsity"] == 0.9 and cell["seed"] == 1:
            outcomes[cell.run] = RunScore(ResultState.DIVERGED, math.nan)

    found = compare_axis(plan, outcomes, "model.init")

    (missing,) = at(found, at="point", sparsity=0.5, **{"model.init": "xavier_normal"})
    (wild,) = at(found, at="point", sparsity=0.9, **{"model.init": "xavier_normal"})
    assert (missing["verdict"], missing["n"]) == ("missing", 0)
    assert (wild["verdict"], wild["n_diverged"]) == ("worse", 1)
    assert at(found, at="overall", rank=1)[0]["verdict"] == "best"


def test_the_margin_applies_to_accuracies_only():
    plan = a_plan()

    accuracy = compare_axis(plan, outcomes_of(plan), "model.init")
    loss = compare_axis(plan, outcomes_of(plan), "model.init", metric="test_loss")

    assert (accuracy.margin, accuracy.confidence, accuracy.higher_is_better) == (0.002, 0.95, True)
    assert (loss.margin, loss.higher_is_better) == (0.0, False)
    assert at(loss, at="overall", rank=1)[0]["model.init"] == "xavier_normal"


def test_lower_losses_and_costs_are_better():
    assert {"test_loss", "val_loss", "test_loss_best", "macs_remaining", "bytes_sparse"} <= LOWER_IS_BETTER
    assert not {"test_accuracy", "val_accuracy", "images_per_second", "sparsity_achieved"} & LOWER_IS_BETTER
    assert "steps_to_dense" not in COMPARABLE


@pytest.mark.parametrize(
    ("axis", "metric", "words"),
    [
        ("seed", "test_accuracy", "seed.*model.init"),
        ("model.int", "test_accuracy", "model.int.*model.init"),
        ("rewind_epoch", "test_accuracy", "rewind_epoch.*model.init"),
        ("model.init", "test_acuracy", "test_acuracy.*test_accuracy"),
        ("model.init", "steps_to_dense", "steps_to_dense.*test_accuracy"),
    ],
)
def test_an_unusable_axis_or_metric_is_named(axis, metric, words):
    """The message has the wrong name and a valid one."""
    plan = a_plan()

    with pytest.raises(QueryError, match=words):
        compare_axis(plan, outcomes_of(plan), axis, metric=metric)
