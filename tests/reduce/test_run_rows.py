from __future__ import annotations

import numpy as np
from reduce_cases import LAYERS, all_results, make_plan, make_record, result

from lthsweep.reduce.detail import curve_rows, layer_rows
from lthsweep.reduce.frames import frame_of
from lthsweep.reduce.run_rows import run_rows
from lthsweep.store.failures import Failure


def table(plan, known=(), failures=None):
    return frame_of(run_rows(plan, {one.key: one for one in known}, failures or {})).set_index(
        "key", drop=False
    )


def test_every_planned_run_is_a_row():
    """Runs that wait are rows, parents before children, as in the plan."""
    plan = make_plan()

    frame = table(plan)

    assert frame["key"].tolist() == list(plan.runs)
    assert set(frame["state"]) == {"missing"}
    assert frame["in_plan"].all()
    assert frame["test_accuracy"].isna().all()


def test_each_run_has_a_state():
    """Done and diverged have a record; failed has a cause; the rest is missing."""
    plan = make_plan(sparsity=[0.5, 0.7, 0.9], rewind_epoch=[0], seed=[0])
    dense, diverged, failed, missing = plan.runs.values()
    known = [result(make_record(dense)), result(make_record(diverged, outcome="diverged"))]

    frame = table(plan, known, {failed.key: Failure("killed by signal 9", host="node7", attempt=3)})

    assert frame["state"].tolist() == ["done", "diverged", "failed", "missing"]
    assert frame["outcome"].tolist() == ["finished", "diverged", "", ""]
    assert frame.loc[failed.key, "cause"] == "killed by signal 9"
    assert frame.loc[failed.key, "host"] == "node7"
    assert frame["attempts_failed"].tolist() == [0, 0, 3, 0]
    assert frame.loc[missing.key, "cause"] == ""


def test_a_record_outweighs_a_failure():
    """The failure was of an earlier attempt."""
    plan = make_plan(sparsity=[0.5], rewind_epoch=[0], seed=[0])
    known = all_results(plan)

    frame = table(plan, known, {one.key: Failure("killed") for one in known})

    assert set(frame["state"]) == {"done"}
    assert set(frame["cause"]) == {""}


def test_runs_have_the_values_of_their_axes():
    """A dense run has sparsity 0 and no rewind epoch; a ticket has the values of its cells."""
    plan = make_plan(sparsity=[0.5], rewind_epoch=[1.5], seed=[7])

    dense, ticket = table(plan, all_results(plan)).to_dict("records")

    assert (dense["sparsity"], dense["seed"], dense["level"], dense["parent"]) == (0.0, 7, 0, "")
    assert np.isnan(dense["rewind_epoch"])
    assert (ticket["sparsity"], ticket["rewind_epoch"], ticket["level"]) == (0.5, 1.5, 1)
    assert ticket["trunk"] == ticket["parent"] == dense["key"]
    assert ticket["sparsity_achieved"] == 0.5


def test_dense_runs_have_values_shared_by_all_cells():
    """One dense run serves both scopes, but only one initialization."""
    plan = make_plan(
        sparsity=[0.5],
        rewind_epoch=[0],
        seed=[0],
        **{"model.init": ["default", "kaiming_normal"], "prune.scope": ["global", "layer"]},
    )

    frame = table(plan)

    dense = frame[frame["kind"] == "dense"]
    assert dense["model.init"].tolist() == ["default", "kaiming_normal"]
    assert dense["prune.scope"].tolist() == ["", ""]
    assert sorted(frame[frame["kind"] == "ticket"]["prune.scope"]) == ["global", "global", "layer", "layer"]


def test_records_outside_the_plan_come_last():
    """After a change of the recipe, records outside the plan are shown, marked, and sorted by key."""
    plan, other = make_plan(seed=[0]), make_plan(seed=[3], train={"epochs": 8})
    strangers = all_results(other)

    frame = table(plan, [*all_results(plan), *strangers])

    outside = frame[~frame["in_plan"]]
    assert outside["key"].tolist() == sorted(one.key for one in strangers)
    assert set(outside["state"]) == {"done"}
    assert set(outside["seed"]) == {3}
    for run in other.runs.values():
        row = outside.loc[run.key]
        assert (row["level"], row["trunk"], row["parent"]) == (run.level, run.trunk, run.parent or "")
        assert row["sparsity"] == (0.0 if run.prune is None else run.prune.sparsity)


def test_curves_and_layers_have_the_key():
    """Long tables that join with /runs on key."""
    plan = make_plan(sparsity=[0.9], rewind_epoch=[0], seed=[0])
    known = {one.key: one for one in all_results(plan, epochs=2)}

    curves = frame_of(curve_rows(list(plan.runs), known))
    layers = frame_of(layer_rows(list(plan.runs), known))

    assert curves["key"].tolist() == [key for key in plan.runs for _ in range(2)]
    assert curves["epoch"].tolist() == [1, 2, 1, 2]
    assert curves["train_loss"].tolist() == [1.0, 0.5, 1.0, 0.5]
    assert layers["layer"].tolist() == list(LAYERS) * 2
    assert layers["remaining"].tolist() == [100, 300, 600, 10, 30, 60]


def test_dead_layers_and_audit_are_shown_per_run():
    """Which layers died, and whether the run passed its audit; a dense run has none to pass."""
    plan = make_plan(sparsity=[0.9], rewind_epoch=[0], seed=[0])
    known = [
        result(make_record(run, dead=() if run.kind == "dense" else LAYERS[:1])) for run in plan.runs.values()
    ]

    frame = table(plan, known)

    assert frame["dead_layers"].tolist() == ["", LAYERS[0]]
    assert frame["audit_ok"].isna().tolist() == [True, False]


def test_intermediate_levels_have_their_number_of_rounds():
    """It answers no cell, but it has its number of rounds and can be queried like the others."""
    plan = make_plan(
        sparsity=[0.75, 0.9], rewind_epoch=[0], seed=[0], rounds=[1, 2], prune={"schedule": "iterative"}
    )

    frame = table(plan)

    tickets = frame[frame["kind"] == "ticket"]
    assert (tickets["prune.rounds"] == tickets["level"]).all()
    assert tickets.loc[tickets["sparsity"] == 0.5, "prune.rounds"].tolist() == [1]
    assert frame["prune.rounds"].isna().tolist() == (frame["kind"] == "dense").tolist()
