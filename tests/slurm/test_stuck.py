"""Jobs that SLURM accepts, cannot start, and then holds for ever."""

from __future__ import annotations

import pytest

from tests.slurm.tiny import tiny_on


@pytest.mark.slow
@pytest.mark.chaos
def test_held_jobs_are_replaced_by_the_next_step(tmp_path, cluster_of, cache):
    """A prolog fails on every node: SLURM drains the nodes and holds the jobs until someone releases them."""
    cluster = cluster_of(accounting=False)
    broken, prolog = tmp_path / "broken", tmp_path / "prolog"
    broken.touch()
    prolog.write_text(f"#!/bin/sh\ntest ! -e {broken}\n")
    prolog.chmod(0o755)
    with (cluster.folder / "etc" / "slurm.conf").open("a") as conf:
        conf.write(f"Prolog={prolog}\n")
    cluster.run("scontrol", "reconfigure")
    ours = tiny_on(cluster, tmp_path, cache)

    ours.run()
    ours.wait_for(lambda: "held" in cluster.run("squeue", "-h", "-o", "%r").stdout)
    broken.unlink()
    for name, state in cluster.node_states().items():
        if "drain" in state:
            cluster.node_resume(name)
    held = [submission.name for submission in ours.journal() if submission.kind == "workers"]
    ours.run()

    ours.wait_done()
    ours.wait_for(ours.sweep.table.exists)
    assert not set(held) & set(cluster.run("squeue", "-h", "-o", "%j").stdout.split())
