"""The grid becomes cells and runs, sharing what the protocol allows and no more."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lthsweep.errors import SpecError
from lthsweep.plan.run import Plan
from tests.plan.cases import key_at, make_plan

SPARSITIES = st.lists(st.integers(0, 99).map(lambda n: n / 100), min_size=1, max_size=5, unique=True)
REWINDS = st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True)
SEEDS = st.lists(st.integers(0, 2**40), min_size=1, max_size=3, unique=True)
SCHEDULES = st.sampled_from(["one-shot", "iterative"])


@given(SPARSITIES, REWINDS, SEEDS, SCHEDULES)
def test_every_cell_occurs_once_and_has_a_run(sparsities, rewinds, seeds, schedule):
    """A cell that is silently absent would be a hole in the table."""
    plan = make_plan(
        {"sparsity": sparsities, "rewind_epoch": rewinds, "seed": seeds}, prune={"schedule": schedule}
    )

    found = [tuple(value for _, value in cell.values) for cell in plan.cells]
    assert found == list(itertools.product(sparsities, rewinds, seeds))
    assert [axis for axis, _ in plan.cells[0].values] == ["sparsity", "rewind_epoch", "seed"]
    for cell in plan.cells:
        run = plan[cell.run]
        assert run.seed == cell["seed"]
        if cell["sparsity"] == 0:
            assert run.kind == "dense"
        else:
            assert run.prune is not None
            assert (run.prune.sparsity, run.prune.point.value) == (cell["sparsity"], cell["rewind_epoch"])


@given(SPARSITIES, REWINDS, SEEDS, SCHEDULES)
def test_every_cell_has_one_ticket(sparsities, rewinds, seeds, schedule):
    """Nothing is trained twice: one dense run per seed, and the cells of sparsity 0 are the dense run."""
    plan = make_plan(
        {"sparsity": sparsities, "rewind_epoch": rewinds, "seed": seeds}, prune={"schedule": schedule}
    )

    above_zero = sum(sparsity > 0 for sparsity in sparsities)
    assert len(plan.dense) == len(seeds)
    assert len(plan.tickets) == len(seeds) * len(rewinds) * above_zero
    assert len(plan.runs) == len(plan.dense) + len(plan.tickets)
    check_order(plan)


def check_order(plan: Plan) -> None:
    seen: set[str] = set()
    for key, run in plan.runs.items():
        assert key == run.key
        if run.kind == "dense":
            assert (run.trunk, run.parent, run.level, run.prune) == (key, None, 0, None)
        else:
            assert run.parent in seen
            assert run.trunk in seen
            assert plan[run.parent].trunk == run.trunk
            assert run.level == plan[run.parent].level + 1
        seen.add(key)


def test_iterative_levels_are_sorted_by_sparsity():
    """Pruned weights never come back, so the chain is the sorted axis; zero is its dense run."""
    plan = make_plan({"sparsity": [0.8, 0.0, 0.5, 0.9]}, prune={"schedule": "iterative"})

    chain = [plan[key_at(plan, sparsity=amount)] for amount in (0.0, 0.5, 0.8, 0.9)]
    assert [run.level for run in chain] == [0, 1, 2, 3]
    assert [run.parent for run in chain] == [None, *(run.key for run in chain[:-1])]
    assert {run.trunk for run in chain} == {chain[0].key}


def test_level_one_is_the_one_shot_ticket():
    """The same computation has one key, so a one-shot sweep gives an iterative one its first level."""
    grid = {"sparsity": [0.5, 0.8], "rewind_epoch": [0, 2]}
    one_shot, iterative = (
        make_plan(grid, prune={"schedule": schedule}) for schedule in ("one-shot", "iterative")
    )

    for point in (0, 2):
        first = {"sparsity": 0.5, "rewind_epoch": point}
        assert key_at(one_shot, **first) == key_at(iterative, **first)
        second = {"sparsity": 0.8, "rewind_epoch": point}
        assert key_at(one_shot, **second) != key_at(iterative, **second)


def test_one_shot_rewind_points_share_the_dense_run():
    """Their masks are the same by construction: the parent is the dense run, and k is no part of the ranking."""
    plan = make_plan({"sparsity": [0.5, 0.9], "rewind_epoch": [0, 1, "30it"]})

    assert {run.parent for run in plan.tickets} == {plan.dense[0].key}
    assert {run.level for run in plan.tickets} == {1}


def test_ways_of_pruning_share_their_dense_runs():
    """How a network is pruned changes nothing of its dense training."""
    plan = make_plan(
        {
            "sparsity": [0.5],
            "seed": [0, 1],
            "prune.scope": ["global", "layer"],
            "prune.rewind": ["weights", "lr", "none"],
        }
    )

    assert len(plan.cells) == 12
    assert len(plan.dense) == 2
    assert len(plan.tickets) == 12
    check_order(plan)


def test_variants_of_the_recipe_have_separate_dense_runs():
    """Another learning rate is another dense training."""
    plan = make_plan(
        {"sparsity": [0.5], "train.optimizer.lr": [0.1, 0.2], "model.init": ["default", "xavier_normal"]}
    )

    assert len(plan.dense) == 4
    lrs = {cell["train.optimizer.lr"]: plan[cell.run].recipe.train["optimizer"]["lr"] for cell in plan.cells}
    assert lrs == {0.1: 0.1, 0.2: 0.2}
    inits = {(cell["model.init"], plan[cell.run].recipe.model["init"]) for cell in plan.cells}
    assert inits == {("default", "default"), ("xavier_normal", "xavier_normal")}


def test_equivalent_variants_share_runs():
    """Padding does nothing where nothing is cropped, so both cells are answered by one training."""
    plan = make_plan({"sparsity": [0.5], "data.padding": [2, 4]}, data={"name": "mnist", "augment": "none"})

    assert len(plan.cells) == 2
    assert len(plan.runs) == 2
    cropped = make_plan(
        {"sparsity": [0.5], "data.padding": [2, 4]}, data={"name": "mnist", "augment": "crop"}
    )
    assert len(cropped.runs) == 4


def test_threshold_grids_have_no_sparsity():
    """The two axes exclude each other; a threshold of 0 prunes weights that are exactly zero and is not a dense run."""
    plan = make_plan({"threshold": [0.0, 0.01]})

    assert [cell["threshold"] for cell in plan.cells] == [0.0, 0.01]
    assert [run.prune and (run.prune.threshold, run.prune.sparsity) for run in plan.tickets] == [
        (0.0, None),
        (0.01, None),
    ]
    with pytest.raises(KeyError):
        plan.cells[0]["sparsity"]


def test_snapshots_are_asked_for_only_where_weights_return():
    """Fine-tuning and learning-rate rewinding keep the parent's weights, so their dense runs need no snapshot."""
    grid = {"sparsity": [0.5, 0.8], "rewind_epoch": [0, 1, "30it"], "prune.rewind": ["weights", "lr"]}
    plan = make_plan(grid)

    (points,) = plan.rewind_points().values()
    assert sorted(map(str, points)) == ["0", "1", "30it"]
    assert list(make_plan({"sparsity": [0.5]}, prune={"rewind": "none"}).rewind_points().values()) == [()]


