"""SLURM commands that hang, die, or print unexpected output. A working SLURM does none of this on demand, so small
scripts replace its commands here; `tests/slurm/` uses a real one."""

from __future__ import annotations

import json
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from lthsweep.errors import ClusterSilentError, LaunchError, NotNowError, RefusedError
from lthsweep.launch.slurm.cluster import queue, sbatch
from lthsweep.launch.slurm.cluster.ask import Answer, ask, clean_environment
from lthsweep.launch.slurm.cluster.queue import find_by_name, find_job, live_jobs, queue_snapshot, read_queue
from lthsweep.launch.slurm.cluster.sbatch import cancel, requeue, submit
from lthsweep.launch.slurm.cluster.script import Job
from lthsweep.launch.slurm.sites.site import Site
from tests.launch.test_slurm_parsing import HEADER, RUNNING, WAITING


@pytest.fixture
def scripted(tmp_path, monkeypatch):
    """Create SLURM commands that run a line of shell; returns the file with all calls."""
    folder, asked = tmp_path / "bin", tmp_path / "asked"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def make(**scripts):
        for name, script in scripts.items():
            program = folder / name
            program.write_text(f'#!/bin/sh\necho {name} "$@" >> {asked}\n{script}\n')
            program.chmod(0o755)
        return asked

    return make


@pytest.fixture
def job(tmp_path):
    return Job(name="lth-1-0001", command=("true",), folder=tmp_path / "folder", minutes=5)


def printing(text):
    """Return a line of shell that prints a text."""
    return f"cat <<'THE_END'\n{text.removesuffix(chr(10))}\nTHE_END"


def test_an_answer_contains_code_and_output(scripted):
    scripted(squeue="echo out; echo 'squeue: error: oops' >&2; exit 3")

    answer = ask(["squeue"], seconds=60)

    assert answer == Answer(3, "out\n", "squeue: error: oops\n")
    assert answer.words == "oops"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("sleep 600", "did not answer within"),
        ("exec >&- 2>&-; sleep 600", "did not answer within"),
        ("kill -9 $$", "killed by signal 9"),
        (
            "echo 'x error: Unable to contact slurm controller (connect failure)' >&2; exit 1",
            "Unable to contact",
        ),
        ("echo 'x: error: Socket timed out on send/recv operation' >&2; exit 1", "timed out"),
        ("echo 'x: fatal: Could not establish a configuration source' >&2; exit 1", "configuration source"),
        ("echo 'x: error: Munge encode failed: Failed to access socket' >&2; exit 1", "Munge"),
    ],
)
def test_no_answer_raises_cluster_silent_error(scripted, script, words):
    scripted(squeue=script)

    with pytest.raises(ClusterSilentError, match=words):
        ask(["squeue"], seconds=0.5 if "sleep" in script else 60)


def test_a_missing_command_raises_cluster_silent_error(monkeypatch):
    monkeypatch.setenv("PATH", "")

    with pytest.raises(ClusterSilentError, match="no squeue on this machine's PATH"):
        read_queue()


@pytest.mark.slow
def test_a_hanging_command_is_killed_completely(scripted, tmp_path):
    """This includes the processes that a site's wrapper of the command started."""
    scripted(squeue=f"sleep 600 & echo $! > {tmp_path}/child; wait")

    with pytest.raises(ClusterSilentError):
        ask(["squeue"], seconds=5)  # the child has started by then

    child = Path("/proc") / (tmp_path / "child").read_text().strip()
    until = time.monotonic() + 300
    while _runs(child):
        assert time.monotonic() < until, "the child of the wrapper still runs"
        time.sleep(0.01)


def _runs(process):
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_command_survives_signals_to_its_job(scripted):
    """scontrol that requeues its own job gets the job's SIGTERM before it has answered."""
    scripted(scontrol="kill -TERM $$; kill -USR2 $$; kill -INT $$; kill -HUP $$; echo done")

    assert ask(["scontrol"], seconds=60).out == "done\n"


def test_a_signal_during_a_command_is_delivered_later(scripted):
    received = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    try:
        scripted(scontrol="kill -TERM $PPID")
        ask(["scontrol"], seconds=60)
    finally:
        signal.signal(signal.SIGTERM, before)

    assert received == [signal.SIGTERM]


def test_variables_of_a_job_are_not_passed_on():
    """SBATCH_TIMELIMIT overrides the script's own line, and SQUEUE_STATES hides jobs in other states."""
    inside = {
        "SLURM_JOB_ID": "7",
        "SLURM_CONF": "/etc/slurm.conf",
        "SLURM_JWT": "token",
        "SLURM_CPUS_PER_TASK": "8",
        "SLURMD_NODENAME": "n1",
        "SBATCH_TIMELIMIT": "1",
        "SQUEUE_STATES": "RUNNING",
        "SUBMITIT_EXECUTOR": "slurm",
        "CUDA_VISIBLE_DEVICES": "3",
        "TMPDIR": "/tmp/job7",
        "PATH": "/bin",
        "HOME": "/home/me",
    }

    assert clean_environment(inside).keys() == {"SLURM_CONF", "SLURM_JWT", "PATH", "HOME"}


