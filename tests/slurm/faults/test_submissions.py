"""A coordinator that dies at any step of a submission: every run is trained, and none twice."""

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
from lthsweep.launch.slurm.submitting import workers_job
from lthsweep.spec import load_spec
from tests.slurm.faults.die_at import STEPS

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

DIE_AT = Path(__file__).with_name("die_at.py")
DEATHS = list(product(("workers", "controller"), STEPS))


def dies(ours, kind, step):
    """Run `lthsweep run`, which is killed in the middle of a submission."""
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
    """Assert that every run has a record and was started once."""
    ours.wait_done()
    as_if_undisturbed(ours)
    ours.assert_nothing_counts_against_it()
    assert ours.interruptions() == 0
    assert set(ours.starts().values()) == {1}


def test_run_after_a_kill_at_every_step(make, as_if_undisturbed, row):
    """One sweep per step, all at once; the second `run` starts before the outcome of the submission can be known."""
    sweeps = [make() for _ in DEATHS]
    for ours, (kind, step) in zip(sweeps, DEATHS, strict=True):
        dies(ours, kind, step)
        ours.run()
    for ours in sweeps:
        assert_once(ours, as_if_undisturbed)
    for ours, (kind, step) in zip(sweeps, DEATHS, strict=True):
        jobs = {submission.job for submission in ours.training() if submission.outcome == "started"}
        assert len(jobs) == 1, (kind, step, ours.journal())
    row(
        "coordinator killed at each of ten steps of a submission, then `run`",
        sweeps[0],
        "found by name, once",
    )


@pytest.mark.faults
def test_a_killed_submission_happens_once(make, as_if_undisturbed):
    """Killed before sbatch, nothing was submitted; killed before the id is noted, the job is found by its name.

    The runs are held, so that the job without a noted id is in the queue when the second `run` looks for it.
    """
    sweeps = {step: make() for step in ("intent", "submitted")}
    for step, ours in sweeps.items():
        ours.hold()
        dies(ours, "workers", step)
        ours.run()
        ours.pace(0)
    for step, ours in sweeps.items():
        assert_once(ours, as_if_undisturbed)
        alive = [submission for submission in ours.training() if submission.outcome == "started"]
        assert len(alive) == 1, (step, ours.journal())
        assert len(ours.training()) == (2 if step == "intent" else 1), ours.journal()


def test_a_training_job_replaces_a_killed_controller(make, as_if_undisturbed, row):
    """Submitted jobs train, and the last job without a controller job takes the next step."""
    sweeps = [make(timed=False) for _ in STEPS]
    for ours, step in zip(sweeps, STEPS, strict=True):
        dies(ours, "controller", step)
    for ours in sweeps:
        assert_once(ours, as_if_undisturbed)
    row(
        "coordinator killed at each of five steps of the controller job",
        sweeps[0],
        "a training job takes its step",
    )


def test_a_late_or_second_job_does_nothing(make, as_if_undisturbed):
    """An intent was voided and its runs were submitted again; then a job of the voided intent starts."""
    ours = make()
    site = site_of(load_spec(str(ours.file)))
    late, twice = (
        publish_intent(ours.sweep, Submission(number, "", "workers", (tuple(ours.plan.runs),), minutes=5))
        for number in (1, 2)
    )
    assert void(ours.sweep, late.name, "it was not found")
    (ours.sweep.path / "sweep.toml").write_text(ours.file.read_text())
    environment = dict(os.environ)
    os.environ.update(ours.environment)
    try:
        jobs = [submit(workers_job(ours.sweep, site, intent), site) for intent in (late, twice, twice)]
    finally:
        os.environ.clear()
        os.environ.update(environment)
    note_id(ours.sweep, twice.name, jobs[1])
    ours.wait_done()
    ours.cluster.wait_until(lambda: not set(jobs) & {job.partition("_")[0] for job in ours.cluster.queue()})
    output = [path.read_text() for path in sorted(ours.sweep.slurm.glob("*/*.out"))]

    as_if_undisturbed(ours)
    assert set(ours.starts().values()) == {1}
    assert sum("was given up before this job started" in text for text in output) == 2
