"""A run is named by the start of its key or by its cell; wrong or ambiguous names are errors, never guesses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lthsweep.errors import SpecError, UnknownNameError
from lthsweep.plan.find import find_run
from tests.plan.cases import make_plan

GRID = {"sparsity": [0.5, 0.8], "rewind_epoch": [0, 1, "30it"], "seed": [0, 1]}
PLAN = make_plan(GRID)


def written(cell):
    return ",".join(f"{name}={value}" for name, value in cell.values)


@given(st.sampled_from(PLAN.cells))
def test_every_written_cell_finds_its_run(cell):
    assert find_run(PLAN, written(cell)).key == cell.run


def test_the_beginning_of_a_key_is_enough():
    assert find_run(PLAN, PLAN.dense[0].key[:8]) is PLAN.dense[0]


def test_number_formats_and_spaces_do_not_matter():
    assert find_run(PLAN, "sparsity=0.80, rewind_epoch=1.0, seed=0") is find_run(
        PLAN, "seed=0,rewind_epoch=1,sparsity=8e-1"
    )


def test_sparsity_0_always_finds_the_dense_run():
    assert find_run(PLAN, "sparsity=0,seed=1") is PLAN.dense[1]


def test_dotted_axes_can_be_searched():
    plan = make_plan({"sparsity": [0.5], "prune.scope": ["global", "layer"], "model.init": ["default"]})

    found = find_run(plan, "prune.scope=layer")

    assert found.key == next(cell.run for cell in plan.cells if cell["prune.scope"] == "layer")


def test_axes_have_their_names_of_the_file():
    plan = make_plan({"sparsity": [0.5], "control": ["ticket", "reinit"]})

    assert find_run(plan, "control=reinit") is find_run(plan, "prune.control=reinit")


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        ("zz", "`lthsweep plan SWEEP --runs` lists the keys"),
        ("zz", "sparsity=0.8,rewind_epoch=30it,seed=1"),
        ("", "begins 14 runs"),
        ("", "and 4 more; write more of the key"),
        ("sparsity=0.7,seed=0", "its grid has sparsity = 0.5, 0.8; seed = 0, 1"),
        ("sparsity=0.8,seed=0", "means 3 runs"),
        ("sparsity=0.8,seed=0", "add rewind_epoch"),
        ("sparsity=0.8,0.5", "is not an axis with a value"),
        ("sparsity=,seed=0", "is not an axis with a value"),
        ("sparsity=0", "means 2 runs"),
    ],
)
def test_unknown_or_ambiguous_names_get_suggestions(given, answer):
    with pytest.raises(SpecError) as refusal:
        find_run(PLAN, given)

    assert answer in str(refusal.value)


def test_an_axis_that_is_there_twice_names_nothing():
    """`cancel` would otherwise cancel an unintended run."""
    with pytest.raises(SpecError, match="sparsity is there twice"):
        find_run(PLAN, "sparsity=0.5,sparsity=0.8")


def test_an_unknown_axis_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'sparsity'"):
        find_run(PLAN, "sparsty=0.8")
