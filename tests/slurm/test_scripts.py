"""The scripts in slurm/ for sbatch by hand, on a real cluster: at the time limit, and preempted."""

from __future__ import annotations

import os
import struct
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from lthsweep.store.layout import SweepDir
from tests.launch.sweeps import lthsweep as locally
from tests.launch.sweeps import write_tiny
from tests.mpi.jobs import mpi, surroundings
from tests.slurm.conftest import DEVCLUSTER, DevCluster
from tests.slurm.sweeps import OnSlurm, assert_same_science

pytestmark = [pytest.mark.slow, pytest.mark.chaos]

FOLDER = DEVCLUSTER.parent
ODOMETER = Path(__file__).parent / "faults" / "odometer"
ONE_CORE = ("--cpus-per-task=1", "--mem-per-cpu=100M")
SLOW = 3.0
"""Seconds of a step until the fault has happened: no run of sixteen steps ends before a limit."""


@dataclass
class ByHand(OnSlurm):
    """A sweep, and the job of a script in slurm/ that runs it.

    Attributes:
        cluster: its commands have the environment of a user who has activated lthsweep.
        pacer: a file with the seconds that every step lasts longer.
    """

    cluster: DevCluster
    pacer: Path
    job: str = ""
    submitted: float = 0.0

    def sbatch(self, script: str, *options: str) -> None:
        self.submitted = time.time()
        log = f"--output={self.file.parent}/job-%A-%a.out"
        words = (FOLDER / script, self.file, "--out", self.sweep.path)
        self.job = self.cluster.run("sbatch", "--parsable", log, *options, *words).stdout.strip()

    @property
    def restarts(self) -> int:
        """Return how often SLURM has restarted the jobs, in total."""
        shown = self.cluster.run("squeue", "-h", "-r", "-j", self.job, "--Format=RestartCnt", check=False)
        return sum(map(int, shown.stdout.split()))

    @property
    def has_stopped_runs(self) -> bool:
        """Return whether a run stopped exactly at a checkpoint before its end, so that no step was repeated.

        The log can lack this: SLURM's signal goes to all processes of a job, and the worker can receive it first.
        """
        counts = (struct.unpack("<qqqqd", path.read_bytes()) for path in self.pacer.parent.glob("*.steps"))
        return any(first >= 0 and reached == saved for first, reached, saved, *_ in counts)

    def wait_for_checkpoint(self) -> None:
        self.wait_for(lambda: bool(list(self.sweep.checkpoints.glob("*.safetensors"))))


@pytest.fixture
def by_hand(tmp_path, cluster, cache):
    """Make a tiny sweep that trains slowly until `finish`."""

    def make(*, mpirun="", slow=True):
        path = [Path(mpirun).parent] if mpirun else []
        environment = {
            **cluster.env,
            **surroundings(cache),
            "SLURM_CONF": cluster.env["SLURM_CONF"],
            "PATH": os.pathsep.join(map(str, [*path, Path(sys.executable).parent, os.environ["PATH"]])),
            "OMPI_MCA_btl": "self,tcp",
            "PYTHONPATH": str(ODOMETER),
            "LTH_ODOMETER": str(tmp_path),
        }
        file = write_tiny(tmp_path, seeds="[0, 1]", checkpoint_seconds=1)
        (tmp_path / "pace").write_text(str(SLOW if slow else 0))
        user = replace(cluster, env=environment)
        return ByHand(environment, file, SweepDir(tmp_path / "sweep"), user, tmp_path / "pace")

    return make


@pytest.fixture
def finish(tmp_path, cache):
    """Train to the end and compare the records with those of an undisturbed sweep."""

    def check(ours, pace=0.0):
        ours.pacer.write_text(str(pace))
        ours.wait_done()
        ours.cluster.wait_empty()
        local = locally("run", ours.file, "--out", tmp_path / "local", cache=cache)
        assert local.returncode == 0, local.stderr
        theirs = OnSlurm({}, ours.file, SweepDir(tmp_path / "local"))
        assert_same_science(ours.records(), theirs.records())
        assert ours.sweep.table.exists()
        assert not ours.sweep.conflicts.exists()

    return check


@pytest.mark.parametrize("options", [ONE_CORE, (*ONE_CORE, "--array=0-1")], ids=["single", "array"])
def test_a_job_at_its_time_limit_requeues_itself(by_hand, finish, options):
    """SLURM sends USR2 thirty seconds before the end, or up to a minute earlier.

    The end is set to one or two minutes after the first checkpoint, whose time depends on the machine.
    """
    ours = by_hand()
    ours.sbatch("sweep.sbatch", *options, "--time=60", "--signal=B:USR2@30")
    ours.wait_for_checkpoint()
    minutes = int((time.time() - ours.submitted) / 60) + 2
    ours.cluster.run("scontrol", "update", f"JobId={ours.job}", f"TimeLimit={minutes}")
    ours.wait_for(lambda: ours.restarts >= 1)
    ours.cluster.run("scontrol", "update", f"JobId={ours.job}", "TimeLimit=60")
    finish(ours)

    assert ours.has_stopped_runs


@pytest.mark.parametrize("options", [ONE_CORE, (*ONE_CORE, "--array=0-1")], ids=["single", "array"])
def test_a_preempted_job_writes_checkpoints_and_continues(by_hand, finish, options):
    ours = by_hand()
    ours.sbatch("sweep.sbatch", *options, "--time=60")
    ours.wait_for_checkpoint()
    ours.cluster.sbatch("sleep 2", "--partition=gpu", "--nodes=2", "--ntasks-per-node=2", "--mem=100M")
    ours.wait_for(lambda: ours.restarts >= 1)
    finish(ours)

    assert ours.has_stopped_runs


@pytest.mark.parametrize("name", ["mpich", "openmpi"])
def test_mpi_ranks_continue_after_the_time_limit(by_hand, finish, name):
    """Two ranks on each node; at the signal before the end all write checkpoints, and the job is requeued.

    Runs last some seconds, so that no node finishes all of them before the other begins.
    """
    ours = by_hand(mpirun=mpi(name).mpirun)
    ours.sbatch("mpi.sbatch", *ONE_CORE, "--nodes=2", "--ntasks-per-node=2", "--time=60")
    ours.wait_for_checkpoint()
    ours.cluster.run("scancel", "--signal=USR2", "--batch", ours.job)
    ours.wait_for(lambda: ours.restarts >= 1)
    finish(ours, pace=0.05)

    assert ours.has_stopped_runs
    assert {record.provenance["host"] for record in ours.records().values()} == {"n1", "n2"}
