"""Jobs that a real SLURM accepts and runs as their scripts demand."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lthsweep.errors import ClusterSilentError, NotNowError, RefusedError
from lthsweep.launch.slurm.cluster.queue import find_by_name, read_queue
from lthsweep.launch.slurm.cluster.sbatch import cancel, requeue, submit
from lthsweep.launch.slurm.job_files import last_log_line, nodes_of
from lthsweep.launch.slurm.journal import (
    Submission,
    note_id,
    open_journal,
    publish_intent,
    read_submission,
)
from lthsweep.store.layout import SweepDir
from tests.slurm.jobs import SITE, WAITS, job_in, logs, stopped

TELL = "import json, os; print(json.dumps({'cores': len(os.sched_getaffinity(0)), **os.environ}))"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "jobs"


@pytest.fixture(autouse=True)
def _here(cluster, monkeypatch):
    """This process is the login node."""
    monkeypatch.setenv("SLURM_CONF", cluster.env["SLURM_CONF"])


def environments(folder):
    """Return the output of jobs of TELL."""
    return [json.loads(line) for text in logs(folder) for line in text.splitlines() if line.startswith("{")]


def starts(folder):
    return [path.read_text().splitlines() for path in sorted(folder.glob("*.node"))]


def test_every_array_element_runs_and_leaves_traces(cluster, folder):
    number = submit(job_in(folder, TELL, elements=3), replace(SITE, cpus=2))
    cluster.wait_empty()

    found = environments(folder)
    assert sorted(element["SLURM_ARRAY_TASK_ID"] for element in found) == ["0", "1", "2"]
    assert {element["SLURM_ARRAY_JOB_ID"] for element in found} == {number}
    assert {element["SLURM_CPUS_PER_TASK"] for element in found} == {"2"}
    for element in found:
        (line,) = (folder / f"{element['SLURM_ARRAY_TASK_ID']}.node").read_text().splitlines()
        assert line.split()[:3] == [element["SLURMD_NODENAME"], element["SLURM_JOB_ID"], "0"]
    assert not list(folder.glob("*.pkl"))


def test_traces_of_a_job_are_found(cluster, tmp_path):
    sweep = SweepDir(tmp_path / "sweep").create()
    open_journal(sweep)
    intent = publish_intent(sweep, Submission(1, "", "workers", shares=(("a",), ("b",)), minutes=5))
    assert intent is not None
    program = "import os; print('first'); print('last of', os.environ['SLURM_ARRAY_TASK_ID'])"
    job = job_in(sweep.submission(intent.name), program, name=intent.name, elements=2)
    note_id(sweep, intent.name, submit(job, SITE))
    cluster.wait_empty()

    assert nodes_of(sweep, intent.name, 1)[0] in cluster.nodes
    assert last_log_line(sweep, read_submission(sweep, intent.name), 1) == "last of 1"


@pytest.mark.parametrize("name", ["two words", "it's", "50%j", "ünï", "$HOME `id` ;#"])
def test_a_folder_can_have_an_odd_name(cluster, tmp_path, name):
    """sbatch splits its lines like a shell, and puts ids in place of %j."""
    folder = tmp_path / name
    submit(job_in(folder, TELL, elements=1), SITE)
    cluster.wait_empty()

    assert len(environments(folder)) == 1
    assert (folder / "0.node").exists()


def test_gpus_reach_the_command(cluster, folder):
    for form in ("gres", "gpus-per-node"):
        submit(job_in(folder, TELL), replace(SITE, gpus=2, gpu_type="fake", gpu_form=form))
    submit(job_in(folder, TELL, light=True), replace(SITE, gpus=2))
    cluster.wait_empty()

    assert sorted(job.get("CUDA_VISIBLE_DEVICES", "none") for job in environments(folder)) == [
        "0,1",
        "0,1",
        "none",
    ]


def test_setup_lines_run_before_the_command(cluster, folder):
    site = replace(SITE, setup=("export FIRST=1", 'export SECOND="$FIRST 2"'))
    submit(job_in(folder, TELL), site)
    submit(job_in(folder, TELL, light=True), site)
    cluster.wait_empty()

    assert [job["SECOND"] for job in environments(folder)] == ["1 2", "1 2"]


HEARS = (
    "import os, signal, time\n"
    "def receive(number, frame): print('received', signal.Signals(number).name, flush=True); os._exit(0)\n"
    "for number in (signal.SIGTERM, signal.SIGUSR2): signal.signal(number, receive)\n"
    "print('ready', flush=True)\n"
    "time.sleep(600)"
)


def reporting(folder, tmp_path, **changes):
    """Return a job that prints the signal it receives."""
    program = tmp_path / "hears.py"
    program.write_text(HEARS)
    return replace(job_in(folder, ""), command=(sys.executable, str(program)), **changes)


def is_ready(folder):
    return any("ready" in text for text in logs(folder))


@pytest.mark.slow
def test_the_signal_before_the_limit_reaches_the_command(cluster, folder, tmp_path):
    """SLURM checks the time once a minute, and sends the signal up to a minute early."""
    submit(reporting(folder, tmp_path, minutes=2), replace(SITE, grace_seconds=30))
    cluster.wait_empty(seconds=400)

    assert "received SIGUSR2" in "".join(logs(folder))


def test_a_preempted_job_is_signaled_and_requeued(cluster, folder, tmp_path):
    number = submit(reporting(folder, tmp_path), replace(SITE, cpus=2, partition="gpu_requeue"))
    cluster.wait_until(lambda: is_ready(folder))
    urgent = cluster.sbatch("sleep 1", "--partition=gpu", "--nodes=2", "--exclusive")
    cluster.wait_until(lambda: urgent not in cluster.queue())

    assert "received SIGTERM" in "".join(logs(folder))
    (element,) = [element for element in read_queue() if element.job == number]
    assert element.restarts == 1
    cluster.wait_until(lambda: len((folder / "0.node").read_text().splitlines()) == 2)
    first, second = (folder / "0.node").read_text().splitlines()
    assert (first.split()[1:3], second.split()[1:3]) == ([number, "0"], [number, "1"])


@pytest.mark.parametrize("light", [False, True])
def test_a_canceled_job_gets_a_signal(cluster, folder, tmp_path, light):
    number = submit(reporting(folder, tmp_path, light=light), SITE)
    cluster.wait_until(lambda: is_ready(folder))
    cancel([number])
    cluster.wait_empty()

    assert "received SIGTERM" in "".join(logs(folder))


def test_a_job_submits_another_without_its_own_variables(cluster, folder, tmp_path):
    """Follow-up jobs do this. Their variables must not become options of the next job."""
    program = tmp_path / "inside.py"
    program.write_text(
        "from dataclasses import replace\n"
        "from pathlib import Path\n"
        "from lthsweep.launch.slurm.cluster.sbatch import submit\n"
        "from tests.slurm.jobs import SITE, job_in\n"
        "from tests.slurm.test_sbatch import TELL\n"
        f"submit(job_in(Path({str(folder)!r}), TELL, elements=2), replace(SITE, cpus=2))\n"
    )
    outer = replace(job_in(tmp_path / "outer", ""), command=(sys.executable, str(program)), light=True)
    setup = (
        "export SBATCH_TIMELIMIT=1 SBATCH_PARTITION=nowhere SLURM_NTASKS=2",
        f"export PYTHONPATH={Path.cwd()}",
    )
    submit(outer, replace(SITE, gpus=1, setup=setup))
    cluster.wait_until(lambda: len(starts(folder)) == 2)
    cluster.wait_empty()

    assert len(environments(folder)) == 2
    for job in environments(folder):
        assert (job["SLURM_CPUS_PER_TASK"], job["SLURM_NTASKS"]) == ("2", "1")
        assert job["SLURM_ARRAY_TASK_COUNT"] == "2"
        assert job["SLURM_JOB_PARTITION"] == "gpu_requeue"
        assert "SBATCH_TIMELIMIT" not in job


def test_jobs_wait_for_their_dependencies(cluster, folder, tmp_path):
    done = tmp_path / "done"
    waits = f"import os, time\nwhile not os.path.exists({str(done)!r}): time.sleep(0.1)"
    (tmp_path / "waits.py").write_text(waits)
    first = submit(job_in(folder, "", elements=2, command=(sys.executable, str(tmp_path / "waits.py"))), SITE)
    second = submit(job_in(folder, TELL, elements=2, dependency=f"aftercorr:{first}"), SITE)

    cluster.wait_until(lambda: any(e.job == second and e.reason == "Dependency" for e in read_queue()))
    assert environments(folder) == []
    done.touch()
    cluster.wait_empty()
    assert len(environments(folder)) == 2


def test_a_job_whose_dependency_failed_leaves_the_queue(cluster, folder):
    first = submit(job_in(folder, "raise SystemExit(1)"), SITE)
    submit(job_in(folder, TELL, dependency=f"afterok:{first}"), SITE)
    cluster.wait_empty()

    assert environments(folder) == []


def test_a_job_can_begin_later(cluster, folder):
    number = submit(job_in(folder, TELL, begin="now+3600"), SITE)

    (element,) = [element for element in read_queue() if element.job == number]
    assert (element.state, element.reason) == ("PENDING", "BeginTime")


@pytest.mark.parametrize(
    ("change", "sentence", "key"),
    [
        ({"partition": "nowhere"}, "Invalid partition name", "slurm.partition"),
        ({"account": "nobody"}, "Invalid account", "slurm.account"),
        ({"qos": "best"}, "Invalid qos", "slurm.qos"),
        ({"constraint": "a100"}, "Invalid feature", "slurm.constraint"),
        ({"gpus": 1, "gpu_type": "h100"}, "Requested node configuration is not available", "slurm.gpu_type"),
        ({"memory": "900T"}, "Memory specification can not be satisfied", "slurm.memory"),
        ({"exclude": ("n77",)}, "Invalid node name", "slurm.exclude"),
        ({"reservation": "mine"}, "Requested reservation is invalid", "slurm.reservation"),
        ({"extra": {"licenses": "matlab"}}, "Invalid license", "slurm.options"),
        ({"extra": {"nonsense": "1"}}, "unrecognized option", "slurm.options"),
    ],
)
def test_a_wrong_value_is_refused_with_slurms_message(folder, change, sentence, key):
    with pytest.raises(RefusedError, match=sentence) as refusal:
        submit(job_in(folder, TELL), replace(SITE, **change))

    assert not isinstance(refusal.value, NotNowError)
    assert key in str(refusal.value)
    assert read_queue() == ()


def test_a_too_large_array_is_refused_for_now(cluster, folder):
    with pytest.raises(NotNowError, match="Invalid job array specification"):
        submit(job_in(folder, TELL, elements=cluster.max_array + 1), SITE)


def test_unanswered_sbatch_can_have_queued_a_job(cluster, folder):
    """The controller freezes before its answer, as under high load. The job is found by its name."""
    job = job_in(folder, WAITS)
    with stopped(cluster, "slurmctld"), pytest.raises(ClusterSilentError, match="may have been queued"):
        submit(job, SITE)

    cluster.wait_until(lambda: find_by_name(job.name) is not None)


def test_a_dead_controller_is_not_a_refusal(cluster, folder):
    cluster.ctld_kill()

    job = job_in(folder, WAITS)
    with pytest.raises(ClusterSilentError):
        submit(job, SITE)
    with pytest.raises(ClusterSilentError):
        cancel(["1"])
    assert requeue("1") is False
    cluster.ctld_start()
    assert find_by_name(job.name) is None


PUTS_BACK = """
import os, signal, time
from lthsweep.launch.slurm.cluster.sbatch import requeue
signals = []
signal.signal(signal.SIGTERM, lambda *_: signals.append(True))
own = os.environ["SLURM_ARRAY_JOB_ID"] + "_" + os.environ["SLURM_ARRAY_TASK_ID"]
restarts = int(os.environ.get("SLURM_RESTART_COUNT", 0))
print("start", own, restarts, flush=True)
if restarts == 0:
    print(requeue(own), flush=True)
    while not signals:
        time.sleep(0.1)
