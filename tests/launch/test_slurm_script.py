"""Complete batch scripts; `tests/launch/golden/` shows all options that a job requests."""

from __future__ import annotations

import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lthsweep.errors import LaunchError, SpecError
from lthsweep.launch.slurm.cluster.script import Job, text_of
from lthsweep.launch.slurm.sites.site import Site

GOLDEN = Path(__file__).parent / "golden"

WORKERS = Job(
    name="lth-3f9a01c2-0001",
    command=("/opt/python", "-m", "lthsweep.launch.slurm.worker_job", "/work/my sweep", "lth-3f9a01c2-0001"),
    folder=Path("/work/my sweep/state/slurm/lth-3f9a01c2-0001"),
    minutes=45,
    elements=12,
)
CONTROLLER = Job(
    name="lth-3f9a01c2-0002",
    command=("/opt/python", "-m", "lthsweep", "controller", "/work/my sweep", "--as", "lth-3f9a01c2-0002"),
    folder=Path("/work/my sweep/state/slurm/lth-3f9a01c2-0002"),
    minutes=60,
    dependency="afterany:1234:1235",
    light=True,
)
GPU = Site(
    partition="gpu_requeue",
    account="my_lab",
    qos="normal",
    constraint="a100|h100",
    exclude=("node07", "node[10-12]"),
    cpus=8,
    gpus=2,
    gpu_type="a100",
    memory="32G",
    setup=("module load python", 'export DATA="$SCRATCH/data"'),
    controller_partition="shared",
    controller_memory="2G",
    extra={"mail-type": "END", "exclusive": "", "nice": "100"},
)


def directives(text):
    """Return the options in a script, split like sbatch splits its lines."""
    lines = [shlex.split(line)[1] for line in text.splitlines() if line.startswith("#SBATCH ")]
    return {name.removeprefix("--"): value for name, _, value in (line.partition("=") for line in lines)}


@pytest.mark.parametrize(
    ("name", "job", "site"),
    [
        ("generic", WORKERS, Site(cpus=4)),
        ("gpu", replace(WORKERS, exclude=("node09",)), GPU),
        ("controller", CONTROLLER, GPU),
    ],
)
def test_scripts_equal_the_reviewed_files(name, job, site):
    """With submitit 1.5.4. After a change: read the new text, then write it to the file."""
    assert text_of(job, site) == (GOLDEN / f"{name}.sbatch").read_text()