def test_outside_of_a_job_devices_and_tmpdir_stay():
    assert clean_environment({"CUDA_VISIBLE_DEVICES": "3", "TMPDIR": "/scratch/me"}) == {
        "CUDA_VISIBLE_DEVICES": "3",
        "TMPDIR": "/scratch/me",
    }


def test_variables_that_hide_jobs_do_not_reach_squeue(scripted, monkeypatch):
    monkeypatch.setenv("SQUEUE_STATES", "RUNNING")
    scripted(squeue='test -z "$SQUEUE_STATES" || exit 1\n' + printing(HEADER + WAITING))

    assert len(read_queue()) == 1


def test_queries_of_the_queue_share_a_cache(scripted, tmp_path):
    """`status --watch` in three terminals calls squeue once per interval."""
    asked = scripted(squeue=printing(HEADER + WAITING + RUNNING))
    cache = tmp_path / "queue.json"

    first, second = queue_snapshot(cache, 3600), queue_snapshot(cache, 3600)
    third = queue_snapshot(cache, 0)

    assert first == second
    assert third.elements == first.elements
    assert len(asked.read_text().splitlines()) == 2


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"taken": 1e12}', '{"taken": "x", "elements": [{"job": 1}]}']
)
def test_a_damaged_cache_is_ignored(scripted, tmp_path, content):
    scripted(squeue=printing(HEADER + WAITING))
    cache = tmp_path / "queue.json"
    cache.write_text(content)

    assert len(queue_snapshot(cache, 3600).elements) == 1
    assert json.loads(cache.read_text())["elements"][0]["job"] == "20"


def test_a_cache_from_the_future_is_ignored(scripted, tmp_path):
    """Clocks of login nodes differ."""
    scripted(squeue=printing(HEADER))
    cache = tmp_path / "queue.json"
    cache.write_text(json.dumps({"taken": time.time() + 1e6, "elements": []}))

    assert queue_snapshot(cache, 60).taken < time.time() + 1


def test_a_query_works_without_a_cache(scripted, tmp_path):
    scripted(squeue=printing(HEADER + WAITING))

    assert len(queue_snapshot(tmp_path / "missing" / "queue.json", 60).elements) == 1
    assert len(queue_snapshot(None, 60).elements) == 1


def test_a_failed_query_is_not_cached(scripted, tmp_path):
    scripted(squeue="exit 1")
    cache = tmp_path / "queue.json"
    with pytest.raises(ClusterSilentError):
        queue_snapshot(cache, 3600)
    scripted(squeue=printing(HEADER + WAITING))

    assert len(queue_snapshot(cache, 3600).elements) == 1


def test_a_dead_database_is_reported_without_hanging(scripted, monkeypatch):
    scripted(squeue=printing(HEADER), sacct="sleep 600")
    monkeypatch.setattr(queue, "ACCOUNTING_SECONDS", 0.5)

    found = find_job("lth-1-0001")

    assert (found.job, found.accounting) == (None, False)


@pytest.mark.parametrize(
    ("script", "job", "accounting"),
    [
        ("echo '30_1|lth-1-0001\n30_[2-5]|lth-1-0001\n31|lth-1-00011'", "30", True),
        ("true", None, True),
        ("echo 'sacct: error: Problem talking to the database' >&2; exit 1", None, False),
        ("echo 'Slurm accounting storage is disabled' >&2; exit 1", None, False),
        ("echo 'sacct: error: oops' >&2", None, False),
        ("echo 'Welcome!'", None, False),
    ],
)
def test_a_job_not_queued_is_searched_in_accounting(scripted, script, job, accounting):
    asked = scripted(squeue=printing(HEADER), sacct=script)

    found = find_job("lth-1-0001")

    assert (found.job, found.accounting) == (job, accounting)
    assert asked.read_text().count("sacct ") == 1


def test_accounting_is_not_queried_for_a_queued_job(scripted):
    asked = scripted(squeue=printing(HEADER + WAITING + RUNNING), sacct="exit 1")

    assert find_by_name("lth-3f9a01c2-0001") == "20"
    assert "sacct" not in asked.read_text()


def test_a_silent_controller_is_not_an_absent_job(scripted):
    scripted(
        squeue="echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1", sacct="true"
    )

    with pytest.raises(ClusterSilentError):
        find_by_name("lth-1-0001")


def test_a_forgotten_job_differs_from_a_failure(scripted):
    """squeue fails with a separate message for a single unknown id."""
    scripted(squeue="echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    assert live_jobs(["77"]) == {}

    scripted(squeue="echo 'slurm_load_jobs error: Unspecified error' >&2; exit 1")
    with pytest.raises(ClusterSilentError):
        live_jobs(["77"])


def test_live_jobs_are_found_by_id_and_array(scripted):
    asked = scripted(squeue=printing(HEADER + WAITING + RUNNING))

    assert live_jobs(["21", "20", "99", "", "-x"]).keys() == {"20", "21"}
    assert live_jobs([]) == {}
    assert len(asked.read_text().splitlines()) == 1


def test_the_id_is_found_among_site_messages(scripted, job):
    scripted(sbatch="echo 'sbatch: Welcome, you have 5 core hours left'; echo '123;cluster'")

    assert submit(job, Site()) == "123"
    script = job.folder / "lth-1-0001.sh"
    assert script.stat().st_mode & 0o777 == 0o600
    assert job.folder.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in job.folder.iterdir()] == ["lth-1-0001.sh"]


