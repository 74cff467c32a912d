"""Simulated sweeps with worker jobs, with a simulated clock: no measurement of this machine."""

from __future__ import annotations

import pytest

from tests.benchmarks.worker_jobs import CASES, START_UP, Simulation, bound, nodes_of


@pytest.mark.parametrize(("preset", "epoch_seconds", "at_a_time"), CASES)
def test_worker_jobs_waste_no_core_hours(preset, epoch_seconds, at_a_time):
    """Training and one start-up per job are needed; waiting for runs adds at most 5 %."""
    nodes = nodes_of(preset, epoch_seconds)
    found = Simulation(nodes, at_a_time)
    found.run()

    needed = sum(node.cost for node in nodes) + START_UP * found.started
    assert found.used <= 1.05 * needed
    assert found.makespan >= bound(nodes, at_a_time) - START_UP


def test_preempted_jobs_finish_every_run():
    """`run` checks that every run is finished once."""
    nodes = nodes_of("digits-controls", 60)
    found = Simulation(nodes, 8, preempted_every=1800.0)
    found.run()

    assert found.started > 15
