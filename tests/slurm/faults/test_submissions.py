"""A coordinator that dies at any step of a submission leaves nothing undone, and nothing is done twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

from lthsweep.launch.slurm.cluster.sbatch import submit
from lthsweep.launch.slurm.journal import Submission, note_id, publish_intent, void
from lthsweep.launch.slurm.sites.site import site_of
from lthsweep.launch.slurm.submitting import batch_job
from lthsweep.spec import load_spec
from tests.slurm.faults.die_at import STEPS

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

DIE_AT = Path(__file__).with_name("die_at.py")
DEATHS = list(product(("train", "tick"), STEPS))


def dies(ours, kind, step):
    """`lthsweep run` that ends in the middle of a submission."""
    words = ["run", str(ours.file), "--on", "slurm", "--out", str(ours.sweep.path)]
    ended = subprocess.run(
        [sys.executable, str(DIE_AT), kind, step, *words],
        env=dict(ours.environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stdout + ended.stderr


def assert_once(ours, as_if_undisturbed):
    """Everything is there, and was started once."""
    ours.wait_done()
    as_if_undisturbed(ours)
    ours.assert_nothing_counts_against_it()
    assert ours.interruptions() == 0
    assert set(ours.starts().values()) == {1}


def test_a_coordinator_killed_at_every_step_and_run_again(make, as_if_undisturbed, row):
    """Sweep by sweep one step later, all at once; the second `run` comes before anybody can know what became of it."""
    sweeps = [make() for _ in DEATHS]
    for ours, (kind, step) in zip(sweeps, DEATHS, strict=True):
        dies(ours, kind, step)
        ours.run()
    for ours in sweeps:
        assert_once(ours, as_if_undisturbed)
    for ours, (kind, step) in zip(sweeps, DEATHS, strict=True):
        jobs = {submission.job for submission in ours.training() if submission.fate == "alive"}
        assert len(jobs) == 1, (kind, step, ours.journal())
    row(
        "coordinator killed at each of ten steps of a submission, then `run`",
        sweeps[0],
        "found by name, once",
    )


def test_a_coordinator_killed_and_nobody_comes_back(make, as_if_undisturbed, row):
    """What was submitted trains, and the job that ends with nobody to follow takes the next step itself."""
    sweeps = [make(timed=False) for _ in STEPS]
    for ours, step in zip(sweeps, STEPS, strict=True):
        dies(ours, "tick", step)
    for ours in sweeps:
        assert_once(ours, as_if_undisturbed)
    row(
        "coordinator killed at each of five steps of the follow-up",
        sweeps[0],
        "a training job takes its step",
    )


def test_a_job_that_is_late_or_second_leaves(make, as_if_undisturbed):
    """An intent was given up and its runs were submitted again: the job of it that appears does nothing."""
    ours = make()
    site = site_of(load_spec(str(ours.file)))
    late, twice = (
        publish_intent(ours.sweep, Submission(number, "", "train", (tuple(ours.plan.runs),), minutes=5))
        for number in (1, 2)
    )
    assert void(ours.sweep, late.name, "it was not found")
    (ours.sweep.path / "sweep.toml").write_text(ours.file.read_text())
    environment = dict(os.environ)
    os.environ.update(ours.environment)
    try:
        jobs = [submit(batch_job(ours.sweep, site, intent, None), site) for intent in (late, twice, twice)]
    finally:
        os.environ.clear()
        os.environ.update(environment)
    note_id(ours.sweep, twice.name, jobs[1])
    ours.wait_done()
    ours.cluster.wait_until(lambda: not set(jobs) & {job.partition("_")[0] for job in ours.cluster.queue()})
    said = [path.read_text() for path in sorted(ours.sweep.slurm.glob("*/*.out"))]

    as_if_undisturbed(ours)
    assert set(ours.starts().values()) == {1}
    assert sum("was given up before this job started" in text for text in said) == 2
