"""Rows of /structures: filters and weights, each compared with its dense run."""

from __future__ import annotations

import json

import numpy as np
import pytest
from reduce_cases import LAYERS, SIZES, make_plan, make_record, result

from lthsweep.reduce.frames import frame_of
from lthsweep.reduce.structure_rows import structure_rows

METHODS = ["filter", "magnitude"]


def plan_of(**grid):
    return make_plan(**{"sparsity": [0.0, 0.5], "rewind_epoch": [0], "prune.method": METHODS, **grid})


def measured(run):
    """A network of 1,024 parameters; pruning filters keeps half."""
    half = run.prune is not None and run.prune.method == "filter"
    return {
        "accuracy": 0.9 if run.prune is None else 0.8 + run.seed / 100,
        "test_loss": 0.3,
        "params_model": 512 if half else 1024,
        "macs_model": 500 if half else 1000,
        "bytes_model": 2048 if half else 4096,
        "bytes_sparse": 2100.0,
        "seconds_test": (0.1 if half else 0.2) + run.seed,
    }


def rows(plan, *, without=(), **changes):
    found = {}
    for run in plan.runs.values():
        if run.key not in without:
            found[run.key] = result(make_record(run, **{**measured(run), **changes.get(run.key, {})}))
    return frame_of(structure_rows(plan, found, {}))


def test_both_methods_are_compared_with_dense_runs():
    """The required figures: accuracy, loss, size, operations and times, before and after."""
    frame = rows(plan_of())

    assert list(frame["prune.method"]) == METHODS
    assert list(frame["method"]) == METHODS
    assert list(frame["params"]) == [512, 1024]
    assert list(frame["macs"]) == [500, 1000]
    assert list(frame["bytes"]) == [2048, 4096]
    for name, value in {"params": 1024, "macs": 1000, "bytes": 4096, "accuracy": 0.9, "loss": 0.3}.items():
        assert list(frame[f"{name}_dense"]) == [value, value]
    assert frame["accuracy"].to_numpy() == pytest.approx([0.805, 0.805])
    assert list(frame["weights_remaining"]) == [0.5, 0.5]
    assert list(frame["n"]) == [2, 2]


def test_seconds_are_medians_over_seeds():
    """Of the test over the seeds; of an epoch over the epochs first."""
    frame = rows(plan_of(seed=[0, 1, 5]))

    assert list(frame["test_seconds"]) == [1.1, 1.2]
    assert list(frame["test_seconds_dense"]) == [1.2, 1.2]


def test_each_layer_has_its_sparsity():
    """Mean over the seeds, as JSON in the order of the network."""
    found = json.loads(rows(plan_of())["layer_sparsity"][0])

    assert list(found) == list(LAYERS)
    assert found == {name: 1 - round(size / 2) / size for name, size in zip(LAYERS, SIZES, strict=True)}


def test_a_seed_without_both_runs_does_not_count():
    """Before and after are of the same seeds."""
    plan = plan_of()
    ticket = next(run for run in plan.tickets if run.prune.method == "filter" and run.seed == 1)

    frame = rows(plan, without=[ticket.key])

    assert list(frame["n"]) == [1, 2]
    assert frame["accuracy"][0] == 0.8


def test_a_point_without_records_is_an_empty_row():
    """Nothing is silently absent."""
    plan = plan_of()

    frame = frame_of(structure_rows(plan, {}, {}))

    assert list(frame["n"]) == [0, 0]
    assert np.isnan(frame["params"]).all()
    assert list(frame["layer_sparsity"]) == ["", ""]


def test_without_filters_the_table_is_empty():
    """Weight pruning alone changes nothing of the network's structure."""
    plan = make_plan(**{"prune.method": ["magnitude", "random"]})

    frame = rows(plan)

    assert len(frame) == 0
    assert list(frame.columns)[3:] == list(rows(plan_of()).columns)[3:]


def test_records_without_model_size_have_unknown_sizes():
    """They lack these figures, so the table does too."""
    plan = plan_of()
    unknown = {"params_model": float("nan"), "bytes_model": float("nan")}

    frame = rows(plan, **dict.fromkeys(plan.runs, unknown))

    assert np.isnan(frame["params"]).all()
    assert list(frame["macs"]) == [500, 1000]
