from __future__ import annotations

import math

import pytest
from reduce_cases import LAYERS, all_results, make_plan, make_record, result

from lthsweep.reduce.frames import frame_of
from lthsweep.reduce.ticket_rows import ticket_rows
from lthsweep.store.failures import Failure


def table(plan, known=(), failures=None):
    return frame_of(ticket_rows(plan, {one.key: one for one in known}, failures or {}))


def at(frame, **point):
    """The only row of a grid point."""
    for axis, value in point.items():
        frame = frame[frame[axis] == value]
    (row,) = frame.to_dict("records")
    return row


def with_accuracies(plan, accuracies, **more):
    """Results of all runs; `accuracies`: (sparsity or 0, rewind epoch or None, seed) → test accuracy."""
    known = []
    for run in plan.runs.values():
        where = (0, None, run.seed)
        if run.prune is not None:
            where = (run.prune.sparsity, run.prune.point.value, run.seed)
        if where in accuracies:
            known.append(result(make_record(run, accuracy=accuracies[where], **more)))
    return known


GOOD = {
    (0, None, 0): 0.90,
    (0, None, 1): 0.92,
    (0.5, 0, 0): 0.910,
    (0.5, 0, 1): 0.931,
    (0.5, 2, 0): 0.905,
    (0.5, 2, 1): 0.926,
    (0.9, 0, 0): 0.80,
    (0.9, 0, 1): 0.81,
    (0.9, 2, 0): 0.90,
    (0.9, 2, 1): 0.921,
}


def axes_of(frame):
    """The columns before `kind`."""
    return list(frame.columns[: frame.columns.get_loc("kind")])


def test_grid_points_keep_the_order_of_the_file():
    """Missing cells are rows, never silently absent; each row combines the seeds."""
    frame = table(make_plan())

    points = list(zip(frame["sparsity"], frame["rewind_epoch"], strict=True))
    assert points == [(0.0, 0), (0.0, 2), (0.5, 0), (0.5, 2), (0.9, 0), (0.9, 2)]
    assert axes_of(frame) == ["sparsity", "rewind_epoch"]
    assert set(frame["verdict"]) == {"missing"}
    assert (frame["n_missing"] == 2).all()
    assert (frame["n_planned"] == 2).all()


def test_statistics_of_one_point():
    """Means, sd and interval by hand: differences 0.010 and 0.011, t(1, 97.5 %) = 12.7062."""
    plan = make_plan()

    row = at(table(plan, with_accuracies(plan, GOOD)), sparsity=0.5, rewind_epoch=0)

    assert row["n"] == row["n_planned"] == 2
    assert row["dense_accuracy"] == pytest.approx(0.91)
    assert row["ticket_accuracy"] == pytest.approx(0.9205)
    assert row["ticket_sd"] == pytest.approx(0.021 / math.sqrt(2))
    assert row["difference"] == pytest.approx(0.0105)
    assert row["ci_low"] == pytest.approx(0.0105 - 12.7062047 * 0.0005)
    assert row["ci_high"] == pytest.approx(0.0105 + 12.7062047 * 0.0005)
    assert row["pruned_accuracy"] == pytest.approx(0.9205 / 2)
    assert row["seconds_train"] == 12.5


def test_verdicts_of_a_grid():
    """Winning only at k = 0; a dense run matches itself."""
    plan = make_plan(margin=0.01)

    frame = table(plan, with_accuracies(plan, GOOD))

    verdicts = {
        (s, k): v for s, k, v in zip(frame["sparsity"], frame["rewind_epoch"], frame["verdict"], strict=True)
    }
    assert verdicts == {
        (0.0, 0): "matching",
        (0.0, 2): "matching",
        (0.5, 0): "winning",
        (0.5, 2): "matching",
        (0.9, 0): "not matching",
        (0.9, 2): "matching",
    }


@pytest.mark.parametrize(
    ("rewind", "verdict"),
    [("weights", "winning"), ("weights+optimizer", "winning"), ("lr", "matching"), ("none", "matching")],
)
def test_only_rewound_weights_can_win(rewind, verdict):
    """With learning-rate rewinding or fine-tuning, k = 0 does not mean the initial weights."""
    plan = make_plan(prune={"rewind": rewind}, margin=0.01)

    assert at(table(plan, with_accuracies(plan, GOOD)), sparsity=0.5, rewind_epoch=0)["verdict"] == verdict


def test_weights_remaining_and_compression():
    """Remaining counts prunable weights; compression counts all parameters, 1024 over 124 here."""
    plan = make_plan()

    frame = table(plan, all_results(plan))

    ticket = at(frame, sparsity=0.9, rewind_epoch=0)
    assert ticket["weights_remaining"] == 0.1
    assert ticket["compression"] == 1024 / 124
    dense = at(frame, sparsity=0.0, rewind_epoch=0)
    assert dense["weights_remaining"] == dense["compression"] == 1.0
    assert dense["kind"] == "dense"


def test_steps_to_dense_ignores_seeds_that_never_reached():
    """−1 means never; it must not enter a mean."""
    plan = make_plan(sparsity=[0.5], rewind_epoch=[0], seed=[0, 1, 2, 3])
    steps = iter([30, -1, 50, 70])
    known = [
        result(make_record(run, **({} if run.kind == "dense" else {"steps_to_dense": next(steps)})))
        for run in plan.runs.values()
    ]

    (row,) = table(plan, known).to_dict("records")

    assert (row["steps_to_dense"], row["n_reached"]) == (50.0, 3)


