"""A job releases runs claimed by a process that is known to be gone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lthsweep.launch.events import Held, Message
from lthsweep.launch.slurm.sites.site import Site
from lthsweep.launch.slurm.worker_job import _Evictor, slots_here
from lthsweep.launch.task import STALE_SECONDS
from lthsweep.spec import load_spec
from lthsweep.store import claims
from lthsweep.store.layout import SweepDir
from lthsweep.store.owners import this_process


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """A sweep directory, seen from job 6, without access to SLURM."""
    monkeypatch.setenv("SLURM_JOB_ID", "6")
    monkeypatch.setenv("PATH", str(tmp_path))
    return SweepDir(tmp_path / "sweep").create()


@pytest.mark.parametrize(("place", "job", "freed"), [("a node", "6", True), ("a node", "7", False)])
def test_an_earlier_owner_with_this_jobs_id_is_evicted(sweep, place, job, freed):
    """A killed controller forgets a running job, and assigns its id to the job that takes over its runs."""
    owner = replace(this_process(), place=place, job=job)
    assert claims.take(sweep, "k", owner, STALE_SECONDS)

    _Evictor(sweep, Site(poll_seconds=0))(Message("worker", Held("k")))

    assert (claims.holder(sweep, "k", STALE_SECONDS) is None) is freed


def test_a_run_of_the_same_job_keeps_its_claim(sweep):
    """Another worker of the job trains it."""
    assert claims.take(sweep, "k", this_process(), STALE_SECONDS)

    _Evictor(sweep, Site(poll_seconds=0))(Message("worker", Held("k")))

    assert claims.holder(sweep, "k", STALE_SECONDS) is not None


def test_a_one_core_job_trains_one_run_at_a_time(monkeypatch):
    """Where SLURM does not bind cores, the job sees all cores of its node."""
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")

    slots = slots_here(load_spec("digits-lenet", ["local.devices=cpu"]), Site())

    assert len(slots) == 1
