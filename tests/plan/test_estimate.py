"""The cost of a plan equals the formulas of its docstring on any grid."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lthsweep.data.order import steps_per_epoch
from lthsweep.plan.estimate import cost_json, cost_of, estimate, recipe_id, seconds_spared
from lthsweep.plan.steps import recipe_steps
from tests.plan.cases import make_plan

SPARSITIES = st.lists(st.integers(0, 99).map(lambda n: n / 100), min_size=1, max_size=5, unique=True)
POINTS = (
    st.integers(0, 9) | st.integers(0, 35).map(lambda n: n / 4) | st.integers(1, 4289).map(lambda n: f"{n}it")
)
REWINDS = st.lists(POINTS, min_size=1, max_size=4, unique=True)
SEEDS = st.integers(1, 3).map(lambda n: list(range(n)))
STEPS = 429  # of MNIST: 55,000 images at 128


def in_epochs(point):
    return int(point[:-2]) / STEPS if isinstance(point, str) else point


@given(SPARSITIES, REWINDS, SEEDS, st.sampled_from(["one-shot", "iterative"]), st.integers(1, 2))
def test_epochs_follow_the_formulas(sparsities, rewinds, seeds, schedule, variants):
    """S·[T + R·P·(T − mean k)] with sharing; without, each cell trains its dense run and its whole chain."""
    grid = {"sparsity": sparsities, "rewind_epoch": rewinds, "seed": seeds}
    lrs = [0.1, 0.2][:variants]
    plan = make_plan({**grid, "train.optimizer.lr": lrs}, prune={"schedule": schedule})
    total, pruned, zeros = 10, sum(s > 0 for s in sparsities), sum(s == 0 for s in sparsities)
    left = [total - in_epochs(point) for point in rewinds]

    cost = cost_of(plan)

    replicates = variants * len(seeds)
    assert cost.epochs == pytest.approx(replicates * (total + pruned * sum(left)), abs=1e-5)
    if schedule == "one-shot":
        naive = sum(pruned * (total + rest) for rest in left)
    else:
        naive = sum(pruned * total + rest * pruned * (pruned + 1) / 2 for rest in left)
    assert cost.epochs_naive == pytest.approx(replicates * (naive + zeros * len(rewinds) * total), abs=1e-5)
    assert cost.cells == replicates * len(rewinds) * len(sparsities)
    assert (cost.runs, cost.dense_runs) == (len(plan.runs), replicates)
    assert cost.ticket_runs == replicates * len(rewinds) * pruned
    assert (cost.done, cost.epochs_left) == (0, cost.epochs)


def test_the_published_example_is_reproduced():
    """T = 160, rewind 0, 4, 8, 20, P = 8, S = 5: 25,120 epochs instead of 49,920 or 135,040."""
    grid = {
        "sparsity": {"levels": 8, "rate": 0.2},
        "rewind_epoch": [0, 4, 8, 20],
        "seed": [0, 1, 2, 3, 4],
    }
    for schedule, naive in (("one-shot", 49_920), ("iterative", 135_040)):
        cost = cost_of(make_plan(grid, train={"epochs": 160}, prune={"schedule": schedule}))
        assert (cost.epochs, cost.epochs_naive) == (25_120, naive)
        assert cost.saving == naive / 25_120


def test_what_is_done_is_not_left():
    """Keys that are no part of the plan count for nothing."""
    plan = make_plan({"sparsity": [0.5, 0.8], "rewind_epoch": [0, 5]})

    cost = cost_of(plan, {plan.dense[0].key, plan.tickets[0].key, "of another sweep"})

    assert (cost.done, cost.epochs, cost.epochs_left) == (2, 40, 20)


def test_the_promised_names_are_in_the_json():
    """Scripts read them; whole epochs are integers."""
    output = json.loads(
        json.dumps(cost_json(cost_of(make_plan({"sparsity": [0.5], "rewind_epoch": [0, 5]}))))
    )

    assert output == {
        "cells": 2,
        "runs": 3,
        "dense_runs": 1,
        "ticket_runs": 2,
        "epochs": 25,
        "epochs_naive": 35,
        "done": 0,
        "epochs_left": 25,
        "budget_runs": 0,
        "seconds_budgeted": 0,
        "seconds_budgeted_left": 0,
        "saving": 1.4,
    }
    assert isinstance(output["epochs"], int)


@pytest.mark.parametrize(
    ("validation", "batch_size"), [(0, 1), (0, 7), (1, 64), (150, 64), (1373, 64), (1436, 1)]
)
def test_planned_epochs_equal_trained_epochs(validation, batch_size):
    """The planner knows the size of a data set by name, the loop by reading it: one rule for both."""
    data = {"name": "digits", "validation": validation}
    plan = make_plan({"sparsity": [0.5]}, data=data, train={"batch_size": batch_size})

    assert recipe_steps(plan.dense[0].recipe) == steps_per_epoch(1437 - validation, batch_size)


def test_a_folder_of_images_has_no_known_epoch(tmp_path):
    """Then a point in iterations counts as initialization: an upper bound."""
    plan = make_plan(
        {"sparsity": [0.5], "rewind_epoch": ["5it"]}, data={"name": "image_folder", "path": str(tmp_path)}
    )

    assert recipe_steps(plan.dense[0].recipe) is None
    assert cost_of(plan).epochs == 20


def test_no_schedule_beats_the_lower_bounds():
    """Two terms, two regimes: few workers divide the work, many wait for the chain."""
    plan = make_plan({"sparsity": [0.5, 0.8, 0.9], "rewind_epoch": [0, 5]}, prune={"schedule": "iterative"})
    seconds = {recipe_id(plan.dense[0].recipe): 2.0}

    one, many = (estimate(plan, (), seconds, workers) for workers in (1, 100))

    assert one is not None
    assert many is not None
    assert (one.work, one.longest_chain) == (2 * (10 + 3 * 10 + 3 * 5), 2 * (10 + 3 * 10))
    assert one.wall == 110
    assert many.wall == 80


@given(st.sets(st.integers(0, 20)), st.integers(1, 30))
def test_estimates_respect_both_lower_bounds(done, workers):
    """Finished work only shortens it."""
    plan = make_plan(
        {"sparsity": [0.5, 0.8], "rewind_epoch": [0, 5], "seed": [0, 1]}, prune={"schedule": "iterative"}
    )
    keys = list(plan.runs)
    finished = {keys[i] for i in done if i < len(keys)}
    seconds = {recipe_id(plan.dense[0].recipe): 1.5}

    left = estimate(plan, finished, seconds, workers)
    whole = estimate(plan, (), seconds, workers)

    assert left is not None
    assert whole is not None
    assert left.work == pytest.approx(1.5 * cost_of(plan, finished).epochs_left)
    assert left.wall >= left.longest_chain
    assert left.wall >= left.work / workers
    assert left.wall <= whole.wall


def test_estimates_need_a_measured_epoch():
    """An unknown recipe makes the sum unknown."""
    plan = make_plan({"sparsity": [0.5], "train.batch_size": [64, 128]})
    known = {recipe_id(plan.dense[0].recipe): 1.0}

    assert estimate(plan, (), known, 1) is None
    finished = estimate(plan, plan.runs, {}, 1)
    assert finished is not None
    assert finished.wall == 0


def test_epochs_of_equal_length_share_a_measurement():
    """Neither rates nor initialization nor the number of epochs change how long an epoch takes."""

    def of(grid):
        return {recipe_id(run.recipe) for run in make_plan({"sparsity": [0.5], **grid}).dense}

    same = {
        "train.optimizer.lr": [0.1, 0.2],
        "model.init": ["default", "xavier_normal"],
        "train.epochs": [5, 6],
    }
    assert len(of(same)) == 1
    assert len(of({"train.batch_size": [64, 128]})) == 2
    assert len(of({"train.precision": ["fp32", "bf16"]})) == 2


@given(SPARSITIES, REWINDS, SEEDS)
def test_sharing_saves_repeated_epochs_of_the_naive_loop(sparsities, rewinds, seeds):
    plan = make_plan({"sparsity": sparsities, "rewind_epoch": rewinds, "seed": seeds})
    cost, known = cost_of(plan), {recipe_id(plan.dense[0].recipe): 7.0}

    assert seconds_spared(plan, known) == pytest.approx(7 * (cost.epochs_naive - cost.epochs), abs=1e-3)
    assert seconds_spared(plan, {}) is None


def test_finished_epochs_are_not_in_the_estimate():
    plan = make_plan({"sparsity": [0.5], "seed": [0]})
    dense, ticket = plan.runs
    known = {recipe_id(plan.dense[0].recipe): 1.0}

    half = estimate(plan, set(), known, 1, {dense: 0.5})

    assert (half.work, half.longest_chain) == (15.0, 15.0)
    assert estimate(plan, set(), known, 1, {ticket: 1.0}).work == 10.0


def test_a_budget_run_costs_its_budget():
    """Not in epochs, because the number that fits is unknown; it ends when its time is over, on any machine."""
    grid = {"sparsity": [0.5, 0.9], "time": ["2m", "1h"], "seed": [0, 1]}
    plan = make_plan(grid, prune={"schedule": "budget"})
    hour = next(run for run in plan.tickets if str(run.budget) == "1h")
    known = {recipe_id(run.recipe): 3.0 for run in plan.dense}

    cost = cost_of(plan, done={hour.key})
    time = estimate(plan, (), known, workers=4)

    assert (cost.epochs, cost.budget_runs) == (2 * 10, 8)
    assert (cost.seconds_budgeted, cost.seconds_budgeted_left) == (4 * 3720, 3 * 3720 + 120)
    assert time is not None
    assert (time.work, time.longest_chain) == (2 * 30 + 4 * 3720, 30 + 3600)
    assert estimate(plan, (), known, workers=4, begun={hour.key: 0.5}).work == time.work - 1800
    assert seconds_spared(plan, known) == 8 * 30 - 2 * 30


def test_a_part_of_the_images_makes_shorter_epochs():
    """Steps of a part are known for a folder of images too; a measurement of the whole does not apply to a part."""
    folder = {"name": "image_folder", "path": "x"}
    whole, part = (
        make_plan({"sparsity": [0.5]}, data={**folder, "train_images": images}).dense[0].recipe
        for images in (0, 1000)
    )

    assert (recipe_steps(whole), recipe_steps(part)) == (None, 1000 // 128)
    assert recipe_id(whole) != recipe_id(part)
