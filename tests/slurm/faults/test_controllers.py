"""SLURM down, partly down, or at its limits: silence is not an answer, and a refusal is not a result."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

SLOW = 0.15
"""Seconds of a step until the fault has happened: a run lasts a minute."""


def test_slurmctld_restarts_in_the_middle(make, as_if_undisturbed, row):
    """Jobs continue without it; a `run` meanwhile reports that SLURM does not answer, and nothing is lost."""
    ours = make()
    ours.pace(SLOW)
    ours.run()
    ours.wait_for_checkpoint(1)
    ours.cluster.ctld_kill()
    output = ours.run(code=3)
    ours.pace(0)
    ours.wait_done()
    ours.cluster.ctld_start()
    ours.wait_for(ours.sweep.table.exists)

    assert "controller" in output
    as_if_undisturbed(ours)
    ours.assert_nothing_counts_against_it()
    assert ours.interruptions() == 0
    row(
        "slurmctld down from the first checkpoint to the last record",
        ours,
        "jobs go on, the controller job merges",
    )


def test_slurmdbd_is_down_from_beginning_to_end(make, as_if_undisturbed, row):
    """Accounting is optional for every decision."""
    ours = make(timed=False)
    ours.cluster.dbd_kill()
    ours.run()
    ours.wait_done()
    ours.wait_for(ours.sweep.table.exists)

    as_if_undisturbed(ours)
    assert ours.interruptions() == 0
    row("slurmdbd stopped for the whole sweep", ours, "as without the fault")


def test_a_cluster_without_accounting(make, cluster_of, as_if_undisturbed, row):
    ours = make(on=cluster_of(accounting=False), timed=False)
    ours.pace(SLOW)
    ours.run()
    ours.wait_for_checkpoint(1)
    ours.cluster.run("scancel", "--signal=KILL", ours.training()[-1].job)
    ours.wait_for_checkpoint(2)
    ours.pace(0)
    ours.wait_done()
    ours.wait_for(ours.sweep.table.exists)

    as_if_undisturbed(ours)
    ours.assert_nothing_counts_against_it()
    ours.assert_little_was_repeated()
    row("no accounting at all, and SIGKILL to the job", ours, "as with accounting")


def test_limits_far_below_the_grid(make, cluster_of, row):
    """Arrays of five and six jobs in the queue for 48 cells: the workers there are pull all runs."""
    ours = make(
        on=cluster_of(max_array=5, max_submit=6),
        grid="sparsity = [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]",
        seeds="[0, 1, 2, 3, 4, 5]",
        epochs=2,
        timed=False,
        target_minutes=0.03,
        floor_minutes=0.01,
    )
    ours.run()
    ours.wait_done(1200)
    ours.wait_for(ours.sweep.table.exists)

    assert len(ours.records()) == 54
    assert max(submission.elements for submission in ours.training()) <= 5
    assert ours.interruptions() == 0
    assert set(ours.starts().values()) == {1}
    ours.assert_nothing_counts_against_it()
    row("MaxArraySize 5, MaxSubmitJobs 6, 48 cells", ours, "finishes by itself", repeated=0)
