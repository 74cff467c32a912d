"""A control has the parent of its ticket, shares its runs, and changes no ticket's key."""

from __future__ import annotations

import pytest

from lthsweep.errors import SpecError
from lthsweep.plan.estimate import cost_of
from lthsweep.plan.prune_step import CONTROLS
from lthsweep.spec.prune_table import PruneSpec
from tests.plan.cases import key_at, make_plan

GRID = {"sparsity": [0.5, 0.8], "rewind_epoch": [0, 2], "seed": [0, 1]}
ALL = list(CONTROLS)
SCHEDULES = ("one-shot", "iterative")


def run_at(plan, **values):
    return plan[key_at(plan, **values)]


def test_the_file_offers_every_control():
    """A control that the file cannot name, or that has no implementation, is a mistake."""
    assert set(PruneSpec.model_fields["control"].annotation.__args__) == set(CONTROLS)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_controls_do_not_change_keys_of_tickets(schedule):
    """Controls join a sweep that is done, and only they are trained."""
    plain = make_plan(GRID, prune={"schedule": schedule})
    grown = make_plan(GRID | {"control": ALL}, prune={"schedule": schedule})

    assert plain.runs.keys() < grown.runs.keys()
    for cell in plain.cells:
        assert key_at(grown, **dict(cell.values), **{"prune.control": "ticket"}) == cell.run


def test_the_control_axis_has_a_short_name():
    """Many sweeps have it, so it has a short name; errors point at it as it was written."""
    short, long = (make_plan(GRID | {name: ["ticket", "reinit"]}) for name in ("control", "prune.control"))

    assert short.runs.keys() == long.runs.keys()
    assert [cell.values for cell in short.cells] == [cell.values for cell in long.cells]
    with pytest.raises(SpecError, match=r'prune\.control.*did you mean "reinit"'):
        make_plan(GRID | {"control": ["ticket", "renit"]})


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("control", ALL[1:])
def test_a_control_has_the_parent_of_its_ticket(control, schedule):
    """The mask is a function of the parent, so both make the same one; no control has children."""
    plan = make_plan(GRID | {"control": ["ticket", control]}, prune={"schedule": schedule})

    parents = {run.parent for run in plan.tickets}
    for cell in plan.cells:
        run = plan[cell.run]
        ticket = run_at(plan, **(dict(cell.values) | {"prune.control": "ticket"}))
        assert (run.parent, run.level, run.trunk) == (ticket.parent, ticket.level, ticket.trunk)
        assert run.prune.role == cell["prune.control"]
        assert run.prune.role == "ticket" or run.key not in parents


def test_controls_alone_keep_the_chain_of_tickets():
    """The levels in between are tickets that answer no cell; the last level needs none."""
    plan = make_plan({"sparsity": [0.5, 0.8, 0.9], "control": ["reinit"]}, prune={"schedule": "iterative"})

    assert [run.prune.role for run in plan.tickets] == ["reinit", "ticket", "reinit", "ticket", "reinit"]
    assert [run.level for run in plan.tickets] == [1, 1, 2, 2, 3]


def test_level_one_controls_are_one_shot_controls():
    """As level 1 of a chain is the one-shot ticket."""
    one_shot, iterative = (
        make_plan(GRID | {"control": ALL}, prune={"schedule": schedule}) for schedule in SCHEDULES
    )

    for cell in one_shot.cells:
        if cell["sparsity"] == 0.5:
            assert key_at(iterative, **dict(cell.values)) == cell.run


@pytest.mark.parametrize(("control", "rewind"), [("fine-tune", "none"), ("lr-rewind", "lr")])
def test_controls_that_equal_a_rewind_share_its_key(control, rewind):
    """Under both names it is trained once."""
    by_control = make_plan(GRID, prune={"control": control})
    by_rewind = make_plan(GRID, prune={"rewind": rewind})

    assert by_control.runs.keys() == by_rewind.runs.keys()
    assert {run.prune.role for run in by_rewind.tickets} == {control}


