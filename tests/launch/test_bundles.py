"""Which runs may be trained as one, and how many of them a worker gets."""

from __future__ import annotations

from collections import defaultdict

from lthsweep.launch.dispatch import Heard
from lthsweep.launch.fused.groups import MAX_ENSEMBLE, Widths, group_of, largest_ensemble
from lthsweep.launch.task import Message
from tests.plan.cases import make_plan

GRID = {"sparsity": [0.5, 0.8], "rewind_epoch": [0, 2], "seed": [0, 1]}


def groups(plan):
    """What the runs of each group are called."""
    found = defaultdict(list)
    for run in plan.runs.values():
        found[group_of(run)].append(run.describe())
    return found


def test_tickets_of_one_trunk_and_rewind_point_are_alike_and_dense_runs_are_not():
    found = groups(make_plan(GRID))

    assert found.pop(None) == ["dense seed 0", "dense seed 1"]
    assert sorted(found.values()) == [
        [f"ticket sparsity {sparsity} rewind {point} seed {seed}" for sparsity in (0.5, 0.8)]
        for point in (0, 2)
        for seed in (0, 1)
    ]


def test_controls_go_with_those_that_take_the_same_steps():
    """Fresh weights start at step 0; trained weights have learning rates of their own."""
    controls = ["ticket", "reinit", "random", "fine-tune", "lr-rewind"]
    plan = make_plan({"sparsity": [0.5], "rewind_epoch": [2], "seed": [0], "prune.control": controls})

    told = [{text.split()[0] for text in runs} for group, runs in groups(plan).items() if group is not None]

    assert sorted(map(sorted, told)) == [["fine-tune"], ["lr-rewind"], ["random", "ticket"], ["reinit"]]


def test_at_initialization_there_is_no_optimizer_to_return_to():
    """So both ways to rewind are one."""
    grid = {"sparsity": [0.5], "seed": [0], "prune.control": ["ticket", "reinit"]}
    plan = make_plan(grid, prune={"rewind": "weights+optimizer"})

    assert len({group_of(run) for run in plan.tickets}) == 1


def test_filters_and_budgets_are_trained_alone():
    one = {"sparsity": [0.5], "seed": [0]}
    filters = make_plan(one, prune={"method": "filter"})
    budgets = make_plan(one, prune={"schedule": "budget", "time": "60s"})

    assert [group_of(run) for run in (*filters.tickets, *budgets.tickets)] == [None, None]


def test_as_many_can_be_trained_as_one_as_nothing_descends_from():
    """The levels of a chain wait for each other; its controls do not."""
    grid = {"sparsity": [0.5, 0.7, 0.8], "rewind_epoch": [0, 2], "seed": [0, 1]}
    chain = {"schedule": "iterative"}
    controls = {"prune.control": ["ticket", "random"]}

    assert largest_ensemble(make_plan(grid)) == 3
    assert largest_ensemble(make_plan(grid, prune=chain)) == 1
    assert largest_ensemble(make_plan(grid | controls, prune=chain)) == 4
    assert largest_ensemble(make_plan(grid, prune={"method": "filter"})) == 1


def test_a_number_is_for_every_device_and_auto_is_one_on_a_cpu():
    plan = make_plan(GRID)
    ticket = plan.tickets[0].key
    few, auto = Widths(make_plan(GRID, train={"fuse": 3})), Widths(plan)
    for widths in (few, auto):
        widths.hear(Heard("w", Message("ready", values={"device": "cpu"})))
        widths.hear(Heard("g", Message("ready", values={"device": "cuda:0"})))

    assert [few(worker, ticket) for worker in "wg"] == [3, 3]
    assert [auto(worker, ticket) for worker in "wg"] == [1, MAX_ENSEMBLE]


def test_what_a_worker_found_holds_for_its_recipe():
    plan = make_plan({"sparsity": [0.5], "seed": [0, 1], "model.init": ["default", "xavier_normal"]})
    one, other, seed = (
        next(t for t in plan.tickets if wanted(t)).key
        for wanted in (
            lambda t: t.recipe.model["init"] == "default" and t.seed == 0,
            lambda t: t.recipe.model["init"] != "default",
            lambda t: t.recipe.model["init"] == "default" and t.seed == 1,
        )
    )
    widths = Widths(plan)
    widths.hear(Heard("g", Message("ready", values={"device": "cuda:0"})))

    widths.hear(Heard("g", Message("returned", one, {"width": 12})))

    assert [widths("g", key) for key in (one, seed, other)] == [12, 12, MAX_ENSEMBLE]
