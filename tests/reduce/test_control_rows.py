"""Ticket minus control: paired over seeds, one row per control of a grid point."""

from __future__ import annotations

import numpy as np
import pytest
from reduce_cases import all_results, make_plan, make_record, result

from lthsweep.reduce.control_rows import control_rows, control_verdict
from lthsweep.reduce.decision import PairedDifference
from lthsweep.reduce.frames import frame_of
from lthsweep.reduce.merge import reduce_records
from lthsweep.reduce.run_result import ResultState
from lthsweep.reduce.run_rows import run_rows
from lthsweep.reduce.ticket_rows import ticket_rows
from lthsweep.store.failures import Failure

CONTROLS = ["ticket", "reinit", "random", "fine-tune"]


def plan_of(**changes):
    return make_plan(**({"sparsity": [0.0, 0.5], "rewind_epoch": [0], "control": CONTROLS} | changes))


def known(plan, accuracies, **more):
    """Results; `accuracies`: role → accuracy per seed, the dense run's under "dense"."""
    return {
        run.key: result(make_record(run, accuracy=accuracies[role_of(run)][run.seed], **more))
        for run in plan.runs.values()
        if role_of(run) in accuracies
    }


def role_of(run):
    return "dense" if run.prune is None else run.prune.role


def rows(plan, found=None, failures=None):
    return frame_of(control_rows(plan, found or {}, failures or {}))


GOOD = {
    "dense": (0.90, 0.92),
    "ticket": (0.91, 0.93),
    "reinit": (0.880, 0.901),
    "random": (0.910, 0.9302),
    "fine-tune": (0.90, 0.95),
}


def test_without_controls_the_table_is_empty():
    """So that a query is answered, with nothing."""
    frame = rows(make_plan())

    assert len(frame) == 0
    assert list(frame.columns) == [*("sparsity", "rewind_epoch"), *list(rows(plan_of()).columns)[2:]]


def test_each_control_of_a_point_is_a_row():
    """Missing ones are rows too; the dense run is compared with no control."""
    frame = rows(plan_of())

    assert list(zip(frame["sparsity"], frame["control"], strict=True)) == [
        (0.5, "reinit"),
        (0.5, "random"),
        (0.5, "fine-tune"),
    ]
    assert set(frame["verdict"]) == {"missing"}
    assert "prune.control" not in frame.columns


def test_differences_are_paired_by_seed():
    """By hand: ticket − reinit is 0.030 and 0.029."""
    plan = plan_of()

    reinit, random, fine = rows(plan, known(plan, GOOD)).to_dict("records")

    expected = PairedDifference.of([0.029, 0.030], 0.95)
    assert reinit["difference"] == pytest.approx(0.0295)
    assert (reinit["ci_low"], reinit["ci_high"]) == pytest.approx((expected.low, expected.high))
    assert (reinit["n"], reinit["n_planned"]) == (2, 2)
    assert (reinit["ticket_accuracy"], reinit["control_accuracy"]) == pytest.approx((0.92, 0.8905))
    assert reinit["weights_remaining"] == 0.5
    assert [one["verdict"] for one in (reinit, random, fine)] == ["better", "equal", "undecided"]


@pytest.mark.parametrize(
    ("values", "states", "verdict"),
    [
        ([], {ResultState.MISSING}, "missing"),
        ([], {ResultState.MISSING, ResultState.FAILED}, "failed"),
        ([], {ResultState.DIVERGED, ResultState.DONE}, "undecided"),
        ([0.3], {ResultState.DONE, ResultState.MISSING}, "undecided"),
        ([0.3, 0.3], {ResultState.DONE}, "undecided"),
        ([0.3, 0.3, 0.3], {ResultState.DONE}, "better"),
        ([-0.3, -0.31, -0.29], {ResultState.DONE}, "worse"),
        ([0.001, 0.0011, 0.001], {ResultState.DONE}, "equal"),
        ([0.3, 0.31, 0.29], {ResultState.DONE, ResultState.DIVERGED}, "undecided"),
        ([0.3, -0.3, 0.0], {ResultState.DONE}, "undecided"),
    ],
)
def test_control_verdict_by_hand(values, states, verdict):
    """Equal needs the whole interval within the margin, better the whole interval on one side."""
    assert control_verdict(PairedDifference.of(values, 0.95), states, 0.002) == verdict


