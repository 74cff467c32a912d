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
from lthsweep.launch.slurm.advance import Costed
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
    "generic-first": ((), None),  # nothing measured yet: only the dense runs are packed
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
            lambda site: Limits(**{"max_array": 1001, "room": None, "minutes": None} | values),
        )

    return limit


def previewed(plan, sweep):
    return preview(plan, sweep, site_of(plan.spec), work_left(plan, sweep))


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def submit(sweep, *parcels, job="77"):
    open_journal(sweep)
    intent = publish_intent(sweep, Submission(1, "", "train", parcels))
    if job is not None:
        note_id(sweep, intent.name, job)
    return intent


def test_every_run_is_planned_once_without_writing(tmp_path, no_slurm):
    plan, sweep = make_sweep(tmp_path, CANNON, 420.0)
    before = contents(tmp_path)

    found = previewed(plan, sweep)

    keys = [key for planned in found.planned for parcel in planned.intent.parcels for key in parcel]
    assert sorted(keys) == sorted(plan.runs)
    assert found.runs_later == 0
    assert found.jobs_now == found.jobs
    assert contents(tmp_path) == before


def test_submitted_runs_are_not_planned_again(tmp_path, no_slurm):
    """Their dependents wait for their job."""
    plan, sweep = make_sweep(tmp_path, seconds=420.0)
    trunks = [run.key for run in plan.dense]
    name = submit(sweep, *[(key,) for key in trunks]).name
    listed = [asdict(Element("77", index, name, "PENDING")) for index in range(len(trunks))]
    (sweep.slurm / "queue.json").write_bytes(plainjson.dump({"taken": time.time(), "elements": listed}))

    found = previewed(plan, sweep)

    keys = {key for planned in found.planned for parcel in planned.intent.parcels for key in parcel}
    assert keys == set(plan.runs) - set(trunks)
    assert all(name in planned.intent.after for planned in found.planned)
    assert all("afterok:77" in planned.text for planned in found.planned)
    assert found.planned[0].intent.name == name.replace("0001", "0002")
    assert f"afterany:77:ID-OF-{found.planned[0].intent.name}" in found.controller.text


def test_dependents_of_an_unconfirmed_job_are_deferred(tmp_path, no_slurm):
    """Without the job's id there is no dependency to give to sbatch."""
    plan, sweep = make_sweep(tmp_path, seconds=420.0)
    submit(sweep, *[(run.key,) for run in plan.dense], job=None)

    found = previewed(plan, sweep)

    assert found.planned == ()
    assert found.runs_later == len(plan.tickets)


def test_job_limits_reserve_a_place_for_the_follow_up(tmp_path, limited):
    limited(room=3, named=("MaxSubmitJobs 3",))
    plan, sweep = make_sweep(tmp_path, seconds=420.0)

    found = previewed(plan, sweep)

    assert (found.room, found.jobs_now) == (2, 2)
    assert found.runs_later > 0
    assert found.controller.intent.after == ()
    assert "--begin=now+" in found.controller.text


def test_a_walltime_limit_is_respected(tmp_path, limited):
    limited(minutes=20)
    plan, sweep = make_sweep(tmp_path, seconds=60.0)

    assert max(batch.minutes for batch in previewed(plan, sweep).batches) <= 20


def test_an_unknown_partition_is_refused_by_the_preview(tmp_path, monkeypatch):
    def refuse(site):
        raise RefusedError("this cluster has no partition 'moon'")

    monkeypatch.setattr(module, "read_limits", refuse)
    plan, sweep = make_sweep(tmp_path)

    with pytest.raises(RefusedError, match="moon"):
        previewed(plan, sweep)


def test_a_failed_run_and_its_descendants_are_left_out(tmp_path, no_slurm):
    plan, sweep = make_sweep(tmp_path, seconds=420.0)
    record_failure(sweep, plan.dense[0].key, Failure("no"))

    found = previewed(plan, sweep)

    assert found.failed == 5
    assert sum(batch.runs for batch in found.batches) == 10


@pytest.mark.parametrize(("by", "runs"), [("breaker", 0), ("user", 15)])
def test_a_tripped_breaker_prevents_submission_in_the_preview(tmp_path, no_slurm, by, runs):
    """`run` resumes a sweep that the user halted, so the preview does, too."""
    plan, sweep = make_sweep(tmp_path, seconds=420.0)
    open_journal(sweep)
    halt(sweep, "why", by)

    found = previewed(plan, sweep)

    assert sum(batch.runs for batch in found.batches) == runs
    assert (found.controller is None) == (runs == 0)


def test_device_hours_are_gpu_hours_on_gpus(tmp_path, no_slurm):
    plan, sweep = make_sweep(tmp_path, CANNON, 360.0)
    found = previewed(plan, sweep)

    assert found.device_hours == pytest.approx(sum(node.cost for node in found.costs.nodes) / 3600)
    cores = replace(found, site=Site(cpus=4, gpus=0))
    assert cores.device_hours == pytest.approx(4 * found.device_hours)
    assert replace(found, costs=Costed((), True, 0)).device_hours is None


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            text = printed(Path(folder), case)
        (GOLDEN / f"plan-{case}.txt").write_text(text, encoding="utf-8")
