"""`status`, `logs` and `plan --on slurm` with a real SLURM: alive, without accounting, and silent."""

from __future__ import annotations

import json

import pytest

from tests.slurm.tiny import tiny_on


@pytest.fixture
def sweep_on(tmp_path, cache):
    """Make a tiny sweep on a cluster."""

    def make(cluster, **changes):
        return tiny_on(cluster, tmp_path, cache, **changes)

    return make


def output(ours, *words):
    ended = ours.lthsweep(*words)
    assert ended.returncode in (0, 3), ended.stderr
    return ended.stdout


def test_status_shows_why_jobs_are_pending(sweep_on, cluster):
    ours = sweep_on(cluster)
    with cluster.busy():
        ours.run()
        ours.wait_for(lambda: ours.status()["states"]["pending"] == 1)
        ours.wait_for(lambda: ours.status()["run_list"][0]["reason"] in ("Resources", "Priority"))
        answer = ours.status()
        text = output(ours, "status", ours.sweep.path)
    watched = output(ours, "status", ours.sweep.path, "--watch", "--seconds", "1")

    dense = answer["run_list"][0]
    assert (dense["state"], dense["reason"]) in [("pending", "Resources"), ("pending", "Priority")]
    assert answer["states"]["waiting"] == 4
    assert f"pending job {dense['job']}, 1 element, 1 run: {dense['reason']}" in text
    assert f"controller: job {answer['slurm']['controller']['job']}" in text
    assert "5 of 5 runs done" in watched
    assert "core-hours in finished runs" in watched


def test_submitted_runs_are_unknown_while_slurmctld_is_dead(sweep_on, cluster):
    ours = sweep_on(cluster)
    with cluster.busy():
        ours.run()
        ours.wait_for(lambda: ours.status()["states"]["pending"] == 1)
        cluster.ctld_kill()
        ours.wait_for(lambda: ours.status()["slurm"]["silence"])

        ended = ours.lthsweep("status", ours.sweep.path)
        cluster.ctld_start()
    ours.wait_done()

    assert ended.returncode == 3
    assert "SLURM does not answer" in ended.stdout
    assert "0 of 5 runs done" in ended.stdout
    assert "1 unknown" in ended.stdout
    assert output(ours, "status", ours.sweep.path).startswith("tiny: 5 of 5 runs done")


def test_accounting_is_never_needed(sweep_on, cluster_of):
    ours = sweep_on(cluster_of(accounting=False))
    planned = json.loads(output(ours, "plan", ours.file, "--on", "slurm", "--out", ours.sweep.path, "--json"))
    ours.run()
    watched = output(ours, "status", ours.sweep.path, "--watch", "--seconds", "1")

    assert planned["slurm"]["limits"]["assumed"] is None
    assert planned["slurm"]["limits"]["max_array"] == 1001
    assert "5 of 5 runs done" in watched


def test_run_submits_the_job_that_plan_shows(sweep_on, cluster):
    """Except for the prefix of the names, which is drawn at the first submission."""
    ours = sweep_on(cluster)
    planned = json.loads(output(ours, "plan", ours.file, "--on", "slurm", "--out", ours.sweep.path, "--json"))
    assert not ours.sweep.path.exists()
    ours.run()
    first, controller, *_ = ours.journal()
    script = (ours.sweep.submission(first.name) / f"{first.name}.sh").read_text()
    follower = (ours.sweep.submission(controller.name) / f"{controller.name}.sh").read_text()

    expected, after = planned["slurm"]["submissions"][0]["sbatch"], planned["slurm"]["controller"]["sbatch"]
    prefix = first.name.rpartition("-")[0]
    assert script == expected.replace("lth-xxxxxxxx", prefix)
    assert follower == after.replace("ID-OF-lth-xxxxxxxx-0001", first.job).replace("lth-xxxxxxxx", prefix)
    ours.wait_done()


def test_logs_shows_the_logs_of_run_and_job(sweep_on, cluster):
    ours = sweep_on(cluster)
    ours.run()
    ours.wait_done()
    cluster.wait_empty()  # a job prints its summary after the last record
    cell = "sparsity=0.8,rewind_epoch=1,seed=0"

    run, job = (
        output(ours, "logs", ours.sweep.path, cell),
        output(ours, "logs", ours.sweep.path, cell, "--job"),
    )

    assert "ticket sparsity 0.8 rewind 1 seed 0" in run
    assert "element 0: " in job
