"""Interrupted jobs: runs continue from their last checkpoints and have the results of an undisturbed sweep."""

from __future__ import annotations

import signal

import pytest

from lthsweep.launch.slurm.job_files import nodes_of
from tests.slurm.faults.interrupted import processes, send

pytestmark = [pytest.mark.chaos, pytest.mark.slow]


@pytest.fixture
def held(make):
    """Start a sweep whose first run waits at a checkpoint, as each later attempt does until `finish`."""

    def start(**changes):
        ours = make(**changes)
        ours.hold()
        ours.run()
        ours.wait_for_checkpoint(1)
        return ours

    return start


def finish(ours, as_if_undisturbed):
    """Train to the end at full speed and compare with the undisturbed sweep."""
    ours.pace(0)
    ours.wait_done()
    ours.wait_for(ours.sweep.table.exists)
    as_if_undisturbed(ours)
    ours.assert_nothing_counts_against_it()
    ours.assert_little_was_repeated()


@pytest.mark.faults
def test_preemption_and_requeue(held, as_if_undisturbed, row, tmp_path):
    """A job of a higher tier takes both nodes; then an operator requeues. Neither counts as an attempt."""
    ours = held()
    gate = tmp_path / "gate"
    gate.touch()
    all_cores = ("--partition=gpu", "--nodes=2", "--ntasks-per-node=2", "--mem=100M")
    higher = ours.cluster.sbatch(f"while [ -e {gate} ]; do sleep 0.2; done", *all_cores)
    ours.wait_for(lambda: ours.cluster.queue().get(higher) == "RUNNING")
    gate.unlink()
    ours.wait_for_checkpoint(2)
    ours.cluster.run("scontrol", "requeue", ours.training()[0].job)
    ours.wait_for_checkpoint(3)
    ours.cluster.run("scancel", "--signal=USR2", ours.training()[0].job)
    ours.wait_for_checkpoint(4)
    finish(ours, as_if_undisturbed)

    assert len(ours.training()) == 1
    row("preemption, `scontrol requeue`, USR2", ours, "goes on in the same job")


@pytest.mark.faults
def test_power_cut(held, as_if_undisturbed, row):
    """Everything on the node is killed; SLURM starts the job on another, whose claim on the run holds at once."""
    ours = held()
    (node,) = nodes_of(ours.sweep, ours.journal()[0].name, 0)
    ours.cluster.node_kill(node)
    ours.cluster.node_down(node)
    ours.wait_for_checkpoint(2)
    ours.cluster.node_start(node)
    finish(ours, as_if_undisturbed)

    assert len(set(nodes_of(ours.sweep, ours.journal()[0].name, 0))) == 2
    row("power cut of the node, which comes back", ours, "goes on in the same job, on another node")


@pytest.mark.faults
def test_a_frozen_worker_wakes_up_too_late(held, as_if_undisturbed, row):
    """slurmd dies and its job is frozen; the run is finished elsewhere, then the first worker continues: one record."""
    ours = held()
    (node,) = nodes_of(ours.sweep, ours.journal()[0].name, 0)
    frozen = processes(str(ours.sweep.path), "lthsweep.launch.")
    send(signal.SIGSTOP, frozen)
    ours.cluster.node_crash(node)
    ours.cluster.node_down(node)
    ours.wait_for_checkpoint(2)
    ours.pace(0)
    ours.wait_done()
    send(signal.SIGCONT, frozen)
    ours.wait_for(lambda: not set(frozen) & set(processes(str(ours.sweep.path), "lthsweep.launch.")))
    ours.cluster.node_start(node)
    ours.wait_for(ours.sweep.table.exists)

    as_if_undisturbed(ours)
    ours.assert_nothing_counts_against_it()
    assert "another worker committed first; comparison: same" in ours.sweep.log(ours.trunk).read_text()
    row(
        "slurmd killed, its job frozen and woken up after it was taken over",
        ours,
        "records compared, one kept",
    )


def test_killed_in_every_way(held, as_if_undisturbed, row):
    """SIGKILL to the whole job, to the worker alone, to the coordinator in the job alone, and scancel."""
    ours = held()
    worker, payload = "lthsweep.launch.worker", "lthsweep.launch.slurm.worker_job"
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

    row("SIGKILL of job, worker, payload; job again; `scancel`", ours, "the controller job submits it again")


def test_a_run_longer_than_its_walltime(held, as_if_undisturbed, row):
    """The limit is a minute: the job stops itself after 45 seconds, since SLURM's signal can come too late."""
    ours = held(time="1", target_minutes=0.8)
    ours.wait_for_checkpoint(2)
    finish(ours, as_if_undisturbed)

    assert len(nodes_of(ours.sweep, ours.training()[0].name, 0)) > 1
    row("time limit of a minute, in a longer run", ours, "goes on in the same job")
