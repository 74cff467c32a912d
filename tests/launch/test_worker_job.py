"""A worker job trains its share, then pulls ready runs that no other worker has. Its workers are scripted."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, replace

import pytest

from lthsweep.errors import ClusterSilentError
from lthsweep.launch.events import Failed, Finished, Stopped
from lthsweep.launch.slurm import pulling, worker_job
from lthsweep.launch.slurm.halt import halt
from lthsweep.launch.slurm.job_files import End, read_end
from lthsweep.launch.slurm.journal import Submission, open_journal, publish_intent, void
from lthsweep.launch.slurm.sites.site import Site
from lthsweep.launch.slurm.worker_job import main, slots_here, work
from lthsweep.launch.task import STALE_SECONDS
from lthsweep.plan.estimate import recipe_id
from lthsweep.spec import dump_spec, load_spec
from lthsweep.store import claims
from lthsweep.store.failures import CANCELLED, Failure, record_failure
from lthsweep.store.layout import SweepDir
from lthsweep.store.owners import this_process
from lthsweep.store.record import encode
from tests.launch.cases import ScriptedPool
from tests.plan.cases import make_plan
from tests.reduce.reduce_cases import make_record

PLAN = make_plan(
    {"sparsity": [0.5], "seed": [0, 1, 2]},
    prune={"rewind": "lr"},
    train={"epochs": 4},
    local={"devices": "cpu", "retries": 1},
)
DENSE = [run.key for run in PLAN.dense]
TICKET = {run.parent: run.key for run in PLAN.tickets}
FIRST, SECOND, THIRD = DENSE


@dataclass
class FixedClock:
    """The clock of a job whose time stands still."""

    seconds_left: float = math.inf
    why: str = ""

    def __call__(self):
        return bool(self.why)


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """A sweep directory, seen from job 6, without access to SLURM."""
    monkeypatch.setenv("SLURM_JOB_ID", "6")
    monkeypatch.setenv("PATH", str(tmp_path))
    return SweepDir(tmp_path / "sweep").create()


@pytest.fixture
def steps(monkeypatch):
    """The steps of the sweep that jobs take."""
    taken = []
    monkeypatch.setattr(pulling, "CLAIM_SECONDS", 0.0)
    monkeypatch.setattr(pulling, "advance", lambda *arguments, own=None: taken.append(arguments))
    return taken


@pytest.fixture
def train(sweep, steps, monkeypatch):
    """Runs a job with one worker; returns the runs that the worker received, and the end of the job."""
    monkeypatch.setattr(pulling, "PATIENCE_SECONDS", 0.0)

    def train(*share, script=(), clock=None, meanwhile=None, plan=PLAN, on_message=lambda message: None):
        pool = ScriptedPool(script, workers=("w",))
        finish = pool.wait

        def wait(seconds):
            if meanwhile is not None and len(pool.given) == 1:
                meanwhile()
            return finish(seconds)

        pool.wait = wait
        monkeypatch.setattr(worker_job, "LocalPool", lambda *arguments: pool)
        end = work(plan, sweep, Site(poll_seconds=0), share, clock or FixedClock(), on_message)
        return [key for keys in pool.given_keys for key in keys], end

    return train


def measure(sweep, seconds):
    """Write the length of an epoch as an earlier run would."""
    sweep.timings.write_text(json.dumps({recipe_id(PLAN[FIRST].recipe): seconds}))


def write_record(sweep, key, **changes):
    measure(sweep, 1.0)
    sweep.record(key).write_bytes(encode(make_record(PLAN[key], **changes)))


def test_the_share_is_trained_before_other_runs(train):
    """Chains of equal length would go in the order of the plan."""
    given, end = train(THIRD)

    assert given[0] == THIRD
    assert sorted(given) == sorted(PLAN.runs)
    assert sorted(end.worked) == sorted(PLAN.runs)
    assert (end.broke, end.failed, end.stopped) == ((), (), "")


def test_a_run_recorded_elsewhere_is_not_trained(train, sweep):
    """Its ticket is ready."""
    given, end = train(FIRST, SECOND, meanwhile=lambda: write_record(sweep, SECOND))

    assert sorted(given) == sorted(set(PLAN.runs) - {SECOND})
    assert sorted(end.worked) == sorted(given)


def test_descendants_of_a_run_diverged_elsewhere_are_skipped(train, sweep):
    given, _ = train(FIRST, meanwhile=lambda: write_record(sweep, SECOND, outcome="diverged"))

    assert sorted(given) == sorted(set(PLAN.runs) - {SECOND, TICKET[SECOND]})


@pytest.mark.parametrize("failure", [Failure("no"), Failure("canceled", kind=CANCELLED)])
def test_a_final_failure_elsewhere_blocks_its_descendants(train, sweep, failure):
    """Also in the share of the job."""
    given, end = train(FIRST, SECOND, meanwhile=lambda: record_failure(sweep, SECOND, failure))

    assert sorted(given) == sorted(set(PLAN.runs) - {SECOND, TICKET[SECOND]})
    assert end.failed == ()


@pytest.mark.parametrize(("share", "taken"), [((FIRST, SECOND), True), ((FIRST,), False)])
def test_a_broken_run_is_retried_from_shares_only(train, sweep, share, taken):
    """So each job that tries it again is counted as an attempt."""
    record_failure(sweep, SECOND, Failure("killed", infrastructure=True))

    given, _ = train(*share)

    assert (SECOND in given) is taken
    assert THIRD in given


@pytest.mark.parametrize(("share", "taken"), [((FIRST, SECOND), True), ((FIRST,), False)])
def test_runs_that_end_too_late_are_not_pulled(train, sweep, share, taken):
    """A new job trains them without an interruption. The share of a job is trained in any case."""
    measure(sweep, 10.0)

    given, _ = train(*share, clock=FixedClock(seconds_left=39.0))

    assert (SECOND in given) is taken
    assert THIRD not in given


def test_a_measured_epoch_decides_what_is_pulled(train):
    """In the first jobs of a sweep no epoch was measured before."""
    script = {FIRST: [Finished(FIRST, seconds_per_epoch=10.0)]}

    given, _ = train(FIRST, script=script, clock=FixedClock(seconds_left=39.0))

    assert given == [FIRST]


@pytest.mark.parametrize(
    ("place", "job", "listed", "freed"),
    [
        ("a node", "6", True, True),  # an earlier start of this job
        ("a node", "7", True, False),
        ("a node", "7", False, True),
        ("a node", "7", None, False),  # SLURM does not answer
        ("a node", "", False, False),
        (None, "6", True, False),  # another worker of this job
    ],
)
def test_claims_of_ended_jobs_are_evicted(train, sweep, monkeypatch, place, job, listed, freed):
    """The claim of a node without power looks alive for minutes. A killed slurmctld can assign an id twice."""

    def live_jobs(jobs):
        if listed is None:
            raise ClusterSilentError("no answer")
        return set(jobs) if listed else set()

    monkeypatch.setattr(pulling, "live_jobs", live_jobs)
    owner = this_process()
    assert claims.take(sweep, SECOND, replace(owner, place=place or owner.place, job=job), STALE_SECONDS)

    given, _ = train(FIRST, SECOND)

    assert (SECOND in given) is freed
    assert (claims.holder(sweep, SECOND, STALE_SECONDS) is None) is freed


def test_a_halted_sweep_starts_no_more_runs(train, sweep):
    """The runs that train go on."""
    given, end = train(FIRST, SECOND, meanwhile=lambda: halt(sweep, "all alike", "breaker"))

    assert given == [FIRST]
    assert end.worked == (FIRST,)


def test_the_end_names_broken_and_failed_runs(train):
    """Broken runs are tried again by another job."""
    broke = Failed(FIRST, "killed", "killed", retry=True, infrastructure=True)
    failed = Failed(SECOND, "no weights to rank", "PruningError")

    given, end = train(FIRST, SECOND, script={FIRST: [broke, broke], SECOND: [failed]})

    assert given.count(FIRST) == 2  # local.retries
    assert (end.broke, end.failed) == ((FIRST,), (SECOND,))
    assert sorted(end.worked) == sorted([THIRD, TICKET[THIRD]])


@pytest.mark.parametrize("share", [(FIRST,), ()])
@pytest.mark.parametrize(("failures", "field"), [(1, "worked"), (2, "failed")])
def test_a_job_repeats_its_own_failed_attempts(train, share, failures, field):
    """An error of a library may not repeat. If it does, the end of this job reports it."""
    error = Failed(FIRST, "RuntimeError: CUDA", "RuntimeError", retry=True)

    given, end = train(*share, script={FIRST: [error] * failures})

    assert given.count(FIRST) == 2  # local.retries
    assert FIRST in getattr(end, field)


def test_a_run_canceled_between_attempts_is_not_repeated(train, sweep):
    def cancel(message):
        if isinstance(message.event, Failed):
            record_failure(sweep, FIRST, Failure("canceled", kind=CANCELLED))

    error = Failed(FIRST, "RuntimeError: CUDA", "RuntimeError", retry=True)

    given, _ = train(FIRST, script={FIRST: [error]}, on_message=cancel)

    assert given.count(FIRST) == 1


def test_a_job_out_of_time_stops_its_workers(train):
    """Its end has the reason; stopped runs are neither finished nor broken."""
    clock = FixedClock()

    def runs_out():
        clock.why = "time"

    given, end = train(FIRST, script={FIRST: [Stopped(FIRST)]}, clock=clock, meanwhile=runs_out)

    assert given == [FIRST]
    assert end == End(stopped="time", node=end.node)


def test_a_sweep_without_open_runs_starts_no_workers(train, sweep):
    for key in DENSE:
        record_failure(sweep, key, Failure("no"))

    assert train(FIRST)[0] == []


@pytest.mark.parametrize(
    ("sparsities", "minutes", "submits"), [([0.5], 1, False), ([0.5, 0.8], 1, True), ([0.5], 20, True)]
)
def test_more_jobs_are_submitted_for_surplus_runs(train, steps, monkeypatch, sparsities, minutes, submits):
    """This job pulls one new ready run after the other. Jobs can be lost if nothing took a step for long."""
    monkeypatch.setattr(pulling, "last_step", lambda sweep: time.time() - 60 * minutes)
    plan = make_plan({"sparsity": sparsities, "seed": [0]}, prune={"rewind": "lr"}, local={"devices": "cpu"})

    train(plan.dense[0].key, plan=plan)

    assert bool(steps) is submits


@pytest.fixture
def job(sweep, steps, monkeypatch):
    """Runs the program of a job whose only share is the first dense run, and whose end is given."""
    sweep.sweep_toml.write_text(dump_spec(PLAN.spec))
    open_journal(sweep)
    name = publish_intent(sweep, Submission(1, "", "workers", ((FIRST,),), minutes=60)).name
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "5")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
    monkeypatch.setattr(worker_job, "Clock", lambda minutes, grace: FixedClock())

    def job(end):
        monkeypatch.setattr(worker_job, "work", lambda *arguments: end)
        return main([str(sweep.path), name])

    job.name = name
    return job


@pytest.mark.parametrize(
    ("end", "code"),
    [(End(worked=("other",)), 3), (End(failed=(FIRST,)), 1), (End(stopped="signal"), 3)],
)
def test_a_job_takes_a_step_at_its_end(job, sweep, steps, end, code):
    """It may have made runs ready, and the controller job may be gone."""
    assert job(end) == code
    assert read_end(sweep, job.name, 0) == end
    assert len(steps) == 1


def test_a_job_with_recorded_runs_succeeds(job, sweep):
    write_record(sweep, FIRST)

    assert job(End(worked=(FIRST,))) == 0


@pytest.mark.parametrize(("is_requeued", "taken"), [(True, 0), (False, 1)])
def test_a_job_out_of_time_requeues_itself(job, steps, monkeypatch, is_requeued, taken):
    """It keeps its share. If SLURM refuses, the next step finds that the job is gone."""
    requeued = []
    monkeypatch.setattr(worker_job, "requeue", lambda job: requeued.append(job) or is_requeued)

    assert job(End(stopped="time")) == 3
    assert requeued == ["5_0"]
    assert len(steps) == taken


def test_a_void_submission_starts_no_workers(job, sweep, steps):
    """Its runs were submitted again."""
    void(sweep, job.name, "not found")

    assert job(End(worked=(FIRST,))) == 0
    assert read_end(sweep, job.name, 0) is None
    assert steps == []


def test_equal_failures_of_a_job_halt_its_sweep(job, sweep):
    """Other jobs would fail in the same way."""
    for key in DENSE:
        record_failure(sweep, key, Failure("CUDA error"))

    job(End(failed=(FIRST,)))

    assert "CUDA error" in worker_job.read_halt(sweep).why


def test_a_one_core_job_has_one_worker(monkeypatch):
    """Where SLURM does not bind cores, the job sees all cores of its node."""
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")

    slots = slots_here(load_spec("digits-lenet", ["local.devices=cpu"]), Site())

    assert len(slots) == 1
