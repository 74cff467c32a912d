"""The key of a run hashes all settings that change its result, and nothing else."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lthsweep.plan.keys import KEY_LENGTH, NEUTRAL, canonical, key_of
from tests.plan.cases import key_at, make_plan

GRID = {"sparsity": [0.5, 0.8], "rewind_epoch": [0, 2], "seed": [0, 1]}

SCALARS = (
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats(-1e6, 1e6) | st.text(max_size=5)
)
MANIFESTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def shuffled(value, order):
    if isinstance(value, dict):
        items = [(name, shuffled(item, order)) for name, item in value.items()]
        order.shuffle(items)
        return dict(items)
    return [shuffled(item, order) for item in value] if isinstance(value, list) else value


@given(st.dictionaries(st.text(max_size=5), MANIFESTS, max_size=5), st.integers(0, 999).map(random.Random))
def test_the_order_of_names_does_not_matter(manifest, order):
    """A file's author may order tables and keys as they like."""
    assert key_of(shuffled(manifest, order)) == key_of(manifest)


@given(st.dictionaries(st.text(max_size=5), MANIFESTS, max_size=5))
def test_json_does_not_change_the_key(manifest):
    """Records keep the manifest as JSON, and doctor hashes it again."""
    assert key_of(json.loads(json.dumps(manifest))) == key_of(manifest)


def test_one_equals_one_point_zero_but_not_true():
    """TOML distinguishes 1 from 1.0; lr = 1 and lr = 1.0 mean the same training."""
    assert canonical({"lr": 1.0}) == canonical({"lr": 1}) == '{"lr":1}'
    assert canonical({"nesterov": True}) == '{"nesterov":true}'
    assert canonical({"decay": -0.0}) == canonical({"decay": 0})
    assert canonical({"lr": 0.1}) == '{"lr":0.1}'


def test_a_number_that_is_none_has_no_key():
    """NaN differs from itself, so it can name nothing."""
    with pytest.raises(ValueError, match="JSON"):
        key_of({"lr": float("nan")})


def test_neutral_values_do_not_change_keys():
    """An option that is added later must not rename the runs of old sweeps."""
    old = {"kind": "dense", "train": {"lr": 0.1}}
    neutral = {"train.ema": 0.0, "prune.kinds": (), "train.fast": False}
    new = {"kind": "dense", "train": {"lr": 0.1, "ema": 0, "fast": False}, "prune": {"kinds": []}}

    assert key_of(new | {"prune": {}}, neutral) != key_of(old)  # an empty table is still a table
    assert key_of({**old, "train": new["train"]}, neutral) == key_of(old)
    assert key_of({**old, "train": {"lr": 0.1, "ema": 0.9}}, neutral) != key_of(old)
    assert key_of({**old, "train": {"lr": 0.1, "fast": True}}, neutral) != key_of(old)
    assert canonical(new, neutral) == '{"kind":"dense","prune":{},"train":{"lr":0.1}}'


def test_zero_is_not_false_for_neutral_values():
    """Python calls them equal; two different settings must never share a key."""
    assert canonical({"a": False}, {"a": 0}) == '{"a":false}'
    assert canonical({"a": 0}, {"a": False}) == '{"a":0}'
    assert canonical({"a": 0.0}, {"a": 0}) == "{}"


def test_no_option_is_neutral_before_the_first_release():
    """Each entry renames no run of a published sweep; nothing has been published yet."""
    assert NEUTRAL == {}


def keys(grid=GRID, **tables):
    plan = make_plan(grid, **tables)
    return {tuple(sorted(map(str, cell.values))): cell.run for cell in plan.cells}


@pytest.mark.parametrize(
    "tables",
    [
        {"local": {"workers": 7, "threads": 3, "devices": ["cuda:0"], "checkpoint_seconds": 5}},
        {"slurm": {"profile": "generic", "partition": "gpu"}},
        {"verdict": {"margin": 0.01, "confidence": 0.9}},
        {"train": {"fuse": 8}},
    ],
    ids=["local", "slurm", "verdict", "fuse"],
)
def test_launch_settings_do_not_change_keys(tables):
    """The same key on a laptop and on a cluster, and a verdict that is changed trains nothing."""
    assert keys(**tables) == keys()


