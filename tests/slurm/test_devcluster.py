"""slurm/devcluster: a real SLURM whose nodes can lose power, and which is removed without a trace."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.slurm.conftest import DEVCLUSTER


@pytest.fixture
def folder():
    """A short path of a folder that does not exist."""
    with tempfile.TemporaryDirectory(prefix="lth-", dir="/tmp") as parent:
        yield Path(parent) / "c"


@pytest.fixture
def bare_path(tmp_path):
    """A PATH with nothing of SLURM on it."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "apt-get").symlink_to("/bin/false")
    return str(tmp_path / "bin")


def devcluster(*words, user=None, **variables):
    return subprocess.run(
        [sys.executable, str(DEVCLUSTER), *map(str, words)],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        user=user,
    )


def processes_with(text):
    """Return the pids of all processes whose command line or environment contains a text."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            answer = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except OSError:
            continue
        if text.encode() in answer:
            found.append(int(entry.name))
    return found


def namespaces_allowed():
    command = ["unshare", "--pid", "--uts", "--ipc", "--mount-proc", "--fork", "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def eventually(what, seconds=240):
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, f"waited {seconds} s in vain"
        time.sleep(0.1)


def test_nodes_have_separate_names_and_process_ids(cluster):
    """As on a real cluster, a process id does not show whether a process on another node is alive."""
    answer = cluster.run(
        "srun", "--nodes=2", "sh", "-c", "echo $SLURMD_NODENAME `hostname` `readlink /proc/self/ns/pid`"
    )
    rows = sorted(line.split() for line in answer.stdout.splitlines())

    assert [row[0] for row in rows] == ["n1", "n2"]
    if not namespaces_allowed():
        pytest.skip("SKIPPED: namespaces are not permitted here, so the nodes share this machine's")
    assert [row[1] for row in rows] == ["n1", "n2"]
    assert len({row[2] for row in rows} | {str(Path("/proc/self/ns/pid").readlink())}) == 3


def test_an_element_of_an_array_runs_once(cluster, tmp_path):
    job = cluster.sbatch(f"echo $SLURM_ARRAY_TASK_ID >> {tmp_path}/ran", "--array=0-4")
    cluster.wait_empty()

    assert sorted((tmp_path / "ran").read_text().split()) == list("01234")
    states = ("sacct", "-n", "-X", "-j", job, "-o", "State")
    cluster.wait_until(lambda: cluster.run(*states).stdout.split() == ["COMPLETED"] * 5)


@pytest.mark.parametrize("option", ["--gres=gpu:1", "--gpus-per-node=1", "--gres=gpu:fake:1"])
def test_jobs_on_one_node_get_different_gpus(cluster, tmp_path, option):
    """The GPUs are fake, but SLURM allocates them like real ones."""
    both = f"until [ -e {tmp_path}/0 ] && [ -e {tmp_path}/1 ]; do sleep 0.1; done"
    for number in range(2):
        cluster.sbatch(f"echo $CUDA_VISIBLE_DEVICES > {tmp_path}/{number}; {both}", option, "--nodelist=n1")
    cluster.wait_empty()

    assert sorted((tmp_path / name).read_text().strip() for name in "01") == ["0", "1"]


def test_limits_are_enforced(cluster_of):
    """MaxArraySize caps the index; MaxSubmitJobs counts the elements in the queue."""
    cluster = cluster_of(max_array=5, max_submit=6)
    sbatch = ("sbatch", "--wrap=sleep 600", "--output=/dev/null")
    too_long = cluster.run(*sbatch, "--array=0-5", check=False)
    cluster.run(*sbatch, "--array=0-4")
    too_many = cluster.run(*sbatch, "--array=0-1", check=False)
    cluster.run(*sbatch)

    assert "Invalid job array specification" in too_long.stderr
    assert "QOSMaxSubmitJobPerUserLimit" in too_many.stderr
    assert len(cluster.queue()) == 6


def test_a_higher_partition_preempts_a_lower_one(cluster, tmp_path):
    job = cluster.sbatch(f"echo run >> {tmp_path}/ran; sleep 600", "--nodes=2", "--exclusive")
    cluster.wait_until((tmp_path / "ran").exists)
    urgent = cluster.sbatch("sleep 600", "--partition=gpu", "--nodes=2", "--exclusive")
    cluster.wait_until(lambda: cluster.queue() == {job: "PENDING", urgent: "RUNNING"})
    cluster.run("scancel", urgent)
    cluster.wait_until(lambda: (tmp_path / "ran").read_text().split() == ["run", "run"])

    assert "Restarts=1" in cluster.run("scontrol", "show", "job", job).stdout


def test_a_requeued_job_starts_again(cluster, tmp_path):
    job = cluster.sbatch(f"echo ${{SLURM_RESTART_COUNT:-0}} >> {tmp_path}/ran; sleep 600")
    cluster.wait_until((tmp_path / "ran").exists)
    cluster.run("scontrol", "requeue", job)

    cluster.wait_until(lambda: (tmp_path / "ran").read_text().split() == ["0", "1"])


def test_a_job_moves_after_a_power_cut(cluster, tmp_path):
    job = cluster.sbatch(f"echo $SLURMD_NODENAME >> {tmp_path}/ran; sleep 600")
    cluster.wait_until((tmp_path / "ran").exists)
    first = (tmp_path / "ran").read_text().strip()
    cluster.node_kill(first)

    cluster.wait_until(lambda: len((tmp_path / "ran").read_text().split()) == 2)
    assert (tmp_path / "ran").read_text().split() == [first, "n2" if first == "n1" else "n1"]
    assert "down" in cluster.node_states()[first]
    assert "Restarts=1" in cluster.run("scontrol", "show", "job", job).stdout


def hide(mark, tmp_path):
    """Return a job that starts a detached process and continues."""
    script = tmp_path / "hide.sh"
    script.write_text(
        f"setsid nohup sh -c 'exec sleep {mark}' >/dev/null 2>&1 & sleep 0.5; exec sleep {mark}\n"
    )
    return f"sh {script}"


@pytest.mark.parametrize("namespaces", [True, False])
def test_a_power_cut_ends_everything_on_the_node(folder, tmp_path, namespaces):
    """slurmd, its steps, and detached processes of jobs; with and without namespaces."""
    variables = {}
    if namespaces and not namespaces_allowed():
        pytest.skip("SKIPPED: namespaces are not permitted here")
    if not namespaces:
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "unshare").symlink_to("/bin/false")
        variables["PATH"] = f"{tmp_path}/bin:{os.environ['PATH']}"
    started = devcluster("up", "--dir", folder, "--no-accounting", "--nodes", 1, **variables)
    assert started.returncode == 0, started.stderr
    try:
        mark = "98765.25" if namespaces else "98765.75"
        environment = {"SLURM_CONF": f"{folder}/etc/slurm.conf"}
        subprocess.run(
            ["sbatch", "-o", "/dev/null", f"--wrap={hide(mark, tmp_path)}"],
            env=os.environ | environment,
            check=True,
        )
        eventually(lambda: len(processes_with(f"sleep\0{mark}\0")) == 2)
        killed = devcluster("node", "n1", "kill", "--dir", folder)

        assert killed.returncode == 0, killed.stderr
        assert processes_with(f"sleep\0{mark}\0") == []
    finally:
        devcluster("down", "--dir", folder)
    assert processes_with(str(folder)) == []


def test_jobs_survive_a_crash_of_slurmd(cluster_of, tmp_path):
    """The job ends before SlurmdTimeout, which is long here."""
    cluster = cluster_of(accounting=False)
    conf = cluster.folder / "etc" / "slurm.conf"
    conf.write_text(conf.read_text().replace("SlurmdTimeout=10", "SlurmdTimeout=600"))
    cluster.run("scontrol", "reconfigure")
    waits = f"until [ -e {tmp_path}/go ]; do sleep 0.1; done"
    job = cluster.sbatch(f"touch {tmp_path}/ran; {waits}; touch {tmp_path}/ended", "--nodelist=n1")
    cluster.wait_until((tmp_path / "ran").exists)
    cluster.node_crash("n1")
    crashed = cluster.run(sys.executable, DEVCLUSTER, "status", "--dir", cluster.folder, check=False)
    (tmp_path / "go").touch()
    cluster.wait_until((tmp_path / "ended").exists)
    cluster.node_start("n1")
    cluster.wait_empty()

    assert crashed.returncode == 1
    assert "n1           DOWN" in crashed.stdout
    assert "Restarts=0" in cluster.run("scontrol", "show", "job", job).stdout


def test_jobs_survive_the_death_of_slurmctld(cluster, tmp_path):
    """While it is dead, commands fail; afterward its queue is the last saved one."""
    job = cluster.sbatch(f"touch {tmp_path}/ran; sleep 600")
    waiting = cluster.sbatch("true", "--hold")
    cluster.wait_until((tmp_path / "ran").exists)
    cluster.ctld_kill()
    silent = cluster.run("squeue", check=False)
    cluster.ctld_start()

    assert silent.returncode != 0
    assert cluster.queue() == {job: "RUNNING", waiting: "PENDING"}


def test_without_slurmdbd_jobs_run_and_sacct_fails(cluster):
    cluster.dbd_kill()
    silent = cluster.run("sacct", check=False)
    job = cluster.sbatch("true")
    cluster.wait_empty()
    cluster.dbd_start()

    assert silent.returncode != 0
    states = ("sacct", "-n", "-X", "-j", job, "-o", "State")
    cluster.wait_until(lambda: cluster.run(*states).stdout.split() == ["COMPLETED"])


def test_a_drained_node_gets_no_jobs(cluster, tmp_path):
    cluster.node_drain("n1")
    cluster.sbatch(f"echo $SLURMD_NODENAME >> {tmp_path}/ran", "--array=0-3")
    cluster.wait_empty()
    cluster.node_resume("n1")

    assert set((tmp_path / "ran").read_text().split()) == {"n2"}
    assert cluster.run("srun", "--nodelist=n1", "printenv", "SLURMD_NODENAME").stdout.strip() == "n1"


def test_heal_restores_the_cluster_after_every_fault(cluster):
    cluster.sbatch("sleep 600", "--array=0-9")
    cluster.node_drain("n1")
    cluster.node_kill("n2")
    cluster.dbd_kill()
    cluster.ctld_kill()
    cluster.heal()

    assert cluster.queue() == {}
    assert cluster.node_states() == {"n1": "idle", "n2": "idle"}
    assert cluster.run("sacct").returncode == 0


def test_ids_of_forgotten_jobs_are_not_reused(cluster, tmp_path):
    """SLURM would reuse them, and drain the node on which the first job with that id still runs."""
    first = cluster.sbatch(f"touch {tmp_path}/ran; sleep 600", "--array=0-1")
    cluster.wait_until((tmp_path / "ran").exists)
    cluster.ctld_kill(saved=False)
    cluster.heal()
    second = cluster.sbatch("sleep 600", "--array=0-1")

    assert int(second) > int(first) + 2
    cluster.wait_until(lambda: cluster.queue() == {f"{second}_{index}": "RUNNING" for index in (0, 1)})


def test_two_clusters_are_independent(cluster, cluster_of):
    other = cluster_of(accounting=False)
    job = other.sbatch("sleep 600")

    assert other.queue().keys() == {job}
    assert cluster.queue() == {}


def test_down_removes_everything(folder, tmp_path):
    """No process remains, not even a detached one of a job; no file; no mount."""
    assert devcluster("up", "--dir", folder).returncode == 0
    environment = os.environ | {"SLURM_CONF": f"{folder}/etc/slurm.conf"}
    wrap = f"--wrap={hide('98765.5', tmp_path)}"
    subprocess.run(["sbatch", "-o", "/dev/null", wrap], env=environment, check=True)
    eventually(lambda: len(processes_with("sleep\098765.5\0")) == 2)
    ended = devcluster("down", "--dir", folder)

    assert ended.returncode == 0, ended.stderr
    assert processes_with(str(folder)) == []
    assert processes_with("sleep\098765.5\0") == []
    assert not folder.exists()
    assert str(folder) not in Path("/proc/mounts").read_text()


def test_a_cluster_ends_with_its_companion_process(folder):
    """A test run that is killed cannot stop its cluster itself."""
    companion = subprocess.Popen(["sleep", "600"])
    started = devcluster("up", "--dir", folder, "--no-accounting", "--while", companion.pid)
    assert started.returncode == 0, started.stderr
    companion.kill()
    companion.wait()

    eventually(lambda: not folder.exists())
    eventually(lambda: processes_with(str(folder)) == [])


def test_a_failed_start_leaves_only_the_reason(folder):
    started = devcluster("up", "--dir", folder, "--no-accounting", "--conf", "NoSuchSetting=1")

    assert started.returncode == 1
    assert "NoSuchSetting" in started.stderr
    assert not folder.exists()
    assert processes_with(str(folder)) == []


def test_status_lists_daemons_and_limits(cluster):
    answer = cluster.run(sys.executable, DEVCLUSTER, "status", "--dir", cluster.folder).stdout.splitlines()

    assert [line.split()[:2] for line in answer[:6]] == [
        [name, "up"] for name in ("munge", "mariadb", "slurmdbd", "slurmctld", "n1", "n2")
    ]
    assert answer[6] == "limits       MaxArraySize 1001, MaxSubmitJobs none"


def test_env_sets_up_a_shell(cluster):
    answer = cluster.run(
        "bash", "-c", f'eval "$({sys.executable} {DEVCLUSTER} env --dir {cluster.folder})"; sinfo -h -o %P'
    )
    assert answer.stdout.split() == ["gpu_requeue*", "gpu"]


def test_an_unknown_verb_is_refused():
    refused = devcluster("explode")

    assert refused.returncode == 2
    assert "invalid choice: 'explode'" in refused.stderr


@pytest.mark.parametrize("words", [["status"], ["down"], ["env"], ["node", "n1", "kill"], ["ctld", "start"]])
def test_every_verb_reports_a_missing_cluster(folder, words):
    refused = devcluster(*words, "--dir", folder)

    assert refused.returncode == 1
    expected = f"no devcluster in {folder}; start one: slurm/devcluster up --dir {folder}"
    assert refused.stderr == f"devcluster: {expected}\n"


def test_missing_packages_are_named(folder, bare_path):
    refused = devcluster("up", "--dir", folder, PATH=bare_path)
    fewer = devcluster("up", "--dir", folder, "--no-accounting", PATH=bare_path)

    assert refused.returncode == fewer.returncode == 3
    assert "not installed: mariadb-server munge slurm-wlm slurmdbd; `up --install`" in refused.stderr
    assert "not installed: munge slurm-wlm; `up --install`" in fewer.stderr
    assert not folder.exists()


def test_a_failed_installation_is_reported(folder, bare_path):
    refused = devcluster("up", "--dir", folder, "--install", PATH=bare_path)

    assert refused.returncode == 1
    assert "`apt-get update -q` failed" in refused.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_only_root_can_start_a_cluster(folder, tmp_path):
    shutil.copytree(DEVCLUSTER.parent, folder, ignore=shutil.ignore_patterns("__pycache__"))
    folder.parent.chmod(0o755)
    refused = subprocess.run(
        ["python3", str(folder / "devcluster"), "up", "--dir", str(tmp_path / "c")],
        capture_output=True,
        text=True,
        check=False,
        user=65534,
        cwd="/",
    )

    assert refused.returncode == 3
    assert "only root may do this" in refused.stderr


def test_a_folder_in_use_is_refused(cluster, tmp_path):
    again = devcluster("up", "--dir", cluster.folder)
    (tmp_path / "mine").write_text("precious")
    foreign = devcluster("up", "--dir", tmp_path)

    assert again.returncode == 1
    assert "is in" in again.stderr
    if len(str(tmp_path)) <= 72:
        assert f"something else is in {tmp_path}" in foreign.stderr
    assert (tmp_path / "mine").read_text() == "precious"


def test_a_path_too_long_for_sockets_is_refused():
    refused = devcluster("up", "--dir", "/tmp/" + "long" * 20)

    assert refused.returncode == 1
    assert "has 85 bytes" in refused.stderr


def test_limits_on_submissions_need_accounting(folder):
    refused = devcluster("up", "--dir", folder, "--no-accounting", "--max-submit", 6)

    assert refused.returncode == 1
    assert "leave out --no-accounting" in refused.stderr


def test_there_is_no_third_node(cluster):
    refused = devcluster("node", "n3", "kill", "--dir", cluster.folder)

    assert "there is no node n3; there are n1 n2" in refused.stderr
