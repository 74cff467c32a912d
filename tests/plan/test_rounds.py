"""With `prune.rounds` every sparsity has a separate chain, and chains share equal levels."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lthsweep.errors import SpecError
from lthsweep.plan.estimate import cost_of
from lthsweep.plan.run import Plan, Run
from lthsweep.spec.grid_table import round_sparsities
from tests.plan.cases import key_at, make_plan

SPARSITIES = st.integers(1, 999).map(lambda n: n / 1000)
ROUNDS = st.integers(1, 12)
AXES = st.lists(SPARSITIES, min_size=1, max_size=4, unique=True)
ROUND_AXES = st.lists(ROUNDS, min_size=1, max_size=4, unique=True)


def plan_of(sparsities, rounds, **tables) -> Plan:
    prune = {"schedule": "iterative", **tables.pop("prune", {})}
    grid = {"sparsity": sparsities, "rounds": rounds, **tables.pop("grid", {})}
    return make_plan(grid, prune=prune, **tables)


def chain_to(plan: Plan, key: str) -> list[Run]:
    """The tickets from level 1 to a run."""
    run, chain = plan[key], []
    while run.parent is not None:
        chain.append(run)
        run = plan[run.parent]
    return chain[::-1]


@given(SPARSITIES, ROUNDS)
def test_every_round_removes_the_same_share(sparsity, rounds):
    """1 − (1 − S)^(i/n) after round i, and S itself, to the digit, after the last."""
    levels = round_sparsities(sparsity, rounds)

    assert len(levels) == rounds
    assert levels[-1] == sparsity
    assert all(earlier < later for earlier, later in itertools.pairwise((0, *levels)))
    kept = (1 - sparsity) ** (1 / rounds)
    for earlier, later in itertools.pairwise((0, *levels)):
        assert 1 - later == pytest.approx(kept * (1 - earlier), rel=1e-8)


def test_levels_are_the_numbers_that_a_reader_means():
    """As with { levels, rate }: twelve digits, not the last bits of a power."""
    assert round_sparsities(0.75, 2) == (0.5, 0.75)
    assert round_sparsities(0.488, 3) == (0.2, 0.36, 0.488)
    assert round_sparsities(0.9, 1) == (0.9,)


@given(AXES, ROUND_AXES)
def test_the_last_round_answers_the_cell(sparsities, rounds):
    """Its run is at level n, and the levels before it are those of `round_sparsities`."""
    plan = plan_of(sparsities, rounds)

    for cell in plan.cells:
        chain = chain_to(plan, cell.run)
        assert [run.level for run in chain] == list(range(1, cell["prune.rounds"] + 1))
        assert tuple(run.prune.sparsity for run in chain if run.prune) == round_sparsities(
            cell["sparsity"], cell["prune.rounds"]
        )


@given(AXES, ROUND_AXES)
def test_chains_are_minimal_and_every_run_is_needed(sparsities, rounds):
    """Without any sharing there would be Σ n runs per sparsity; there are never more, and none is idle."""
    plan = plan_of(sparsities, rounds)

    needed = {run.key for cell in plan.cells for run in chain_to(plan, cell.run)}
    assert needed == {run.key for run in plan.tickets}
    assert len(plan.tickets) <= len(sparsities) * sum(rounds)


def test_equal_prefixes_are_trained_once():
    """0.75 in two rounds and 0.875 in three go through the same levels; the cell 0.5 in one round is their first."""
    plan = plan_of([0.5, 0.75, 0.875], [1, 2, 3])

    first, second = (
        key_at(plan, sparsity=0.5, **{"prune.rounds": 1}),
        key_at(plan, sparsity=0.75, **{"prune.rounds": 2}),
    )
    assert [run.key for run in chain_to(plan, key_at(plan, sparsity=0.875, **{"prune.rounds": 3}))][:2] == [
        first,
        second,
    ]
    assert len(plan.tickets) == 18 - 3  # of 3 · (1 + 2 + 3), three levels are ends of other chains


def test_one_round_is_one_shot():
    """The same keys, so either sweep gives the other its tickets."""
    rounds, one_shot = plan_of([0.5, 0.9], [1]), make_plan({"sparsity": [0.5, 0.9]})

    assert rounds.runs.keys() == one_shot.runs.keys()


def test_rounds_equal_levels_of_the_same_rate():
    """A chain over the axis and a chain of rounds that pass through the same sparsities are the same runs."""
    axis = make_plan({"sparsity": [0.5, 0.75, 0.875]}, prune={"schedule": "iterative"})

    assert plan_of([0.875], [3]).runs.keys() == axis.runs.keys()


def test_zero_rounds_leave_the_axis_the_chain():
    """The neutral value: the grid of every file without rounds."""
    grid = {"sparsity": [0.5, 0.75, 0.9], "rewind_epoch": [0, 1]}

    for schedule in ("one-shot", "iterative"):
        without = make_plan(grid, prune={"schedule": schedule})
        assert make_plan(grid, prune={"schedule": schedule, "rounds": 0}).runs.keys() == without.runs.keys()


def test_rounds_need_not_be_an_axis():
    """`prune.rounds = n` gives every sparsity of the grid a chain of n levels."""
    plan = make_plan({"sparsity": [0.5, 0.9]}, prune={"schedule": "iterative", "rounds": 2})

    assert {plan[cell.run].level for cell in plan.cells} == {2}
    assert [axis for axis, _ in plan.cells[0].values] == ["sparsity", "rewind_epoch", "seed"]


def test_sparsity_zero_is_the_dense_run_with_rounds():
    """Nothing is pruned in no round."""
    plan = plan_of([0, 0.5], [1, 3])

    assert key_at(plan, sparsity=0) == plan.dense[0].key


def test_controls_hang_on_the_chain_of_their_ticket():
    """A control is a leaf: the levels before the last are tickets."""
    plan = plan_of([0.9], [3], grid={"control": ["ticket", "reinit", "random"]})

    ticket, *controls = (plan[cell.run] for cell in plan.cells)
    assert {run.parent for run in controls} == {ticket.parent}
    assert len(plan.tickets) == 3 + 2


def test_what_is_chosen_at_initialization_has_no_rounds():
    """Retraining changes nothing that SNIP looks at: every number of rounds is answered by the one-shot ticket."""
    plan = plan_of([0.9], [1, 4], prune={"method": "snip"})

    assert len(plan.tickets) == 1
    assert len({cell.run for cell in plan.cells}) == 1


def test_the_naive_loop_repeats_every_chain():
    """What `plan` prints: per cell a dense run and n levels; with sharing one dense run and each level once."""
    cost = cost_of(plan_of([0.5, 0.75], [1, 2], train={"epochs": 10}))

    assert cost.epochs_naive == 2 * (20 + 30)
    assert cost.epochs == 10 + 10 * 5  # 0.5 in one round is the first level of 0.75 in two


def test_a_grid_of_endless_chains_is_refused():
    """Runs count, not only cells."""
    with pytest.raises(SpecError, match="reached in up to 1,000 rounds"):
        plan_of([n / 2000 for n in range(1, 1002)], [1000])