@pytest.mark.parametrize(
    "script",
    [
        "echo 'Submitted, I think'",
        "true",
        "echo 12; echo 13",
        "kill -9 $$",
        "echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation' >&2; exit 1",
        "echo 'sbatch: error: Batch job submission failed: Unable to contact slurm controller' >&2; exit 1",
        "echo 'sbatch: error: Batch job submission failed: Zero Bytes were transmitted or received' >&2; exit 1",
    ],
)
def test_an_unclear_sbatch_may_have_queued_the_job(scripted, job, script):
    scripted(sbatch=script)

    with pytest.raises(ClusterSilentError, match="may have been queued all the same"):
        submit(job, Site())


def test_a_slow_sbatch_may_have_queued_the_job(scripted, job, monkeypatch):
    scripted(sbatch="sleep 600")
    monkeypatch.setattr(sbatch, "SECONDS", 0.5)

    with pytest.raises(ClusterSilentError, match="may have been queued"):
        submit(job, Site())


def test_sbatch_waiting_for_a_full_queue_is_ended(scripted, job):
    """It would sleep and retry for two minutes; the next step of the sweep submits again anyway."""
    scripted(
        sbatch="echo 'sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying' >&2\n"
        "sleep 600; echo 123"
    )

    with pytest.raises(NotNowError, match="temporarily unable to accept"):
        submit(job, Site())


def test_without_sbatch_no_job_is_queued(monkeypatch, job):
    monkeypatch.setenv("PATH", "")

    with pytest.raises(RefusedError, match="no sbatch"):
        submit(job, Site())


def test_a_script_is_not_written_through_a_symlink(scripted, job, tmp_path):
    scripted(sbatch="echo 1")
    job.folder.mkdir()
    (job.folder / "lth-1-0001.sh").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(LaunchError.__base__, match="cannot write the batch script"):
        submit(job, Site())
    assert not (tmp_path / "elsewhere").exists()


def test_elements_of_arrays_are_canceled_in_one_message(scripted):
    asked = scripted(scancel="true")

    cancel(["7_1", "7_2", "7_3", "7_9", "8", "9_0", "9", "10_4"])

    assert asked.read_text() == "scancel --quiet 8 9 7_[1-3,9] 10_[4]\n"


def test_many_jobs_are_canceled_hundred_by_hundred(scripted):
    asked = scripted(scancel="true")

    cancel([str(number) for number in range(1, 251)])

    assert [len(line.split()) - 2 for line in asked.read_text().splitlines()] == [100, 100, 50]


def test_canceling_no_jobs_runs_no_command(scripted):
    assert not scripted(scancel="true").exists()
    cancel([])


@pytest.mark.parametrize("job_id", ["", "all", "--user=root", "7_[1-3]", "7_", "7;8"])
def test_only_ids_are_canceled_or_requeued(scripted, job_id):
    asked = scripted(scancel="true", scontrol="true")

    with pytest.raises(LaunchError, match="is no id"):
        cancel(["1", job_id])
    with pytest.raises(LaunchError, match="is no id"):
        requeue(job_id)
    assert not asked.exists()


def test_a_failed_cancel_is_reported(scripted):
    scripted(
        scancel="echo 'scancel: error: Kill job error on job id 7: Access/permission denied' >&2; exit 1"
    )
    with pytest.raises(RefusedError, match="not yours"):
        cancel(["7"])

    scripted(scancel="echo 'scancel: error: Kill job error on job id 7: Socket timed out' >&2; exit 140")
    with pytest.raises(ClusterSilentError):
        cancel(["7"])


def test_a_requeue_without_an_answer_is_repeated(scripted, tmp_path):
    """A job that cannot requeue itself would be lost to its array; the controller may only be restarting."""
    once = f"test -e {tmp_path}/once && exit 0; touch {tmp_path}/once"
    asked = scripted(scontrol=f"{once}; echo 'x error: Unable to contact slurm controller' >&2; exit 1")

    assert requeue("7_1") is True
    assert asked.read_text() == "scontrol requeue 7_1\n" * 2


def test_a_refused_requeue_is_not_repeated(scripted):
    asked = scripted(scontrol="echo 'Requested operation is presently disabled for job 7' >&2; exit 1")

    assert requeue("7") is False
    assert len(asked.read_text().splitlines()) == 1


def test_a_light_job_is_submitted_like_any_other(scripted, job):
    scripted(sbatch="echo 5")

    assert submit(replace(job, light=True), Site()) == "5"