"""


def test_a_job_requeues_itself(cluster, folder, tmp_path):
    program = tmp_path / "puts_back.py"
    program.write_text(PUTS_BACK)
    job = replace(job_in(folder, "", elements=2), command=(sys.executable, str(program)))
    number = submit(job, SITE)
    cluster.wait_until(lambda: [len(nodes) for nodes in starts(folder)] == [2, 2])
    cluster.wait_empty()

    for index, text in enumerate(logs(folder)):
        output = [line for line in text.splitlines() if line.startswith(("start", "True", "False"))]
        assert output == [f"start {number}_{index} 0", "True", f"start {number}_{index} 1"]


def test_only_the_named_elements_are_canceled(cluster, folder):
    number = submit(job_in(folder, WAITS, elements=8), SITE)
    cancel([f"{number}_{index}" for index in (0, 3, 5, 6, 7)] + ["999999"])
    cluster.wait_until(lambda: len(cluster.queue()) == 3)

    assert {element.index for element in read_queue()} == {1, 2, 4}
    cancel([number, number])
    cluster.wait_empty()
    cancel([number])


def test_sbatch_to_a_full_controller_does_not_wait(cluster_of, folder, monkeypatch):
    """MaxJobCount: sbatch would retry for two minutes."""
    cluster = cluster_of(max_array=60)
    monkeypatch.setenv("SLURM_CONF", cluster.env["SLURM_CONF"])
    conf = cluster.folder / "etc" / "slurm.conf"
    conf.write_text(conf.read_text() + "MaxJobCount=100\n")
    cluster.ctld_kill()
    cluster.ctld_start()

    submit(job_in(folder, WAITS, elements=60), SITE)
    with pytest.raises(NotNowError, match="temporarily unable"):
        submit(job_in(folder, WAITS, elements=60), SITE)
    assert len(read_queue()) == 60
