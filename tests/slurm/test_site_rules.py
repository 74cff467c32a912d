"""Rules of real sites, as plugins of a real SLURM: a sweep obeys them, or is refused before anything is written."""

from __future__ import annotations

import contextlib

import pytest

from tests.slurm.conftest import PATIENT, running
from tests.slurm.tiny import tiny_on

RULES = """
local function refuse(text)
    slurm.log_user(text)
    return slurm.ERROR
end

function slurm_job_submit(job, partitions, uid)
    if job.partition == "percore" and job.min_mem_per_node ~= nil then
        return refuse("Requesting memory by node is not supported. Use --mem-per-cpu.")
    end
    if job.partition == "sized" and job.min_mem_per_node == nil and job.min_mem_per_cpu == nil then
        return refuse("memory limit must be provided for shared jobs")
    end
    if job.partition == "licensed" and (job.licenses == nil or job.licenses == "") then
        return refuse("every job must name a license")
    end
    if job.partition == "gpus" and job.tres_per_job == nil and job.min_cpus ~= 1 then
        return refuse("ask for GPUs with --gpus")
    end
    return slurm.SUCCESS
end

function slurm_job_modify(job, current, partitions, uid)
    return slurm.SUCCESS
end
"""
"""One rule for each partition; jobs of other partitions are accepted."""

PARTITIONS = ("percore", "sized", "licensed", "gpus")


@pytest.fixture(scope="module")
def _strict():
    with running(conf=(*PATIENT, "Licenses=torch:8")) as cluster:
        cluster.ctld_kill()
        (cluster.folder / "etc" / "job_submit.lua").write_text(RULES)
        with (cluster.folder / "etc" / "slurm.conf").open("a") as conf:
            conf.write("JobSubmitPlugins=lua\n")
        cluster.ctld_start()
        cluster.heal()  # the nodes have registered
        for name in PARTITIONS:
            cluster.run("scontrol", "create", f"partition={name}", "Nodes=n1,n2", "MaxTime=60")
        yield cluster


@pytest.fixture
def sweep_in(tmp_path, cache, _strict):
    """Make a tiny sweep in a partition of the strict cluster."""

    def make(partition, cluster=_strict):
        ours = tiny_on(cluster, tmp_path, cache)
        chosen = f'partition = "{partition}"\n' if partition else ""
        ours.file.write_text(ours.file.read_text().replace('memory = "1G"\n', chosen))
        return ours

    yield make
    _strict.heal()


def test_memory_per_core_reaches_every_job(sweep_in):
    """The site refuses --mem; workers and controller jobs ask for --mem-per-cpu."""
    ours = sweep_in("percore")
    ours.run("--wait", "--set", "slurm.memory_per_cpu=500M")

    assert ours.done == len(ours.plan.runs)


def test_memory_demanded_of_every_job(sweep_in):
    """The controller job names its memory, too, wherever workers do."""
    ours = sweep_in("sized")
    ours.run("--wait", "--set", "slurm.memory=500M")

    assert ours.done == len(ours.plan.runs)


def test_missing_memory_is_refused_before_writing(sweep_in):
    ours = sweep_in("sized")
    output = ours.run(code=2)

    assert "memory" in output
    assert "a worker job" in output
    assert not ours.sweep.path.exists()


def test_options_of_the_file_reach_every_job(sweep_in):
    ours = sweep_in("licensed")
    ours.run("--wait", "--set", 'slurm.options={licenses="torch:1"}')

    assert ours.done == len(ours.plan.runs)


def test_gpus_are_requested_as_the_site_demands(sweep_in):
    ours = sweep_in("gpus")
    refused = ours.run("--set", "slurm.gpus=1", "--set", "slurm.cpus=2", code=2)
    accepted = ours.lthsweep(
        *("plan", ours.file, "--on", "slurm", "--set", "slurm.gpus=1", "--set", 'slurm.gpu_form="gpus"')
    )

    assert "slurm.gpu_form" in refused or "--gpus" in refused
    assert "#SBATCH --gpus=1" in accepted.stdout
    assert not ours.sweep.path.exists()


