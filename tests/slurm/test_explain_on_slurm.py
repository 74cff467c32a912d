"""`explain` with a real SLURM: it names the cause, and its command changes the state."""

from __future__ import annotations

import json
import shlex

import pytest

from tests.slurm.tiny import tiny_on

CELL = "sparsity=0.8,rewind_epoch=1,seed=0"


@pytest.fixture
def sweep_on(tmp_path, cache):
    """Make a tiny sweep on a cluster: a dense run and four tickets."""

    def make(cluster, old="", new=""):
        ours = tiny_on(cluster, tmp_path, cache)
        ours.file.write_text(ours.file.read_text().replace(old, new))
        return ours

    return make


def explained(ours, *cell):
    """The answers of `explain --json`: of all runs, or of one and its ancestors."""
    ended = ours.lthsweep("explain", ours.sweep.path, *cell, "--json")
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def states(found):
    return [one["state"] for one in found]


def reason(ours):
    """The words of the dense run's reason."""
    return explained(ours)[0]["reason"].replace(",", "").split()


def take(ours, command):
    """Run a command that `explain` printed."""
    program, *words = shlex.split(command)
    assert program == "lthsweep"
    ended = ours.lthsweep(*words)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_pending_jobs_hold_back_all_runs(sweep_on, cluster):
    """The dense run is pending with SLURM's reason; its tickets wait for it."""
    ours = sweep_on(cluster)
    with cluster.busy():
        ours.run()
        ours.wait_for(lambda: {"Resources", "Priority"} & set(reason(ours)))
        dense, *tickets = explained(ours)
        chain = explained(ours, CELL)
    log = (ours.sweep.logs / "controller.log").read_text()
    ours.wait_done()

    job = ours.journal()[0].job
    assert dense["state"] == "pending"
    assert f"job {job}" in dense["reason"]
    assert dense["command"] == ""
    assert states(tickets) == ["waiting"] * 4
    assert all(dense["key"][:8] in ticket["reason"] for ticket in tickets)
    assert all("pending" in ticket["change"] and not ticket["command"] for ticket in tickets)
    assert [one["key"] for one in chain] == [tickets[-1]["key"], dense["key"]]
    assert f"job {job}" in log
    assert states(explained(ours)) == ["done"] * 5


def test_the_command_resumes_a_halted_sweep(sweep_on, cluster):
    """After `cancel`, nothing continues by itself."""
    ours = sweep_on(cluster)
    with cluster.busy():
        ours.run()
        assert ours.lthsweep("cancel", ours.sweep.path).returncode == 0
        cluster.wait_until(lambda: "PENDING" not in cluster.queue().values())
        ours.wait_for(lambda: states(explained(ours))[0] == "to be submitted")
        dense, *tickets = explained(ours)
    take(ours, dense["command"])
    ours.wait_done()

    assert "halted" in dense["reason"]
    assert "user" in dense["reason"]
    assert states(tickets) == ["waiting"] * 4
    assert {one["command"] for one in tickets} == {dense["command"]}


def test_a_silent_controller_leaves_runs_unknown(sweep_on, cluster):
    """No command helps until slurmctld answers."""
    ours = sweep_on(cluster)
    with cluster.busy():
        ours.run()
        ours.wait_for(lambda: states(explained(ours))[0] == "pending")
        cluster.ctld_kill()
        ours.wait_for(lambda: states(explained(ours))[0] == "unknown")
        dense, *tickets = explained(ours)
        text = ours.lthsweep("explain", ours.sweep.path).stdout
        cluster.ctld_start()
    ours.wait_done()

    assert f"job {ours.journal()[0].job}" in dense["reason"]
    assert "SLURM does not answer" in dense["reason"]
    assert dense["command"] == ""
    assert states(tickets) == ["waiting"] * 4
    assert "SLURM does not answer" in text


def test_a_failed_run_blocks_its_tickets(sweep_on, cluster):
    """A pattern that matches no layer fails the dense run; a new attempt is the only remedy."""
    ours = sweep_on(cluster, 'schedule = "one-shot"', 'schedule = "one-shot"\nexclude = ["nothing"]')
    ours.run()
    ours.wait_for(lambda: states(explained(ours))[0] == "failed")
    dense, *tickets = explained(ours)
    text = ours.lthsweep("explain", ours.sweep.path).stdout

    assert "nothing" in dense["reason"]
    assert states(tickets) == ["blocked"] * 4
    assert all(dense["key"][:8] in ticket["reason"] for ticket in tickets)
    command = f"lthsweep run {ours.sweep.path} --on slurm --retry-failed"
    assert {one["command"] for one in (dense, *tickets)} == {command}
    assert command in text


def test_the_command_resumes_a_canceled_run(sweep_on, cluster):
    """The other runs finish without it."""
    ours = sweep_on(cluster)
    with cluster.busy():
        ours.run()
        assert ours.lthsweep("cancel", ours.sweep.path, CELL).returncode == 0
        (canceled, _) = explained(ours, CELL)
    ours.wait_for(lambda: ours.done == 4)
    found = explained(ours)
    take(ours, canceled["command"])
    ours.wait_done()

    assert canceled["state"] == "canceled"
    assert "user" in canceled["reason"]
    assert sorted(states(found)) == ["canceled", *["done"] * 4]