def test_steps_never_reached_are_unknown_and_zero():
    """No seed reached dense accuracy: there is no number of steps."""
    plan = make_plan()

    row = at(table(plan, all_results(plan)), sparsity=0.9, rewind_epoch=0)

    assert math.isnan(row["steps_to_dense"])
    assert row["n_reached"] == 0


def test_layers_dead_in_any_seed_are_listed():
    """A layer that dies in one seed of two is shown as dead."""
    plan = make_plan(sparsity=[0.9], rewind_epoch=[0])
    dead = {0: (LAYERS[1],), 1: (LAYERS[1], LAYERS[0])}
    known = [
        result(make_record(run, dead=() if run.kind == "dense" else dead[run.seed]))
        for run in plan.runs.values()
    ]

    (row,) = table(plan, known).to_dict("records")

    assert sorted(row["dead_layers"].split(",")) == sorted(LAYERS[:2])


def test_one_failed_audit_is_a_failed_audit():
    """A row is trusted only if each of its tickets passed."""
    plan = make_plan(sparsity=[0.9], rewind_epoch=[0])
    known = [result(make_record(run, audit_ok=run.seed == 0)) for run in plan.runs.values()]

    assert table(plan, known)["audit_ok"].tolist() == [False]
    assert table(plan, known[:2])["audit_ok"].tolist() == [True]
    assert table(plan)["audit_ok"].isna().tolist() == [True]


def test_a_failed_run_is_a_failed_row():
    """A crash is not a result: without any result the point failed, otherwise the crash is counted."""
    plan = make_plan(sparsity=[0.5, 0.9], rewind_epoch=[0])
    tickets = {(run.prune.sparsity, run.seed): run.key for run in plan.tickets}
    crashed = {tickets[0.9, 0]: Failure("killed"), tickets[0.5, 1]: Failure("killed")}
    known = [one for one in all_results(plan) if one.key not in {*crashed, tickets[0.9, 1]}]

    frame = table(plan, known, crashed)

    assert at(frame, sparsity=0.9)["verdict"] == "failed"
    assert (at(frame, sparsity=0.9)["n_failed"], at(frame, sparsity=0.9)["n_missing"]) == (1, 1)
    assert at(frame, sparsity=0.5)["verdict"] == "undecided"
    assert (at(frame, sparsity=0.5)["n"], at(frame, sparsity=0.5)["n_failed"]) == (1, 1)


def test_tickets_of_a_failed_dense_run_failed():
    """They cannot be trained before the dense run succeeds."""
    plan = make_plan(seed=[0])
    (dense_run,) = plan.dense

    assert set(table(plan, (), {dense_run.key: Failure("killed")})["verdict"]) == {"failed"}


def test_levels_below_a_diverged_level_do_not_match():
    """The chain of levels ends where training diverged: sparser tickets of that seed cannot exist."""
    plan = make_plan(prune={"schedule": "iterative"}, sparsity=[0.5, 0.75, 0.9], rewind_epoch=[0], seed=[0])
    known = []
    for run in plan.runs.values():
        if run.level == 1:
            known.append(result(make_record(run, outcome="diverged")))
        elif run.level == 0:
            known.append(result(make_record(run)))

    frame = table(plan, known)

    assert frame["verdict"].tolist() == ["not matching"] * 3
    assert frame["n_diverged"].tolist() == [1, 1, 1]
    assert frame["level"].tolist() == [1, 2, 3]


def test_tickets_without_dense_records_are_not_compared():
    """A dense run in quarantine leaves its tickets without a pair; that is missing, not a difference."""
    plan = make_plan(sparsity=[0.5], rewind_epoch=[0], seed=[0])
    known = [result(make_record(run)) for run in plan.tickets]

    (row,) = table(plan, known).to_dict("records")

    assert (row["verdict"], row["n"], row["n_missing"]) == ("missing", 0, 1)


def test_records_of_another_grid_never_enter_a_row():
    """A changed recipe is kept apart by its key."""
    plan, other = make_plan(), make_plan(train={"epochs": 8})

    assert table(plan, all_results(other)).equals(table(plan))


def test_dotted_axes_and_iterations_are_columns():
    """Any value of the file can be an axis; rewind points in iterations become epochs."""
    plan = make_plan(
        sparsity=[0.5],
        rewind_epoch=[0, "500it"],
        **{"model.init": ["default", "kaiming_normal"]},
        train={"epochs": 200},
    )

    frame = table(plan)

    assert axes_of(frame) == ["sparsity", "rewind_epoch", "model.init"]
    assert frame["rewind_epoch"].tolist() == [0, 0, 500 / 10, 500 / 10]
    assert frame["rewind_point"].tolist() == ["0", "0", "500it", "500it"]
    assert frame["model.init"].tolist() == ["default", "kaiming_normal"] * 2


def test_threshold_axis_takes_the_place_of_sparsity():
    """Thresholds are a separate axis; weights_remaining has the resulting fraction."""
    plan = make_plan(sparsity=None, threshold=[0.01, 0.1], rewind_epoch=[0])

    frame = table(plan, all_results(plan))

    assert axes_of(frame) == ["threshold", "rewind_epoch"]
    assert frame["weights_remaining"].tolist() == [0.7, 0.7]