def test_runs_say_what_they_are_in_one_line():
    """The line is what progress displays and logs show."""
    plan = make_plan({"threshold": [0.01], "rewind_epoch": ["500it"], "seed": [3]})

    assert [run.describe() for run in plan.runs.values()] == [
        "dense seed 3",
        "ticket threshold 0.01 rewind 500it seed 3",
    ]


@pytest.mark.parametrize(
    ("point", "data"),
    [
        ("4290it", {"name": "mnist"}),  # 55,000 images at 128: 429 steps, 10 epochs
        ("99999it", {"name": "mnist"}),
        (9.999, {"name": "mnist"}),  # rounds to the last step
        ("110it", {"name": "digits"}),
    ],
)
def test_rewind_points_at_the_end_are_refused(point, data):
    """Found when the file is expanded, not by each of its tickets after the dense run was trained."""
    with pytest.raises(SpecError, match=r"grid\.rewind_epoch.*nothing is left to train"):
        make_plan({"sparsity": [0.5], "rewind_epoch": [point]}, data=data, train={"batch_size": 128})


def test_the_penultimate_step_is_a_rewind_point():
    """One step is left: absurd, but not wrong."""
    plan = make_plan({"sparsity": [0.5], "rewind_epoch": ["4289it"]})

    assert plan.tickets[0].prune is not None
    assert plan.tickets[0].prune.point.step(429) == 4289


@pytest.mark.parametrize(
    ("data", "train", "expected"),
    [
        ({"name": "digits", "validation": 1437}, {}, r"data\.validation = 1437"),
        ({"name": "digits", "validation": 5000}, {}, r"data\.validation = 5000"),
        ({"name": "digits", "validation": 1400}, {"batch_size": 64}, r"train\.batch_size = 64"),
    ],
)
def test_a_split_that_leaves_no_batch_is_refused(data, train, expected):
    """The size of a known data set is known before any file is read."""
    with pytest.raises(SpecError, match=expected):
        make_plan({"sparsity": [0.5]}, data=data, train=train)


def test_a_folder_of_images_is_not_measured_beforehand(tmp_path):
    """Its size is in the user's files; a point in iterations can only be judged by the run."""
    data = {"name": "image_folder", "path": str(tmp_path)}

    plan = make_plan({"sparsity": [0.5], "rewind_epoch": ["99999it"]}, data=data)

    assert len(plan.runs) == 2


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            {"name": "mnist", "train_images": 55_001},
            "mnist has 55000 training samples in addition to the 5000 held out",
        ),
        ({"name": "digits", "train_images": 100}, "100 training samples of digits make no batch"),
        ({"name": "image_folder", "path": "x", "train_images": 100}, "make no batch; lower it"),
    ],
    ids=str,
)
def test_parts_smaller_than_a_batch_are_refused(data, expected):
    """If the size of the data set is known beforehand; otherwise a worker reports it."""
    with pytest.raises(SpecError, match=expected):
        make_plan({"sparsity": [0.5]}, data=data)


def test_rewind_points_are_checked_against_the_training_part():
    """With a part, the length of an epoch is known for a folder of images too."""
    data = {"name": "image_folder", "path": "x", "train_images": 1280}

    make_plan({"sparsity": [0.5], "rewind_epoch": ["99it"]}, data=data)
    with pytest.raises(SpecError, match="100it is step 100 of the 100 in 10 epochs"):
        make_plan({"sparsity": [0.5], "rewind_epoch": ["100it"]}, data=data)