def test_fine_tuned_leaves_differ_from_fine_tuned_chains():
    """The leaf prunes the rewound ticket of the level before; the chain prunes its own fine-tuned level."""
    leaf = make_plan(GRID, prune={"control": "fine-tune", "schedule": "iterative"})
    chain = make_plan(GRID, prune={"rewind": "none", "schedule": "iterative"})

    for cell in leaf.cells:
        assert (key_at(chain, **dict(cell.values)) == cell.run) == (cell["sparsity"] == 0.5)


def test_one_shot_reinit_is_shared_by_rewind_epochs():
    """Fresh weights have no past to return to, and the one-shot mask does not depend on k."""
    plan = make_plan(GRID | {"control": ["reinit"]})
    iterative = make_plan(GRID | {"control": ["reinit"]}, prune={"schedule": "iterative"})

    assert len(plan.cells) == 8
    assert len(plan.tickets) == 4
    assert all(run.epochs() == run.recipe.epochs for run in plan.tickets)
    assert len({cell.run for cell in iterative.cells if cell["sparsity"] == 0.8}) == 4  # their masks differ


def test_rewinding_changes_random_controls_but_not_reinit():
    """A random control is rewound as its ticket; fresh weights are not rewound."""
    one, other = (
        make_plan(
            {"sparsity": [0.5], "rewind_epoch": [2], "control": ["reinit", "random"]},
            prune={"rewind": rewind},
        )
        for rewind in ("weights", "weights+optimizer")
    )

    def key(plan, control):
        return key_at(plan, **{"prune.control": control})

    assert key(one, "reinit") == key(other, "reinit")
    assert key(one, "random") != key(other, "random")


def test_snapshots_are_kept_only_where_needed():
    """A dense run keeps no weights at k for fresh or trained ones."""
    for control, count in (("ticket", 2), ("random", 2), ("reinit", 0), ("fine-tune", 0), ("lr-rewind", 0)):
        plan = make_plan(GRID | {"control": [control]})
        assert {len(points) for points in plan.rewind_points().values()} == {count}


def test_epochs_of_controls():
    """S·T for dense runs; per seed and sparsity T for either reinit, T − k for each other control and rewind epoch."""
    plan = make_plan(GRID | {"control": ALL})

    assert cost_of(plan).epochs == 2 * (10 + 2 * (2 * 10 + 5 * (10 + 8)))


@pytest.mark.parametrize("method", ["snip", "synflow"])
def test_a_mask_from_initialization_has_no_chain(method):
    """Retraining between levels would change nothing that the method looks at."""
    one_shot, iterative = (
        make_plan(GRID, prune={"method": method, "schedule": schedule}) for schedule in SCHEDULES
    )

    assert one_shot.runs.keys() == iterative.runs.keys()
    assert {run.level for run in iterative.tickets} == {1}


def test_methods_on_an_axis_share_the_dense_run():
    """One dense run for all methods."""
    methods = ["magnitude", "random", "snip", "synflow"]
    plan = make_plan(GRID | {"prune.method": methods})

    assert (len(plan.dense), len(plan.tickets)) == (2, 4 * 2 * 4)


def test_only_magnitudes_have_a_threshold():
    """A threshold on gradients would be another method."""
    for method in ("random", "snip", "synflow"):
        with pytest.raises(SpecError, match=f'prune.method = "{method}": excludes grid.threshold'):
            make_plan({"threshold": [0.01]}, prune={"method": method})


def test_keys_of_controls_are_pinned():
    """As every key."""
    plan = make_plan(
        {"sparsity": [0.5], "rewind_epoch": [1], "seed": [7], "control": ALL},
        model={"name": "mobilenet_v2", "width": 0.5},
        data={"name": "digits"},
    )
    snip = make_plan({"sparsity": [0.5]}, prune={"method": "snip"})

    found = {control: key_at(plan, **{"prune.control": control}) for control in ALL}
    assert found | {"snip": key_at(snip, sparsity=0.5)} == {
        "ticket": "21730a034b4125e65553",
        "reinit": "8e77e5308123b70ed046",
        "reinit-masked": "ef83bc24fa0070cd2800",
        "random": "291b08378add06b76a9e",
        "random-global": "b3edc65d9630c7432264",
        "fine-tune": "30cbc09185c624ad2425",
        "lr-rewind": "7ec2c1df1efde32f861b",
        "snip": "41d9f639177589508f62",
    }