def test_a_failed_control_has_the_verdict_failed():
    """A crash is not a result."""
    plan = plan_of(control=["ticket", "reinit"])
    controls = [run.key for run in plan.tickets if role_of(run) == "reinit"]
    found = {key: one for key, one in known(plan, GOOD).items() if key not in controls}

    (row,) = rows(plan, found, dict.fromkeys(controls, Failure("killed"))).to_dict("records")

    assert (row["verdict"], row["n"]) == ("failed", 0)
    assert np.isnan(row["difference"])


def test_reinit_is_compared_at_every_rewind_epoch():
    """One run of fresh weights answers all of them; in the table of runs it has no rewind epoch."""
    plan = plan_of(rewind_epoch=[0, 2], control=["ticket", "reinit"])

    frame = rows(plan, {one.key: one for one in all_results(plan)})
    runs = frame_of(run_rows(plan, {}, {}))

    assert frame["rewind_epoch"].tolist() == [0, 2]
    assert frame["n"].tolist() == [2, 2]
    assert runs[runs["control"] == "reinit"]["rewind_epoch"].isna().all()
    assert frame["control_accuracy"].nunique() == 1


def test_further_axes_stay_apart():
    """A control is compared with the ticket of the same recipe."""
    plan = plan_of(control=["ticket", "random"], **{"model.init": ["default", "kaiming_normal"]})

    assert rows(plan)["model.init"].tolist() == ["default", "kaiming_normal"]


def test_controls_without_their_tickets_are_not_compared():
    """There is nothing to pair them with; the table of tickets still compares them with dense."""
    assert len(rows(plan_of(control=["reinit", "random"]))) == 0


def test_roles_and_methods_are_always_columns():
    """`prune.rewind = "none"` is fine-tuning under its older name."""
    plan = make_plan(sparsity=[0.0, 0.5], rewind_epoch=[0], prune={"rewind": "none", "method": "random"})

    tickets, runs = frame_of(ticket_rows(plan, {}, {})), frame_of(run_rows(plan, {}, {}))

    assert tickets["control"].tolist() == ["", "fine-tune"]
    assert tickets["method"].tolist() == ["", "random"]
    assert sorted(set(runs["control"])) == ["", "fine-tune"]


def test_only_a_ticket_wins():
    """A matching control at k = 0 matches; winning applies only to the ticket's weights under the ticket's mask."""
    plan = plan_of(margin=0.5)
    good = dict.fromkeys(GOOD, (0.9, 0.91)) | {"ticket": (0.9, 0.92), "reinit": (0.9, 0.915)}
    good |= {"random": (0.9, 0.915), "fine-tune": (0.9, 0.915)}

    frame = frame_of(ticket_rows(plan, known(plan, good), {}))

    verdicts = dict(zip(frame["control"], frame["verdict"], strict=True))
    assert verdicts == {"": "matching", "ticket": "winning"} | dict.fromkeys(CONTROLS[1:], "matching")


def test_levels_with_controls_are_tickets():
    """Its axis has the value, although the cells of its children do not."""
    plan = make_plan(
        sparsity=[0.5, 0.9], rewind_epoch=[0], seed=[0], control=["reinit"], prune={"schedule": "iterative"}
    )

    runs = frame_of(run_rows(plan, {}, {}))

    assert runs["control"].tolist() == ["", "reinit", "ticket", "reinit"]
    assert runs["prune.control"].tolist()[1:] == ["reinit", "ticket", "reinit"]


def test_records_outside_the_plan_have_their_role():
    """By their manifests."""
    plan, other = make_plan(), plan_of(sparsity=[0.7], seed=[0])
    found = {one.key: one for one in all_results(other) if one.key not in plan.runs}

    runs = frame_of(run_rows(plan, found, {}))

    strangers = runs[~runs["in_plan"]]
    assert sorted(strangers["control"]) == ["fine-tune", "random", "reinit", "ticket"]
    assert set(strangers["method"]) == {"magnitude"}


def test_the_bytes_are_a_function_of_the_records():
    """As of the whole table."""
    plan = plan_of()
    found = list(known(plan, GOOD).values())

    one, other = (reduce_records(plan, order).tables["controls"] for order in (found, found[::-1]))

    assert one.tobytes() == other.tobytes()
