"""The complete output of `plan --on slurm` on a machine without SLURM, and that a step then submits the same jobs.

The golden files are compared completely and never written by a test. After an intended change, read the difference that
pytest shows, and write the new text with `python -m tests.launch.test_slurm_preview`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from lthsweep.errors import RefusedError
from lthsweep.launch.slurm import preview as module
from lthsweep.launch.slurm.cluster.limits import Limits
from lthsweep.launch.slurm.cluster.queue import Element
from lthsweep.launch.slurm.halt import halt
from lthsweep.launch.slurm.journal import Submission, note_id, open_journal, publish_intent
from lthsweep.launch.slurm.preview import preview
from lthsweep.launch.slurm.sites.site import Site, site_of
from lthsweep.launch.work import work_left
from lthsweep.plan.estimate import recipe_id
from lthsweep.plan.expand import expand
from lthsweep.spec import dump_spec, load_spec
from lthsweep.store import plainjson
from lthsweep.store.failures import Failure, record_failure
from lthsweep.store.layout import SweepDir
from tests.launch.sweeps import command, environment, write_tiny

GOLDEN = Path(__file__).parent / "golden"
CANNON = ("slurm.profile=cannon", "slurm.partition=gpu_requeue", "slurm.account=my_lab")
CASES = {
    "generic-first": ((), None),  # no epoch was measured yet
    "generic-measured": (("prune.schedule=iterative", "slurm.cpus=4"), 120.0),
    "cannon-gpu-requeue": ((*CANNON, "slurm.constraint=a100"), 420.0),
    "cannon-too-many": ((*CANNON, "slurm.max_elements=3"), 420.0),
}


def make_sweep(folder, overrides=(), seconds=None):
    """Return a plan and a sweep directory without results, optionally with a measured epoch."""
    spec = load_spec(write_tiny(folder, epochs=8, seeds="[0, 1, 2]"), overrides)
    sweep = SweepDir(folder / "sweep").create()
    sweep.sweep_toml.write_text(dump_spec(spec))
    plan = expand(spec)
    if seconds is not None:
        sweep.timings.write_text(json.dumps({recipe_id(plan.dense[0].recipe): seconds}))
    return plan, sweep


def printed(folder, case):
    """Return the command's output without the paths of this machine."""
    overrides, seconds = CASES[case]
    _, sweep = make_sweep(folder, overrides, seconds)
    nowhere = folder / "bin"
    nowhere.mkdir()
    done = subprocess.run(
        command("plan", sweep.path, "--on", "slurm", "--sbatch"),
        capture_output=True,
        text=True,
        env={**environment(folder), "PATH": str(nowhere)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.replace(str(sweep.path), "SWEEP").replace(sys.executable, "PYTHON")


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_plan_equals_the_reviewed_file(case, tmp_path):
    assert printed(tmp_path, case) == (GOLDEN / f"plan-{case}.txt").read_text(encoding="utf-8")


@pytest.fixture
def no_slurm(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture
def limited(monkeypatch):
    """A cluster with known limits."""

    def limit(**values):
        monkeypatch.setattr(
            module,
            "read_limits",
            lambda site: Limits(**{"max_array": 1001, "capacity": None, "minutes": None} | values),
        )

    return limit


def previewed(plan, sweep):
    return preview(plan, sweep, site_of(plan.spec), work_left(plan, sweep))


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def submit(sweep, *shares, job="77"):
    open_journal(sweep)
    intent = publish_intent(sweep, Submission(1, "", "workers", shares, array=True))
    if job is not None:
        note_id(sweep, intent.name, job)
    return intent.name


def queue(sweep, *elements):
    """Write a queue listing as another process would."""
    content = {"taken": time.time(), "elements": [asdict(element) for element in elements]}
    (sweep.slurm / "queue.json").write_bytes(plainjson.dump(content))


def planned_keys(found):
    return [key for planned in found.planned for keys in planned.intent.shares for key in keys]


def test_ready_runs_are_planned_once_without_writing(tmp_path, no_slurm):
    """The other runs are pulled later."""
    plan, sweep = make_sweep(tmp_path, CANNON, 420.0)
    before = contents(tmp_path)

    found = previewed(plan, sweep)

    assert sorted(planned_keys(found)) == sorted(run.key for run in plan.dense)
    assert (found.unsubmitted, found.waiting) == (0, len(plan.tickets))
    assert found.jobs == len(plan.dense)
    assert contents(tmp_path) == before


def test_submitted_runs_are_not_planned_again(tmp_path, no_slurm):
    """The controller job waits for their jobs, too."""
    plan, sweep = make_sweep(tmp_path, seconds=420.0)
    first, second, third = (run.key for run in plan.dense)
    name = submit(sweep, (first,), (second,))
    queue(sweep, *(Element("77", index, name, "PENDING") for index in range(2)))

    found = previewed(plan, sweep)

    assert planned_keys(found) == [third]
    assert found.planned[0].intent.name == name.replace("0001", "0002")
    assert found.planned[0].intent.after == ()
    assert "--dependency" not in found.planned[0].text
    assert f"afterany:77:ID-OF-{found.planned[0].intent.name}" in found.controller.text


def test_the_shares_of_an_unconfirmed_job_are_taken(tmp_path, no_slurm):
    """It may be in the queue. Without its id the controller job starts by the clock."""
    plan, sweep = make_sweep(tmp_path, seconds=420.0)
    submit(sweep, *[(run.key,) for run in plan.dense], job=None)

    found = previewed(plan, sweep)

    assert found.planned == ()
    assert (found.unsubmitted, found.waiting) == (0, len(plan.tickets))
    assert "--begin=now+" in found.controller.text


def test_a_remainder_is_left_to_queued_workers(tmp_path, no_slurm):
    """It is too short for a job."""
    plan, sweep = make_sweep(tmp_path, seconds=1.0)
    first, *others = (run.key for run in plan.dense)
    name = submit(sweep, (first,))
    queue(sweep, Element("77", 0, name, "RUNNING"))

    found = previewed(plan, sweep)

    assert found.planned == ()
    assert found.unsubmitted == len(others)


def test_job_limits_reserve_space_for_the_controller_job(tmp_path, limited):
    limited(capacity=3, named=("MaxSubmitJobs 3",))
    plan, sweep = make_sweep(tmp_path, seconds=420.0)

    found = previewed(plan, sweep)

    assert (found.capacity, found.jobs) == (2, 2)
    assert found.unsubmitted == 1
    assert found.controller.intent.after == ()
    assert "--begin=now+" in found.controller.text


def test_a_walltime_limit_is_respected(tmp_path, limited):
    limited(minutes=20)
    plan, sweep = make_sweep(tmp_path, seconds=420.0)

    assert {planned.intent.minutes for planned in previewed(plan, sweep).planned} == {20}


def test_an_unknown_partition_is_refused_by_the_preview(tmp_path, monkeypatch):
    def refuse(site):
        raise RefusedError("this cluster has no partition 'moon'")

    monkeypatch.setattr(module, "read_limits", refuse)
    plan, sweep = make_sweep(tmp_path)

    with pytest.raises(RefusedError, match="moon"):
        previewed(plan, sweep)


def test_failed_runs_and_their_descendants_are_left_out(tmp_path, no_slurm):
    plan, sweep = make_sweep(tmp_path, seconds=420.0)
    failed, *others = (run.key for run in plan.dense)
    record_failure(sweep, failed, Failure("no"))

    found = previewed(plan, sweep)

    assert found.failed == 5
    assert sorted(planned_keys(found)) == sorted(others)
    assert found.waiting == 8


@pytest.mark.parametrize(("by", "jobs"), [("breaker", 0), ("user", 3)])
def test_a_tripped_breaker_prevents_submission_in_the_preview(tmp_path, no_slurm, by, jobs):
    """`run` resumes a sweep that the user halted, so the preview does, too."""
    plan, sweep = make_sweep(tmp_path, seconds=420.0)
    open_journal(sweep)
    halt(sweep, "why", by)

    found = previewed(plan, sweep)

    assert found.jobs == jobs
    assert (found.controller is None) == (jobs == 0)


def test_device_hours_are_gpu_hours_on_gpus(tmp_path, no_slurm):
    """Of all runs that are left: 114 epochs."""
    plan, sweep = make_sweep(tmp_path, CANNON, 360.0)
    found = previewed(plan, sweep)

    assert found.device_hours == pytest.approx(114 * 360 / 3600)
    cores = replace(found, site=Site(cpus=4, gpus=0))
    assert cores.device_hours == pytest.approx(found.device_hours)
    assert replace(found, seconds=None).device_hours is None


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            text = printed(Path(folder), case)
        (GOLDEN / f"plan-{case}.txt").write_text(text, encoding="utf-8")
