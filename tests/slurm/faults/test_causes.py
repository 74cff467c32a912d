"""Permanent faults: a broken node, a wrong path, a full disk."""

from __future__ import annotations

import os

import pytest

from lthsweep.launch.slurm.job_files import nodes_of
from lthsweep.store import failures
from lthsweep.store.layout import SweepDir
from tests.launch.sweeps import lthsweep as locally
from tests.slurm.faults.interrupted import EACH, Interrupted
from tests.slurm.sweeps import OnSlurm, assert_same_science

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

BROKEN = "setup = ['[ \"$SLURMD_NODENAME\" != n1 ] || exit 1']"
"""SLURM gives a job to the first free node, which is n1."""


def test_a_node_that_fails_every_job(make, as_if_undisturbed, row):
    """It fails jobs faster than the other node works; jobs that are submitted later avoid it.

    Runs are held, so that the workers of the other node have made progress and work on when the next step is taken.
    """
    ours = make(seeds="[0, 1, 2, 3, 4, 5]", attempts=3, slurm=BROKEN, **EACH)
    ours.hold()
    ours.run()
    ours.wait_for(lambda: sum(len(ours.attempts(run.key)) for run in ours.plan.dense) >= 2)
    ours.wait_for(lambda: len(ours.cluster.queue()) == 3)  # two workers, and the controller job
    ours.wait_for(lambda: len(list(ours.sweep.slurm.glob("*/*.end.json"))) >= 2)
    output = ours.run()
    ours.pace(0)
    ours.wait_done()
    ours.wait_for(ours.sweep.table.exists)

    assert "nodes excluded" in output
    as_if_undisturbed(ours)
    ours.assert_nothing_counts_against_it()
    last = ours.training()[-1]
    script = (ours.sweep.submission(last.name) / f"{last.name}.sh").read_text()
    assert "--exclude=n1" in script
    used = {nodes_of(ours.sweep, last.name, index)[-1:] for index in range(last.elements)}
    assert used <= {("n2",), ()}  # the other workers can have pulled all runs before it starts
    row("a node that fails every job", ours, "left out, the other does the work")


def test_a_sweep_halts_when_all_jobs_fail(make, as_if_undisturbed, row):
    """A wrong interpreter: the sweep halts with the cause, stays halted, and continues after the repair."""
    ours = make(seeds="[0, 1, 2, 3]", attempts=3, slurm='python = "/nowhere/bin/python"', **EACH)
    ours.run()
    assert sum(submission.elements for submission in ours.training()) > 3  # three failures halt a sweep
    ours.cluster.wait_until(lambda: not queued(ours))
    output = ours.run(code=1)
    again = ours.run(code=1)
    submitted = len(ours.journal())
    ours.file.write_text(ours.file.read_text().replace('python = "/nowhere/bin/python"', ""))
    ours.run("--retry-failed")
    ours.wait_done()

    assert "halted" in output, output
    assert "/nowhere/bin/python" in output, output
    assert "--retry-failed" in again
    assert submitted <= 4
    as_if_undisturbed(ours)
    row("a wrong interpreter, mended later", ours, "halts with the cause; `--retry-failed` finishes")


def test_retry_failed_resets_failures_of_the_machine(make):
    """A sweep that halted because its disk was full continues with --retry-failed."""
    ours = make(seeds="[0, 1, 2]")
    for run in ours.plan.dense:
        full = failures.Failure("no space left on device", "OSError", infrastructure=True)
        failures.record_failure(ours.sweep, run.key, full)
    output = ours.run(code=1)
    mended = ours.run("--retry-failed")

    assert "no space left on device" in output
    assert "submitted lth-" in mended


def test_a_full_disk(make, small_disk, cluster_of, cache, tmp_path, row):
    """Space for some files only: three jobs fail, which is reported. Then space is freed.

    A run of this size writes 1.07 MB of weights at its start, as much at its end, and no less in a checkpoint. So
    1.9 MB suffice for all small files and are used up before the run ends, with or without a checkpoint.
    """
    filler = small_disk / "filler"
    os.truncate(filler, (16 << 20) - 1_900_000)
    ours = make(
        on=cluster_of(), where=small_disk, size=28, attempts=3
    )  # nodes use the mounts that exist when they start
    ours.run()
    ours.wait_for(lambda: not queued(ours))
    assert ours.done == 0
    output = ours.run(code=1)
    filler.unlink()
    ours.run("--retry-failed")
    ours.wait_done()
    ours.wait_for(ours.sweep.table.exists)
    local = locally("run", ours.file, "--out", tmp_path / "local", cache=cache)

    assert "no space" in output
    assert len([submission for submission in ours.training() if submission.outcome == "started"]) == 4
    assert local.returncode == 0, local.stderr
    assert_same_science(ours.records(), OnSlurm({}, ours.file, SweepDir(tmp_path / "local")).records())
    assert not list(ours.sweep.conflicts.glob("*"))
    row("a full disk, space freed later", ours, "stops with the cause; `--retry-failed` finishes")


def queued(ours: Interrupted) -> list[str]:
    """Return the names of the sweep's jobs in the queue."""
    listed = ours.cluster.run("squeue", "--noheader", "--format=%j").stdout.split()
    return [name for name in listed if name.startswith("lth-")]