@pytest.mark.parametrize("name", ["generic", "gpu", "controller"])
def test_scripts_are_valid_shell(name):
    done = subprocess.run(
        ["bash", "-n", GOLDEN / f"{name}.sbatch"], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_a_script_can_be_written_without_slurm(monkeypatch):
    """`plan --on slurm` on a laptop shows the scripts for the cluster."""
    monkeypatch.setenv("PATH", "")

    assert text_of(WORKERS, Site(cpus=4)) == (GOLDEN / "generic.sbatch").read_text()


def test_no_wckey_and_no_throttle_are_sent():
    """submitit would add the wckey "submitit", which clusters with wckeys refuse, and run 256 elements at a time."""
    found = directives(text_of(replace(WORKERS, elements=1000), Site()))

    assert "wckey" not in found
    assert found["array"] == "0-999"


def test_gpus_can_be_requested_in_both_forms():
    gres = directives(text_of(WORKERS, Site(gpus=2)))
    per_node = directives(
        text_of(WORKERS, replace(GPU, gpu_form="gpus-per-node", extra={"gres": "lscratch:100"}))
    )

    assert gres["gres"] == "gpu:2"
    assert "gpus-per-node" not in gres
    assert (per_node["gpus-per-node"], per_node["gres"]) == ("a100:2", "lscratch:100")


def test_gpus_can_be_requested_per_job():
    """Some sites refuse every other form."""
    found = directives(text_of(WORKERS, replace(GPU, gpu_form="gpus")))

    assert found["gpus"] == "a100:2"
    assert found.keys().isdisjoint({"gres", "gpus-per-node"})


def test_memory_per_core_is_requested_as_such():
    """Some sites refuse memory per node. A controller job has one core."""
    site = replace(GPU, memory=None, memory_per_cpu="4G", controller_memory=None)

    for job in (WORKERS, CONTROLLER):
        found = directives(text_of(job, site))
        assert found["mem-per-cpu"] == "4G"
        assert "mem" not in found


def test_controller_jobs_request_memory_where_workers_do():
    """Some sites refuse jobs without a request."""
    site = replace(GPU, controller_memory=None)

    assert directives(text_of(CONTROLLER, site))["mem"] == "1G"
    assert "mem" not in directives(text_of(CONTROLLER, replace(site, memory=None)))


def test_jobs_are_not_notified_before_they_train():
    """With a grace of two minutes, a two-minute job would never train; the grace is at most a quarter of the job."""
    assert directives(text_of(replace(WORKERS, minutes=4), Site(grace_seconds=120)))["signal"] == "USR2@60"
    assert directives(text_of(replace(WORKERS, minutes=60), Site(grace_seconds=120)))["signal"] == "USR2@120"


def test_a_controller_job_requests_one_core_only():
    """QOS and reservation apply only to their partition, and controller jobs have another one."""
    found = directives(text_of(CONTROLLER, replace(GPU, reservation="course")))

    assert found["cpus-per-task"] == "1"
    assert found.keys().isdisjoint({"gres", "constraint", "exclusive", "qos", "reservation", "array"})
    assert (found["partition"], found["mem"], found["mail-type"]) == ("shared", "2G", "END")
    here = directives(text_of(CONTROLLER, replace(GPU, controller_partition=None)))
    assert (here["partition"], here["qos"]) == ("gpu_requeue", "normal")


def test_a_percent_sign_in_a_folder_is_escaped():
    """sbatch would replace %j with the job's id."""
    found = directives(text_of(replace(WORKERS, folder=Path("/work/50%j")), Site()))

    assert found["output"] == "/work/50%%j/%A_%a_0_log.out"


def test_a_start_record_has_node_job_restart_time(tmp_path):
    """The shell runs the script without SLURM; the record precedes the site's setup lines."""
    folder = tmp_path / "it's 50% mine"
    folder.mkdir()
    text = text_of(replace(WORKERS, folder=folder), Site(setup=("exit 9",)))
    environment = {"PATH": "/usr/bin:/bin", "SLURMD_NODENAME": "node07", "SLURM_JOB_ID": "77"}
    again = environment | {"SLURM_ARRAY_TASK_ID": "3", "SLURM_RESTART_COUNT": "2"}

    for env in (environment, again, again):
        assert subprocess.run(["sh"], input=text, text=True, env=env, check=False).returncode == 9

    (alone,) = (folder / "0.node").read_text().splitlines()
    lines = (folder / "3.node").read_text().splitlines()
    assert alone.split()[:3] == ["node07", "77", "0"]
    assert [line.split()[:3] for line in lines] == [["node07", "77", "2"]] * 2
    assert all(line.split()[3].isdecimal() for line in lines)
    assert (folder / "3.node").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("change", "option"),
    [
        ({"partition": "gpu --wrap=evil"}, "--partition"),
        ({"partition": "-x"}, "--partition"),
        ({"account": "lab\n#SBATCH --uid=0"}, "--account"),
        ({"qos": "$(id)"}, "--qos"),
        ({"memory": "8 G"}, "--mem"),
        ({"reservation": "a;b"}, "--reservation"),
        ({"constraint": "a100 b"}, "--constraint"),
        ({"exclude": ("n1 n2",)}, "--exclude"),
        ({"extra": {"comment": "two words"}}, "--comment"),
    ],
)
def test_a_value_with_shell_syntax_is_refused(change, option):
    with pytest.raises(SpecError, match=option):
        text_of(WORKERS, replace(GPU, **change))


@pytest.mark.parametrize(
    "change",
    [
        {"name": "two words"},
        {"name": "a,b"},
        {"dependency": "afterok:1 --hold"},
        {"begin": "now + 1"},
        {"folder": Path("/work/line\nbreak")},
        {"folder": Path("/work/back\\slash")},
        {"command": ("python", "two\nlines")},
    ],
)
def test_a_job_that_sbatch_cannot_represent_is_refused(change):
    with pytest.raises(SpecError):
        text_of(replace(WORKERS, **change), Site())


def test_without_submitit_the_message_names_the_extra():
    program = (
        "import sys; sys.modules['submitit'] = None\n"
        "from tests.launch.test_slurm_script import WORKERS, Site, text_of\n"
        "try: text_of(WORKERS, Site())\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.startswith(LaunchError.__name__)
    assert "pip install 'lthsweep[slurm]'" in done.stdout