@pytest.mark.parametrize("wrong", ["slurm.qos=nope", "slurm.account=nobody-here"])
def test_an_unknown_name_is_refused_before_writing(sweep_in, wrong):
    ours = sweep_in("")
    ours.run("--set", wrong, code=2)

    assert not ours.sweep.path.exists()


def test_a_cluster_without_arrays(tmp_path, cache, cluster_of):
    """Every worker job is submitted by itself, and its log, status and end are found under its plain id."""
    cluster = cluster_of(conf=("MaxArraySize=0",), accounting=False)
    ours = tiny_on(cluster, tmp_path, cache, seeds="[0, 1]")
    output = ours.run()
    ours.wait_done()
    cluster.wait_empty()

    assert "worker job" in output
    assert not any(submission.array for submission in ours.journal())
    assert all(submission.elements == 1 for submission in ours.journal())
    assert "element 0: " in ours.lthsweep("logs", ours.sweep.path, ours.plan.dense[0].key, "--job").stdout


@pytest.mark.parametrize("limit", ["max_elements=1", "max_elements=2", "MaxSubmitJobs=2"])
def test_the_tightest_limits_on_jobs_suffice(tmp_path, cache, cluster_of, limit):
    """A worker job comes before the controller job: it leaves one at its end. The reason is shown meanwhile."""
    cluster = cluster_of(max_submit=2) if limit.startswith("Max") else cluster_of(accounting=False)
    ours = tiny_on(cluster, tmp_path, cache, seeds="[0, 1, 2]")
    options = [] if limit.startswith("Max") else ["--set", f"slurm.{limit}"]
    with cluster.busy() if not limit.startswith("Max") else contextlib.nullcontext():
        ours.run(*options)
    ours.wait_done()
    ours.wait_for(ours.sweep.table.exists)

    assert set(ours.starts().values()) == {1}
    assert "limit on jobs" in (ours.sweep.logs / "controller.log").read_text()


def test_a_closed_partition_delays_the_sweep(tmp_path, cache, cluster_of):
    """The controller job cannot submit while the partition is drained; it goes on when the partition is open."""
    cluster = cluster_of(accounting=False)
    ours = tiny_on(cluster, tmp_path, cache)
    with cluster.busy():
        ours.run()
        worker, controller = ours.journal()
        cluster.run("scontrol", "update", "partition=gpu_requeue", "State=DRAIN")
        cluster.run("scancel", worker.job)
    log = ours.sweep.submission(controller.name)
    ours.wait_for(lambda: any("now" in path.read_text() for path in log.glob("*.out")))
    assert ours.done == 0
    cluster.run("scontrol", "update", "partition=gpu_requeue", "State=UP")

    ours.wait_done()
    ours.wait_for(ours.sweep.table.exists)


def test_waiting_run_replaces_steps_of_jobs(tmp_path, cache, cluster_of):
    """Compute nodes cannot submit jobs: `run --wait` takes every step itself."""
    cluster = cluster_of(accounting=False)
    refusing = tmp_path / "sbatch"
    refusing.write_text(
        "#!/bin/sh\necho 'sbatch: error: Batch job submission failed: Access/permission denied' >&2\nexit 1\n"
    )
    refusing.chmod(0o755)
    ours = tiny_on(cluster, tmp_path, cache, floor_minutes=0.0005, target_minutes=0.001)
    ours.file.write_text(ours.file.read_text() + f"setup = ['export PATH={tmp_path}:$PATH']\n")
    ours.run("--wait")

    assert ours.done == len(ours.plan.runs)
    authors = {submission.by.partition(" ")[0] for submission in ours.journal()}
    assert not authors & set(cluster.nodes)