def test_the_order_of_axes_does_not_change_keys():
    """The rest of the grid does not change the result of a cell."""
    order = random.Random(0)
    for schedule in ("one-shot", "iterative"):
        prune = {"schedule": schedule}
        expected = keys(prune=prune)
        for _ in range(5):
            grid = {axis: order.sample(values, len(values)) for axis, values in GRID.items()}
            grid = dict(order.sample(list(grid.items()), len(grid)))
            assert keys(grid, prune=prune) == expected


def test_a_grid_that_grows_keeps_its_keys():
    """A larger grid trains only new runs; an iterative chain keeps the prefix below the new level."""
    bigger = {"sparsity": [0.5, 0.8, 0.9], "rewind_epoch": [0, 1, 2], "seed": [0, 1, 2]}
    for schedule in ("one-shot", "iterative"):
        old, new = (make_plan(grid, prune={"schedule": schedule}).runs.keys() for grid in (GRID, bigger))
        assert old < new

    inserted = make_plan({**GRID, "sparsity": [0.5, 0.7, 0.8]}, prune={"schedule": "iterative"}).runs.keys()
    assert (
        len(make_plan(GRID, prune={"schedule": "iterative"}).runs.keys() - inserted) == 4
    )  # the old level 2


def test_written_defaults_equal_omitted_ones():
    """The manifest is resolved before it is hashed."""
    train = {"epochs": 10, "batch_size": 128, "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9}}
    prune = {"method": "magnitude", "scope": "global", "exclude": []}

    assert keys(train=train, prune=prune) == keys()


@pytest.mark.parametrize(
    "tables",
    [
        {"train": {"epochs": 11}},
        {"train": {"batch_size": 64}},
        {"train": {"precision": "bf16"}},
        {"train": {"label_smoothing": 0.1}},
        {"train": {"group_lasso": 1e-4}},
        {"train": {"optimizer": {"name": "adam"}}},
        {"train": {"schedule": {"name": "cosine"}}},
        {"train": {"schedule": {"name": "constant", "warmup": 0.5}}},
        {"model": {"name": "lenet_300_100", "init": "xavier_normal"}},
        {"data": {"name": "mnist", "validation": 4000}},
        {"data": {"name": "mnist", "train_images": 10000}},
        {"data": {"name": "mnist", "augment": "crop"}},
        {"data": {"name": "mnist", "normalize": "none"}},
    ],
    ids=str,
)
def test_what_changes_dense_training_changes_every_key(tables):
    """A key that stayed would pass off an old result as a new one."""
    assert not set(keys(**tables).values()) & set(keys().values())


@pytest.mark.parametrize(
    "prune",
    [
        {"method": "random"},
        {"method": "filter"},
        {"scope": "layer"},
        {"rewind": "weights+optimizer"},
        {"rewind": "lr"},
        {"rewind": "none"},
        {"exclude": ["fc3"]},
        {"scope": "layer", "rates": {"fc3": 0.5}},
    ],
    ids=str,
)
def test_pruning_settings_change_tickets_but_not_dense_runs(prune):
    """Dense runs are shared over everything that happens after them."""
    grid = GRID | {"rewind_epoch": [1, 2]}  # at initialization there is no optimizer's state to return
    plain, changed = make_plan(grid), make_plan(grid, prune=prune)

    assert plain.runs.keys() & changed.runs.keys() == {run.key for run in plain.dense}


def test_the_key_has_the_budget_not_its_spelling():
    """The result of a run depends on its time; 90s and 1.5m are the same."""
    grid = GRID | {"time": ["90s", "2m"], "prune.max_rounds": [5, 10]}
    plain, budgets = make_plan(GRID), make_plan(grid, prune={"schedule": "budget"})
    otherwise = make_plan(grid | {"time": ["1.5m", "120s"]}, prune={"schedule": "budget"})

    assert plain.runs.keys() & budgets.runs.keys() == {run.key for run in plain.dense}
    assert len(budgets.cells) == 2 * 2 * len(plain.cells)
    assert len(budgets.tickets) == 2 * 2 * len(plain.tickets)
    assert all(run.parent == run.trunk for run in budgets.tickets)
    assert otherwise.runs.keys() == budgets.runs.keys()


def test_order_and_repetition_of_exclusions_do_not_matter():
    """They are a set of patterns."""
    first, second = (keys(prune={"exclude": names}) for names in (["fc1", "fc3"], ["fc3", "fc1", "fc3"]))

    assert first == second


def test_a_threshold_has_no_scope():
    """One number for all layers: scope "layer" would compute the same ticket again."""
    grid = {"threshold": [0.01]}

    assert keys(grid, prune={"scope": "layer"}) == keys(grid, prune={"scope": "global"})


def test_at_initialization_there_is_no_optimizer_to_rewind():
    """No optimizer has a state before its first step, so both ways of rewinding compute the same ticket."""
    at_start, later = (
        make_plan({"sparsity": [0.5], "rewind_epoch": [k], "prune.rewind": ["weights", "weights+optimizer"]})
        for k in (0, 1)
    )

    assert len(at_start.cells) == len(later.cells) == 2
    assert len(at_start.tickets) == 1
    assert len(later.tickets) == 2


def test_the_key_has_the_source_not_the_path():
    """The same files have another path on a cluster, and other files can have the same path."""
    sources = {"a": "0" * 64, "b": "1" * 64}
    here, there, other, pending = (
        keys(
            data={"name": "image_folder", "path": path},
            sources={f"image_folder path={path} size=32": sources[content]} if content else {},
        )
        for path, content in (
            ("/home/me/birds", "a"),
            ("/n/lab/birds.zip", "a"),
            ("/home/me/birds", "b"),
            ("/home/me/birds", ""),
        )
    )

    assert here == there
    assert not set(here.values()) & set(other.values())
    assert not set(here.values()) & set(pending.values())


def test_epochs_and_iterations_are_kept_apart():
    """An epoch is another number of iterations at another batch size; only initialization is one point."""
    epochs, iterations, zero = (
        key_at(make_plan({"sparsity": [0.5], "rewind_epoch": [point]}), sparsity=0.5)
        for point in (1, "429it", "0it")
    )

    assert epochs != iterations
    assert zero == key_at(make_plan({"sparsity": [0.5], "rewind_epoch": [0]}), sparsity=0.5)


def test_keys_are_pinned():
    """A moved key orphans every record ever made: if this fails, CHANGELOG must say so first.

    A new option belongs into `NEUTRAL`, and then these stay.
    """
    digits = {"name": "digits"}
    mobilenet = {"name": "mobilenet_v2", "width": 0.5}
    grid = {"sparsity": [0.5, 0.8], "rewind_epoch": [1], "seed": [7]}

    one_shot = make_plan(grid, model=mobilenet, data=digits)
    iterative = make_plan(grid, model=mobilenet, data=digits, prune={"schedule": "iterative"})
    threshold = make_plan({"threshold": [0.01], "rewind_epoch": ["20it"]}, model=mobilenet, data=digits)
    lr_rewind = make_plan(grid, model=mobilenet, data=digits, prune={"rewind": "lr", "scope": "layer"})
    dotted = make_plan({"sparsity": [0.5], "train.optimizer.lr": [0.025]}, model=mobilenet, data=digits)

    assert KEY_LENGTH == 20
    assert {
        "dense": one_shot.dense[0].key,
        "ticket": key_at(one_shot, sparsity=0.5),
        "level 2": key_at(iterative, sparsity=0.8),
        "threshold": key_at(threshold, threshold=0.01),
        "lr": key_at(lr_rewind, sparsity=0.8),
        "dotted": key_at(dotted, sparsity=0.5),
    } == {
        "dense": "27297e28e7fc54c4afc9",
        "ticket": "21730a034b4125e65553",
        "level 2": "0f9ed0b661f258c977fd",
        "threshold": "f4e504f867ed0623f025",
        "lr": "3fc083a41891578ae615",
        "dotted": "a901966535652bbbc00e",
    }
