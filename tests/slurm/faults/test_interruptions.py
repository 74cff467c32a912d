"""Jobs that are interrupted: the runs go on from their last checkpoints and end as if nothing had happened."""

from __future__ import annotations

import signal

import pytest

from lthsweep.launch.slurm.traces import nodes_of
from tests.slurm.faults.interrupted import processes, send

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

SLOW = 0.15
"""Seconds that a step is stretched to while faults are prepared: a run lasts a minute, and each fault costs it some
seconds, also where `scancel` itself takes long."""


@pytest.fixture
def held(make):
    """A sweep that is being trained slowly, and has a checkpoint."""

    def start(**changes):
        ours = make(**changes)
        ours.pace(SLOW)
        ours.run()
        ours.wait_for_checkpoint(1)
        return ours

    return start


def finish(ours, as_if_undisturbed):
    """Full speed to the end."""
    ours.pace(0)
    ours.wait_done()
    ours.wait_for(ours.sweep.table.exists)
    as_if_undisturbed(ours)
    ours.assert_nothing_counts_against_it()
    ours.assert_little_was_repeated()


def test_preemption_and_requeue(held, as_if_undisturbed, row):
    """A partition that pays more takes both nodes; then an operator requeues. Neither counts as an attempt."""
    ours = held()
    ours.cluster.sbatch("sleep 3", "--partition=gpu", "--nodes=2", "--ntasks-per-node=2", "--mem=100M")
    ours.wait_for_checkpoint(2)
    ours.cluster.run("scontrol", "requeue", ours.training()[0].job)
    ours.wait_for_checkpoint(3)
    ours.cluster.run("scancel", "--signal=USR2", ours.training()[0].job)
    ours.wait_for_checkpoint(4)
    finish(ours, as_if_undisturbed)

    assert len(ours.training()) == 1
    row("preemption, `scontrol requeue`, USR2", ours, "goes on in the same job")


def test_power_cut(held, as_if_undisturbed, row):
    """The node goes, with all that is on it; SLURM starts the job on another, whose claim on the run holds at once."""
    ours = held()
    (node,) = nodes_of(ours.sweep, ours.journal()[0].name, 0)
    ours.cluster.node_kill(node)
    ours.wait_for_checkpoint(2)
    ours.cluster.node_start(node)
    finish(ours, as_if_undisturbed)

    assert len(set(nodes_of(ours.sweep, ours.journal()[0].name, 0))) == 2
    row("power cut of the node, which comes back", ours, "goes on in the same job, on another node")


def test_a_node_that_hangs_and_wakes_up_finds_its_run_done(held, as_if_undisturbed, row):
    """slurmd dies and its job stands still; it is started elsewhere and finished; then the first wakes up."""
    ours = held()
    (node,) = nodes_of(ours.sweep, ours.journal()[0].name, 0)
    frozen = processes(str(ours.sweep.path), "lthsweep.launch.")
    send(signal.SIGSTOP, frozen)
    ours.cluster.node_crash(node)
    ours.wait_for_checkpoint(2)
    ours.pace(0)
    ours.wait_done()
    send(signal.SIGCONT, frozen)
    ours.wait_for(lambda: not set(frozen) & set(processes(str(ours.sweep.path), "lthsweep.launch.")))
    ours.cluster.node_start(node)
    ours.wait_for(ours.sweep.table.exists)

    as_if_undisturbed(ours)
    ours.assert_nothing_counts_against_it()
    assert "another worker was first, and its record is the same" in ours.sweep.log(ours.trunk).read_text()
    row(
        "slurmd killed, its job frozen and woken up after it was taken over",
        ours,
        "records compared, one kept",
    )


def test_killed_in_every_way(held, as_if_undisturbed, row):
    """SIGKILL to all of a job, to the worker alone, to the job's own process alone, and scancel."""
    ours = held()
    worker, payload = "lthsweep.launch.worker", "lthsweep.launch.slurm.payload"
    ways = (
        lambda: ours.cluster.run("scancel", "--signal=KILL", ours.training()[-1].job),
        lambda: send(signal.SIGKILL, processes(worker, str(ours.sweep.path))),
        lambda: send(signal.SIGKILL, processes(payload, str(ours.sweep.path))),
        lambda: ours.cluster.run("scancel", "--signal=KILL", ours.training()[-1].job),
        lambda: ours.cluster.run("scancel", ours.training()[-1].job),
    )
    for starts, kill in enumerate(ways, start=1):
        ours.wait_for_checkpoint(starts)
        kill()
    ours.wait_for_checkpoint(len(ways) + 1)
    finish(ours, as_if_undisturbed)

    row("SIGKILL of job, worker, payload; job again; `scancel`", ours, "the follow-up submits it again")


def test_a_run_longer_than_its_walltime(held, as_if_undisturbed, row):
    """A minute: after 45 seconds the job takes its own notice, since SLURM's may come too late."""
    ours = held(time="1", target_minutes=0.8)
    ours.wait_for_checkpoint(2)
    finish(ours, as_if_undisturbed)

    assert len(nodes_of(ours.sweep, ours.training()[0].name, 0)) > 1
    row("time limit of a minute, in a longer run", ours, "goes on in the same job")
