"""Queries about jobs in a real queue that wait, run, have ended, are forgotten, or never existed."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from lthsweep.errors import ClusterSilentError
from lthsweep.launch.slurm.cluster import queue
from lthsweep.launch.slurm.cluster.ask import ask
from lthsweep.launch.slurm.cluster.listing import FORMAT, parse_queue
from lthsweep.launch.slurm.cluster.queue import (
    Found,
    find_by_name,
    find_job,
    live_jobs,
    queue_snapshot,
    read_queue,
)
from lthsweep.launch.slurm.cluster.sbatch import cancel, submit
from tests.slurm.jobs import SITE, WAITS, job_in, stopped


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "jobs"


@pytest.fixture(autouse=True)
def _here(cluster, monkeypatch):
    """This process is the login node."""
    monkeypatch.setenv("SLURM_CONF", cluster.env["SLURM_CONF"])


def running():
    return [element for element in read_queue() if element.state == "RUNNING"]


def test_an_empty_queue_is_empty():
    assert read_queue() == ()


def test_running_and_waiting_elements_are_listed(cluster, folder):
    """Two nodes with two cores: of three elements with two cores, two run."""
    job = job_in(folder, WAITS, elements=3, minutes=7)
    number = submit(job, replace(SITE, cpus=2))
    cluster.wait_until(lambda: len(running()) == 2)

    elements = sorted(read_queue(), key=lambda element: element.index or 0)
    assert [element.id for element in elements] == [f"{number}_0", f"{number}_1", f"{number}_2"]
    assert {element.name for element in elements} == {job.name}
    assert {element.limit_seconds for element in elements} == {420}
    assert {element.partition for element in elements} == {"gpu_requeue"}
    first, second, waiting = elements
    assert {first.node, second.node} == set(cluster.nodes)
    assert len({first.raw, second.raw, waiting.raw}) == 3
    assert (first.restarts, first.reason) == (0, "")
    assert first.starts is not None
    assert abs(time.time() - first.starts) < 600
    assert (waiting.state, waiting.node) == ("PENDING", "")


def test_the_expected_start_of_a_job_is_read(cluster, folder):
    """SLURM computes the latest start of a job that waits for a core."""
    submit(job_in(folder, WAITS, elements=3), replace(SITE, cpus=2))

    def reason_and_start():
        return [(e.reason, e.starts) for e in read_queue() if e.state == "PENDING"]

    cluster.wait_until(lambda: any(reason == "Resources" and at for reason, at in reason_and_start()))


def test_an_array_on_one_line_has_all_elements(cluster, folder):
    """Without --array squeue writes "2-9%2"."""
    cluster.sbatch("sleep 600", "--array=0-9%2")
    cluster.wait_until(lambda: len(running()) == 2)

    compressed = parse_queue(ask(["squeue", "--Format", FORMAT], seconds=60))
    assert {element.id for element in compressed} == {element.id for element in read_queue()}


def test_an_unknown_user_is_an_error(cluster):
    """squeue prints no line and exits with 0."""
    assert cluster.run("squeue", "--user", "nosuchuser").returncode == 0

    with pytest.raises(ClusterSilentError, match="Invalid user"):
        read_queue("nosuchuser")


def test_a_job_is_found_after_its_end(cluster, folder):
    job = job_in(folder, WAITS, elements=2)
    number = submit(job, SITE)
    assert find_by_name(job.name) == number

    cancel([number])
    cluster.wait_empty()
    assert find_by_name(job.name) == number
    assert find_by_name(job.name + "0") is None
    assert find_by_name(job.name[:-1]) is None


def test_accounting_remembers_what_the_controller_forgot(cluster_of, folder, monkeypatch):
    """MinJobAge is minutes; a coordinator can return after hours."""
    cluster = cluster_of()
    monkeypatch.setenv("SLURM_CONF", cluster.env["SLURM_CONF"])
    conf = cluster.folder / "etc" / "slurm.conf"
    conf.write_text(conf.read_text().replace("MinJobAge=60", "MinJobAge=2"))
    cluster.ctld_kill()
    cluster.ctld_start()
    job = job_in(folder, "pass", elements=2)
    number = submit(job, SITE)
    cluster.wait_empty()
    cluster.wait_until(
        lambda: number not in cluster.run("squeue", "--states=all", "--format=%A").stdout.split()
    )
    cluster.wait_until(lambda: find_job(job.name).job == number)

    monkeypatch.setattr(queue, "ACCOUNTING_SECONDS", 2.0)
    with stopped(cluster, "slurmdbd"):  # sacct would wait for ever
        assert find_job(job.name) == Found(None, accounting=False)
    cluster.dbd_kill()
    assert find_job(job.name) == Found(None, accounting=False)


def test_jobs_are_found_without_accounting(cluster_of, folder, monkeypatch):
    cluster = cluster_of(accounting=False)
    monkeypatch.setenv("SLURM_CONF", cluster.env["SLURM_CONF"])
    job = job_in(folder, WAITS)
    number = submit(job, SITE)

    assert find_by_name(job.name) == number
    assert find_job("lth-nothere-0001") == Found(None, accounting=False)


def test_live_jobs_are_those_that_wait_or_run(cluster, folder):
    """Claims are released by the id that a worker's job has in its environment, not by the id of its array."""
    array = submit(job_in(folder, WAITS, elements=2), SITE)
    gone = submit(job_in(folder, "pass"), SITE)
    cluster.wait_until(lambda: len(running()) == 2 and gone not in cluster.queue())
    raw = {element.raw for element in read_queue()}

    found = live_jobs([*raw, array, gone, "999999"])
    assert found.keys() == {*raw, array}
    assert {found[job].raw for job in raw} == raw
    assert live_jobs([gone]) == live_jobs(["999999"]) == live_jobs(["999998", "999999"]) == {}


def test_a_silent_controller_is_never_an_empty_queue(cluster, folder, tmp_path):
    cache = tmp_path / "queue.json"
    submit(job_in(folder, WAITS), SITE)
    seen = queue_snapshot(cache, 3600)
    cluster.ctld_kill()

    with pytest.raises(ClusterSilentError):
        read_queue()
    with pytest.raises(ClusterSilentError):
        find_by_name("lth-test-0001")
    with pytest.raises(ClusterSilentError):
        live_jobs(["1"])
    assert queue_snapshot(cache, 3600) == seen
