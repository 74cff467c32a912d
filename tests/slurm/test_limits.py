"""Limits that a real SLURM enforces: the number from `read_limits` is accepted, one more is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lthsweep.errors import ClusterSilentError, NotNowError, RefusedError
from lthsweep.launch.slurm.cluster import limits
from lthsweep.launch.slurm.cluster.limits import read_limits
from lthsweep.launch.slurm.cluster.sbatch import submit
from tests.slurm.conftest import running
from tests.slurm.jobs import SITE, WAITS, job_in, stopped


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "jobs"


@pytest.fixture
def here(cluster, monkeypatch):
    """This process is the login node of the shared cluster."""
    monkeypatch.setenv("SLURM_CONF", cluster.env["SLURM_CONF"])
    return cluster


@pytest.fixture(scope="module")
def _own_cluster():
    with running(max_array=30) as cluster:
        for words in (
            *(f"add qos {name}" for name in ("narrow", "wide")),
            "modify qos narrow set MaxSubmitJobsPerUser=5",
            "modify qos wide set MaxSubmitJobsPerUser=12 MaxWall=00:30:00",
            "modify qos normal set MaxSubmitJobsPerUser=-1",
            "add account lab",
            "add user root account=lab",
            "modify user root where account=lab set MaxSubmitJobs=7 qos=normal,narrow,wide",
            "modify user root where account=root set qos=normal,narrow,wide",
            "modify account lab set GrpSubmitJobs=9",
        ):
            cluster.run("sacctmgr", "--immediate", *words.split())
        cluster.run("scontrol", "create", "partition=short", "Nodes=n1", "MaxTime=20", "QOS=narrow")
        cluster.run("scontrol", "create", "partition=long", "Nodes=n1", "MaxTime=UNLIMITED", "State=DOWN")
        yield cluster


@pytest.fixture
def limited(_own_cluster, monkeypatch):
    """A cluster with an account, two more QOS and two more partitions, each with limits."""
    monkeypatch.setenv("SLURM_CONF", _own_cluster.env["SLURM_CONF"])
    yield _own_cluster
    _own_cluster.heal()


def fill(folder, site):
    """Submit as many as `read_limits` allows, check that one more is refused, and return the number."""
    capacity = read_limits(site).capacity
    assert capacity
    submit(job_in(folder, WAITS, elements=capacity), site)
    assert read_limits(site).capacity == 0
    with pytest.raises(NotNowError):
        submit(job_in(folder, WAITS, elements=1), site)
    return capacity


def test_a_cluster_without_limits(here):
    found = read_limits(SITE)

    assert (found.max_array, found.capacity, found.minutes, found.named) == (here.max_array, None, 1440, ())
    assert found.version == here.run("scontrol", "--version").stdout.split()[1]
    (partition,) = found.partitions
    assert (partition.name, partition.preempt_mode, partition.state) == ("gpu_requeue", "REQUEUE", "UP")


def test_only_arrays_of_max_array_size_are_accepted(limited, folder):
    """SLURM caps the index, so this holds for arrays that begin at 0."""
    most = read_limits(SITE).max_array

    submit(job_in(folder, WAITS, elements=most), SITE)
    with pytest.raises(NotNowError):
        submit(job_in(folder, WAITS, elements=most + 1), SITE)


def test_elements_of_arrays_count_one_by_one(limited, folder):
    site = replace(SITE, qos="wide")
    assert read_limits(site).named[0] == "MaxSubmitJobsPerUser of QOS wide 12, 0 in use"

    submit(job_in(folder, WAITS, elements=4), site)

    assert read_limits(site).capacity == 8
    assert read_limits(site).named[0] == "MaxSubmitJobsPerUser of QOS wide 12, 4 in use"
    assert fill(folder, site) == 8


@pytest.mark.parametrize(
    ("change", "capacity", "name"),
    [
        ({"account": "lab"}, 7, "MaxSubmitJobs of root in account lab 7"),
        ({"account": "lab", "qos": "wide"}, 9, "GrpSubmitJobs of account lab 9"),
        ({"partition": "short"}, 5, "MaxSubmitJobsPerUser of QOS narrow 5"),
        ({"partition": "short", "qos": "wide"}, 5, "MaxSubmitJobsPerUser of QOS narrow 5"),
        ({"partition": "short", "account": "lab"}, 5, "MaxSubmitJobsPerUser of QOS narrow 5"),
        ({"qos": "narrow"}, 5, "MaxSubmitJobsPerUser of QOS narrow 5"),
    ],
)
def test_slurm_accepts_exactly_the_number_read(limited, folder, change, capacity, name):
    """A partition's QOS comes before the job's, and any QOS before the association."""
    site = replace(SITE, **change)

    assert read_limits(site).named[0].startswith(name)
    assert fill(folder, site) == capacity


def test_jobs_of_other_partitions_count_for_the_association(limited, folder):
    lab = replace(SITE, account="lab")
    submit(job_in(folder, WAITS, elements=4), replace(lab, partition="gpu"))

    assert fill(folder, lab) == 3


def test_a_limit_below_the_largest_array_counts(cluster_of, folder, monkeypatch):
    cluster = cluster_of(max_array=10, max_submit=6)
    monkeypatch.setenv("SLURM_CONF", cluster.env["SLURM_CONF"])

    found = read_limits(SITE)
    assert (found.max_array, found.capacity) == (10, 6)
    assert fill(folder, SITE) == 6


@pytest.mark.parametrize(
    ("change", "minutes"),
    [
        ({}, 1440),
        ({"partition": "short"}, 20),
        ({"partition": "short,gpu"}, 20),
        ({"partition": "long"}, None),
        ({"qos": "wide"}, 30),
        ({"partition": "short", "qos": "wide"}, 20),
    ],
)
def test_partition_and_qos_limit_the_walltime(limited, change, minutes):
    assert read_limits(replace(SITE, **change)).minutes == minutes


def test_a_job_beyond_the_walltime_waits_for_ever(limited, folder):
    """SLURM accepts it nevertheless, so the limit has to be read before."""
    submit(job_in(folder, WAITS, minutes=21), replace(SITE, partition="short"))

    limited.wait_until(
        lambda: "PartitionTimeLimit" in limited.run("squeue", "--noheader", "--format=%r").stdout
    )


def test_a_partition_that_is_down_is_named(limited):
    found = read_limits(replace(SITE, partition="long"))

    assert "partition long is DOWN" in found.named


@pytest.mark.parametrize("key", ["partition", "controller_partition"])
def test_an_unknown_partition_is_refused_with_suggestions(limited, key):
    with pytest.raises(
        RefusedError, match=r"no partition 'gpu_requeu'; did you mean 'gpu_requeue'\? known: gpu, "
    ):
        read_limits(replace(SITE, **{key: "gpu_requeu"}))


def test_limits_are_known_while_the_database_is_down(limited, folder):
    """The controller has a copy, with the current use."""
    site = replace(SITE, account="lab", qos="wide")
    submit(job_in(folder, WAITS, elements=2), site)
    limited.dbd_kill()

    assert read_limits(site).capacity == 7


def test_an_unknown_limit_is_enforced_by_sbatch_only(cluster_of, folder, monkeypatch):
    """Without jobs in a QOS only the database knows its limit per user; if it is dead or frozen, we must not wait."""
    cluster = cluster_of()
    monkeypatch.setenv("SLURM_CONF", cluster.env["SLURM_CONF"])
    cluster.run("sacctmgr", "--immediate", "modify", "qos", "normal", "set", "MaxSubmitJobsPerUser=3")
    assert read_limits(SITE).capacity == 3

    monkeypatch.setattr(limits, "ACCOUNTING_SECONDS", 2.0)
    with stopped(cluster, "slurmdbd"):
        assert read_limits(SITE).capacity is None
    cluster.dbd_kill()
    assert read_limits(SITE).capacity is None
    with pytest.raises(NotNowError, match="QOSMaxSubmitJobPerUserLimit"):
        submit(job_in(folder, WAITS, elements=4), SITE)


def test_without_accounting_users_have_no_limits(cluster_of, monkeypatch):
    cluster = cluster_of(accounting=False, max_array=8)
    monkeypatch.setenv("SLURM_CONF", cluster.env["SLURM_CONF"])

    found = read_limits(SITE)

    assert (found.max_array, found.capacity, found.minutes) == (8, None, 1440)


def test_limits_of_a_silent_controller_are_an_error(here):
    here.ctld_kill()

    with pytest.raises(ClusterSilentError):
        read_limits(SITE)
