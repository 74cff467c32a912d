"""Which runs can be trained as one ensemble, and how many of them a worker gets."""

from __future__ import annotations

from collections import defaultdict

from lthsweep.launch.events import Message, Ready, Requeued
from lthsweep.launch.fused.groups import MAX_ENSEMBLE, FuseWidths, group_of, largest_ensemble
from tests.plan.cases import make_plan

GRID = {"sparsity": [0.5, 0.8], "rewind_epoch": [0, 2], "seed": [0, 1]}


def groups(plan):
    """Group → descriptions of its runs."""
    found = defaultdict(list)
    for run in plan.runs.values():
        found[group_of(run)].append(run.describe())
    return found


def test_tickets_of_one_rewind_point_form_a_group():
    """Dense runs are in none."""
    found = groups(make_plan(GRID))

    assert found.pop(None) == ["dense seed 0", "dense seed 1"]
    assert sorted(found.values()) == [
        [f"ticket sparsity {sparsity} rewind {point} seed {seed}" for sparsity in (0.5, 0.8)]
        for point in (0, 2)
        for seed in (0, 1)
    ]


def test_controls_join_runs_with_the_same_steps():
    """Fresh weights start at step 0; trained weights have other learning rates."""
    controls = ["ticket", "reinit", "random", "fine-tune", "lr-rewind"]
    plan = make_plan({"sparsity": [0.5], "rewind_epoch": [2], "seed": [0], "prune.control": controls})

    roles = [{text.split()[0] for text in runs} for group, runs in groups(plan).items() if group is not None]

    assert sorted(map(sorted, roles)) == [["fine-tune"], ["lr-rewind"], ["random", "ticket"], ["reinit"]]


def test_at_initialization_both_ways_to_rewind_are_one():
    """There is no optimizer state to return to."""
    grid = {"sparsity": [0.5], "seed": [0], "prune.control": ["ticket", "reinit"]}
    plan = make_plan(grid, prune={"rewind": "weights+optimizer"})

    assert len({group_of(run) for run in plan.tickets}) == 1


def test_filters_and_budgets_are_trained_alone():
    """Their networks differ in shape, and budgets follow their own clocks."""
    one = {"sparsity": [0.5], "seed": [0]}
    filters = make_plan(one, prune={"method": "filter"})
    budgets = make_plan(one, prune={"schedule": "budget", "time": "60s"})

    assert [group_of(run) for run in (*filters.tickets, *budgets.tickets)] == [None, None]


def test_the_largest_ensemble_has_no_parents():
    """The levels of a chain wait for each other; its controls do not."""
    grid = {"sparsity": [0.5, 0.7, 0.8], "rewind_epoch": [0, 2], "seed": [0, 1]}
    chain = {"schedule": "iterative"}
    controls = {"prune.control": ["ticket", "random"]}

    assert largest_ensemble(make_plan(grid)) == 3
    assert largest_ensemble(make_plan(grid, prune=chain)) == 1
    assert largest_ensemble(make_plan(grid | controls, prune=chain)) == 4
    assert largest_ensemble(make_plan(grid, prune={"method": "filter"})) == 1


def test_auto_fuses_on_gpus_only():
    """A number holds for every device."""
    plan = make_plan(GRID)
    ticket = plan.tickets[0].key
    few, auto = FuseWidths(make_plan(GRID, train={"fuse": 3})), FuseWidths(plan)
    for widths in (few, auto):
        widths.note(Message("w", Ready("cpu")))
        widths.note(Message("g", Ready("cuda:0")))

    assert [few(worker, ticket) for worker in "wg"] == [3, 3]
    assert [auto(worker, ticket) for worker in "wg"] == [1, MAX_ENSEMBLE]


def test_a_measured_width_holds_for_its_recipe():
    """Seeds share it, other initializations do not."""
    plan = make_plan({"sparsity": [0.5], "seed": [0, 1], "model.init": ["default", "xavier_normal"]})
    one, other, seed = (
        next(t for t in plan.tickets if wanted(t)).key
        for wanted in (
            lambda t: t.recipe.model["init"] == "default" and t.seed == 0,
            lambda t: t.recipe.model["init"] != "default",
            lambda t: t.recipe.model["init"] == "default" and t.seed == 1,
        )
    )
    widths = FuseWidths(plan)
    widths.note(Message("g", Ready("cuda:0")))

    widths.note(Message("g", Requeued(one, fuse_width=12)))

    assert [widths("g", key) for key in (one, seed, other)] == [12, 12, MAX_ENSEMBLE]
