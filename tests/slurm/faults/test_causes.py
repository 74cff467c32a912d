"""Faults that do not pass by themselves: a broken node, a wrong path, a full disk."""

from __future__ import annotations

import pytest

from lthsweep.launch.slurm.traces import nodes_of
from tests.slurm.faults.interrupted import Interrupted

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

BROKEN = "setup = ['[ \"$SLURMD_NODENAME\" != n1 ] || exit 1']"
"""n1, because SLURM gives a job to the first node that is free."""


def test_a_node_that_fails_every_job(make, as_if_undisturbed, row):
    """It swallows jobs faster than the other node works; the follow-up, too, has to get past it."""
    ours = make(seeds="[0, 1, 2, 3, 4, 5]", target_minutes=0.03, floor_minutes=0.01, attempts=3, slurm=BROKEN)
    ours.run()
    ours.wait_done()
    ours.wait_for(ours.sweep.table.exists)

    as_if_undisturbed(ours)
    ours.assert_nothing_counts_against_it()
    last = ours.training()[-1]
    script = (ours.sweep.submission(last.name) / f"{last.name}.sh").read_text()
    assert "--exclude=n1" in script
    assert {nodes_of(ours.sweep, last.name, index)[-1:] for index in range(last.elements)} == {("n2",)}
    row("a node that fails every job", ours, "left out, the other does the work")


def test_everything_fails_alike(make, as_if_undisturbed, row):
    """A wrong interpreter: the sweep halts with the cause, stays halted, and goes on when it is mended."""
    ours = make(
        seeds="[0, 1, 2, 3]",
        target_minutes=0.03,
        floor_minutes=0.01,
        attempts=3,
        slurm='python = "/nowhere/bin/python"',
    )
    ours.run()
    ours.cluster.wait_until(lambda: not queued(ours))
    said = ours.run(code=1)
    again = ours.run(code=1)
    submitted = len(ours.journal())
    ours.file.write_text(ours.file.read_text().replace('python = "/nowhere/bin/python"', ""))
    ours.run("--retry-failed")
    ours.wait_done()

    assert "halted" in said
    assert "/nowhere/bin/python" in said
    assert "--retry-failed" in again
    assert submitted <= 4
    as_if_undisturbed(ours)
    row("a wrong interpreter, mended later", ours, "halts and says why; `--retry-failed` finishes")


def test_a_full_disk(make, small_disk, cluster_of, as_if_undisturbed, row):
    """Room for some files and no more; then room is made, and `run` goes on with what is there."""
    filler = small_disk / "filler"
    ours = make(
        on=cluster_of(), where=small_disk, attempts=3
    )  # nodes see what was mounted before they started
    ours.run()
    ours.wait_for(lambda: not queued(ours))
    assert ours.done < len(ours.plan.runs)
    filler.unlink()
    ours.run()
    ours.wait_done()
    ours.wait_for(ours.sweep.table.exists)

    as_if_undisturbed(ours)
    row("a full disk, room made later", ours, "stops; `run` goes on")


def queued(ours: Interrupted) -> list[str]:
    """Names of the sweep's jobs in the queue."""
    listed = ours.cluster.run("squeue", "--noheader", "--format=%j").stdout.split()
    return [name for name in listed if name.startswith("lth-")]
