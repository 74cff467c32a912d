"""The status of runs by disk and queue: a record means done, and no information from SLURM means unknown."""

from __future__ import annotations

import time
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lthsweep.launch.disk_status import DiskStatus, RunStatus
from lthsweep.launch.eta import estimate_eta
from lthsweep.launch.slurm.array_tasks import match_tasks
from lthsweep.launch.slurm.cluster.queue import Element, QueueSnapshot
from lthsweep.launch.slurm.halt import Halt, halt
from lthsweep.launch.slurm.job_files import End, write_end
from lthsweep.launch.slurm.journal import (
    Submission,
    note_id,
    open_journal,
    publish_intent,
    read_journal,
    void,
)
from lthsweep.launch.slurm.queue_status import QueueStatus, read_queue_status
from lthsweep.launch.slurm.sites.site import Site
from lthsweep.launch.sweep_status import sweep_status
from lthsweep.plan.estimate import recipe_id
from lthsweep.store import plainjson
from lthsweep.store.failures import CANCELLED, GAVE_UP, Failure
from lthsweep.store.heartbeats import Heartbeat
from lthsweep.store.layout import SweepDir
from tests.plan.cases import make_plan

PLAN = make_plan({"sparsity": [0.5, 0.8], "rewind_epoch": [0, 1], "seed": [0]}, train={"epochs": 4})
DENSE, *TICKETS = PLAN.runs
CHAIN = make_plan({"sparsity": [0.5, 0.8], "seed": [0]}, prune={"schedule": "iterative"})
NOW = 1e9


def on_disk(plan=PLAN, *, done=(), failures=None, beats=(), jobs=None):
    failures, states = failures or {}, {}
    beats = {beat.key: beat for beat in beats}
    for key, run in plan.runs.items():
        before = states.get(run.parent, "done")
        states[key] = RunStatus(
            "done"
            if key in done
            else "running"
            if key in beats
            else "failed"
            if key in failures
            else "ready"
            if before == "done"
            else "waiting"
        )
    return DiskStatus(states, failures, beats, frozenset(), {key: (jobs or {}).get(key, "") for key in beats})


def submitted(*shares, number=1, job="77", created=0.0):
    return Submission(number, f"lth-0-000{number}", "workers", shares, created=created, job=job)


def element(index, state="PENDING", job="77", **more):
    return Element(job, index, "lth-0-0001", state, raw=str(100 + index), **more)


def listed(journal, queue, **more):
    """The jobs of a sweep if SLURM answers."""
    status = QueueStatus(
        taken=NOW, lag_seconds=60, slots=2, snapshot=QueueSnapshot(tuple(queue), NOW), **more
    )
    return replace(status, tasks=match_tasks(journal, queue, fresh=lambda one, index: status.is_young(one)))


def silent(journal):
    return QueueStatus(match_tasks(journal, (), fresh=lambda one, index: True), silence="down", taken=NOW)


def names(states, *keys):
    return [states.runs[key].state for key in keys]


def test_without_slurm_runs_are_ready_or_waiting():
    """Waiting for their parent."""
    states = sweep_status(PLAN, on_disk(), QueueStatus())

    assert names(states, DENSE, *TICKETS) == ["ready", *["waiting"] * 4]
    assert {states.runs[key].waits_for.key for key in TICKETS} == {DENSE}
    assert sum(states.count().values()) == 5
    assert tuple(states.count()) == tuple(RunStatus)


def test_ready_runs_of_a_queued_job_are_pending():
    """With the reason that SLURM gives; the other runs of the share wait for their parent."""
    states = sweep_status(
        PLAN, on_disk(), listed([submitted((DENSE, *TICKETS))], [element(0, reason="Priority")])
    )

    assert names(states, DENSE, *TICKETS) == ["pending", *["waiting"] * 4]
    assert states.runs[DENSE].task.queued.reason == "Priority"


def test_runs_of_running_jobs_are_ready_or_waiting():
    """For a worker or for their parent."""
    beat = Heartbeat("w", key=TICKETS[0], epoch=1, epochs=4, time=NOW)
    journal, queue = [submitted((DENSE, *TICKETS))], [element(0, "RUNNING")]
    trained = on_disk(done=[DENSE], beats=[beat], jobs={TICKETS[0]: "100"})

    before = sweep_status(PLAN, on_disk(), listed(journal, queue))
    after = sweep_status(PLAN, trained, listed(journal, queue))

    assert names(before, DENSE, TICKETS[0]) == ["ready", "waiting"]
    assert names(after, *TICKETS[:2]) == ["running", "ready"]
    assert after.runs[TICKETS[1]].task.index == 0


def test_running_runs_have_the_job_of_their_claim():
    """Any worker job can pull it, and it can still be in the share of another one."""
    beats = [
        Heartbeat(f"w{n}", key=key, epoch=1, epochs=4, time=NOW + 5) for n, key in enumerate(TICKETS[:3])
    ]
    jobs = {TICKETS[0]: "101", TICKETS[1]: "101", TICKETS[2]: "999"}
    journal = [submitted((TICKETS[0],), (DENSE,))]
    queue = [element(0, "PENDING"), element(1, "RUNNING")]

    states = sweep_status(PLAN, on_disk(done=[DENSE], beats=beats, jobs=jobs), listed(journal, queue))

    assert names(states, *TICKETS[:3]) == ["running"] * 3
    assert [states.runs[key].task.index for key in TICKETS[:2]] == [1, 1]
    assert states.runs[TICKETS[2]].task is None


def test_a_run_on_slurm_waits_for_its_parent():
    """No job is needed for it yet: the worker of its parent pulls it."""
    states = sweep_status(PLAN, on_disk(), listed([submitted((DENSE,))], [element(0)]))

    assert names(states, DENSE, TICKETS[0]) == ["pending", "waiting"]
    assert states.runs[TICKETS[0]].waits_for.key == DENSE


@pytest.mark.parametrize(
    ("state", "expected"), [("RUNNING", "ready"), ("PENDING", "to be submitted"), (None, "to be submitted")]
)
def test_workers_at_work_pull_ready_runs_without_jobs(state, expected):
    """Without such workers the run needs a new job."""
    queue = [element(0, state)] if state else []

    states = sweep_status(PLAN, on_disk(done=[DENSE]), listed([submitted((TICKETS[0],))], queue))

    assert names(states, TICKETS[1]) == [expected]
    assert states.runs[TICKETS[1]].task is None


def test_a_job_outside_the_queue_covers_no_runs():
    """It has ended."""
    journal = [submitted(*((key,) for key in TICKETS[:2]))]

    states = sweep_status(PLAN, on_disk(done=[DENSE]), listed(journal, [element(1)]))

    assert names(states, *TICKETS[:2]) == ["to be submitted", "pending"]


def test_new_jobs_can_be_missing_from_queues():
    """squeue lags behind sbatch."""
    states = sweep_status(PLAN, on_disk(), listed([submitted((DENSE,), created=NOW - 30)], []))

    assert names(states, DENSE) == ["pending"]


def test_runs_of_an_unconfirmed_submission_are_unknown():
    """It has no job id."""
    states = sweep_status(PLAN, on_disk(), listed([submitted((DENSE,), job=None)], []))

    assert names(states, DENSE) == ["unknown"]


def test_without_an_answer_submitted_runs_are_unknown():
    """Files still count."""
    beat = Heartbeat("w", key=TICKETS[0], time=NOW)
    failed = {TICKETS[1]: Failure("no")}
    found = on_disk(done=[DENSE], beats=[beat], failures=failed, jobs={TICKETS[0]: "100"})

    states = sweep_status(PLAN, found, silent([submitted((DENSE, *TICKETS[:3]))]))

    assert names(states, DENSE, *TICKETS) == ["done", "running", "failed", "unknown", "to be submitted"]
    assert not states.is_over


def test_a_worker_of_an_ended_job_is_gone():
    """A node without power sends no signal; its claim would hold for 15 minutes."""
    found = on_disk(
        done=[DENSE], beats=[Heartbeat("w", key=TICKETS[0], time=NOW - 5)], jobs={TICKETS[0]: "100"}
    )
    journal = [submitted(TICKETS)]

    running, again, gone = (
        sweep_status(PLAN, found, listed(journal, queue))
        for queue in ([element(0, "RUNNING")], [element(0, "PENDING")], [])
    )

    assert names(running, TICKETS[0]) == ["running"]
    assert names(again, TICKETS[0]) == ["pending"]
    assert names(gone, TICKETS[0]) == ["to be submitted"]


def test_a_heartbeat_newer_than_the_queue_counts():
    """The job may have started in between."""
    found = on_disk(
        done=[DENSE], beats=[Heartbeat("w", key=TICKETS[0], time=NOW + 5)], jobs={TICKETS[0]: "100"}
    )

    assert names(sweep_status(PLAN, found, listed([submitted(TICKETS)], [])), TICKETS[0]) == ["running"]


def test_an_infrastructure_failure_is_submitted_again():
    """On a cluster it is not final."""
    lost = Failure("killed", infrastructure=True)
    found = on_disk(failures={DENSE: lost})

    states = sweep_status(PLAN, found, listed([submitted((DENSE,))], []))

    assert names(states, DENSE) == ["to be submitted"]
    assert states.runs[DENSE].failure is lost
    assert names(sweep_status(PLAN, found, QueueStatus()), DENSE) == ["failed"]


@pytest.mark.parametrize(
    ("kind", "state"), [("TrainingError", "failed"), (GAVE_UP, "failed"), (CANCELLED, "canceled")]
)
def test_descendants_of_a_final_failure_are_blocked(kind, state):
    """The failed run is named."""
    dense, first, second = CHAIN.runs
    found = on_disk(CHAIN, done=[dense], failures={first: Failure("no", kind=kind)})

    states = sweep_status(CHAIN, found, listed([submitted((first, second))], [element(0)]))

    assert names(states, first, second) == [state, "blocked"]
    assert states.runs[second].blocked_by.key == first
    assert states.is_over


def test_a_halted_sweep_is_over_once_drained():
    """No job submits more."""
    stopped = Halt("canceled by the user", "user", 0.0)
    journal = [submitted((DENSE,))]

    assert not sweep_status(PLAN, on_disk(), listed(journal, [element(0)], halt=stopped)).is_over
    assert sweep_status(PLAN, on_disk(), listed(journal, [], halt=stopped)).is_over
    assert not sweep_status(PLAN, on_disk(), listed(journal, [])).is_over


keys = st.sets(st.sampled_from([DENSE, *TICKETS]))
kinds = st.sampled_from(["TrainingError", GAVE_UP, CANCELLED])
failures = st.builds(Failure, st.just("x"), kinds, infrastructure=st.booleans())
slurms = st.sampled_from(["PENDING", "RUNNING", "COMPLETING", "SUSPENDED", "REQUEUED", "ODD", None])


@given(
    done=keys,
    failed=st.dictionaries(st.sampled_from(TICKETS), failures),
    queue=st.lists(slurms, min_size=3, max_size=3),
    jobs=st.lists(st.sampled_from(["77", None]), min_size=3, max_size=3),
    is_silent=st.booleans(),
)
def test_only_files_make_a_run_done_or_failed(done, failed, queue, jobs, is_silent):
    """Whatever SLURM answers, or if it does not answer."""
    shares = [(DENSE,), tuple(TICKETS[:2]), tuple(TICKETS[2:])]
    journal = [
        submitted(keys, number=n, job=job) for n, (keys, job) in enumerate(zip(shares, jobs, strict=True))
    ]
    lines = [element(0, state) for state in queue if state]
    status = silent(journal) if is_silent else listed(journal, lines)

    states = sweep_status(PLAN, on_disk(done=done, failures=failed), status)

    for key, state in states.runs.items():
        assert (state.state == "done") == (key in done)
        assert state.state != "failed" or (key in failed and failed[key].is_final)
        assert not is_silent or state.state not in ("pending", "ready")
    assert states.is_finished == (done == set(PLAN.runs))


def test_the_eta_counts_workers_of_running_jobs():
    """Queued jobs count only if no job runs. A worker in no job counts in addition."""
    known = {recipe_id(PLAN[DENSE].recipe): 10.0}
    beats = [Heartbeat("w", key=TICKETS[0], epoch=2, epochs=4, time=NOW)]
    journal, queue = [submitted(TICKETS[:3], TICKETS[3:])], [element(0, "RUNNING"), element(1)]
    in_job, in_no_job = (on_disk(done=[DENSE], beats=beats, jobs={TICKETS[0]: job}) for job in ("100", ""))

    one = estimate_eta(PLAN, sweep_status(PLAN, in_job, listed(journal, queue)), known, 9)
    both = estimate_eta(PLAN, sweep_status(PLAN, in_no_job, listed(journal, queue)), known, 9)
    none = estimate_eta(
        PLAN, sweep_status(PLAN, on_disk(), listed(journal, [element(0), element(1)])), known, 9
    )
    local = estimate_eta(PLAN, sweep_status(PLAN, on_disk(), QueueStatus()), known, 9)

    assert (one.jobs, one.at_work, one.estimate.workers) == (1, True, 2)
    assert one.estimate.work == 20 + 40 + 30 + 30
    assert (both.jobs, both.at_work, both.estimate.workers) == (1, True, 3)
    assert (none.jobs, none.at_work, none.estimate.workers) == (2, False, 4)
    assert (local.jobs, local.estimate.workers, local.estimate.wall) == (0, 9, 80)


def test_the_eta_leaves_out_failed_runs():
    """They will not be trained."""
    known = {recipe_id(PLAN[DENSE].recipe): 10.0}
    found = on_disk(done=[DENSE], failures={key: Failure("no") for key in TICKETS})

    assert estimate_eta(PLAN, sweep_status(PLAN, found, QueueStatus()), known, 1) is None


def test_a_budget_run_takes_its_whole_budget():
    """The number of its epochs can change; its time is fixed."""
    plan = make_plan({"sparsity": [0.5], "seed": [0]}, prune={"schedule": "budget", "time": "20m"})
    dense, ticket = plan.runs
    beat = Heartbeat("w", key=ticket, phase="profile", epoch=0.9, epochs=1, started=NOW, time=NOW + 60)

    def left(**found):
        eta = estimate_eta(plan, sweep_status(plan, on_disk(plan, **found), QueueStatus()), {}, 1)
        return eta.estimate.wall

    assert left() == 1200  # the length of an epoch is unknown
    assert left(done=[dense]) == 1200
    assert left(done=[dense], beats=[beat]) == 1140
    assert left(done=[dense], beats=[replace(beat, phase="round 2 of 3", epoch=5, epochs=10)]) == 600


@pytest.fixture
def sweep(tmp_path):
    return SweepDir(tmp_path / "sweep").create()


@pytest.fixture
def no_slurm(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))


def published(sweep, *shares, number=1, job=None):
    open_journal(sweep)
    intent = publish_intent(sweep, Submission(number, "", "workers", shares))
    if job is not None:
        note_id(sweep, intent.name, job)
    return intent.name


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_local_sweep_never_asks_slurm(sweep, no_slurm):
    """Nor does it need a site profile."""

    def never():
        raise AssertionError

    assert read_queue_status(sweep, never) == QueueStatus()


def test_a_silent_slurm_changes_nothing(sweep, no_slurm):
    """It is reported, and no conclusion is drawn or written."""
    name = published(sweep, ("a",), ("b",), ("c",), job="77")
    given_up = published(sweep, ("d",), number=2)
    void(sweep, given_up, "never arrived")
    write_end(sweep, name, 1, End(worked=("b",)))
    write_end(sweep, name, 2, End(stopped="time"))
    before = contents(sweep.path)

    status = read_queue_status(sweep, Site)

    assert "no squeue" in status.silence
    assert set(status.tasks.covered) == {"a", "c"}
    assert contents(sweep.path) == before


def test_a_silent_slurm_is_not_asked_at_once(sweep, no_slurm):
    """Each try takes up to 20 seconds."""
    published(sweep, ("a",), job="77")
    first = replace(read_queue_status(sweep, Site), silence="asked before")

    assert read_queue_status(sweep, Site, first).silence == "asked before"
    assert read_queue_status(sweep, Site, replace(first, taken=first.taken - 61)).silence != "asked before"


def test_a_cached_queue_is_used(sweep, no_slurm):
    """Another process wrote it. The journal lacks the id, so the job is found by its name."""
    name = published(sweep, ("a",))
    line = Element("77", 0, name, "RUNNING", raw="77")
    (sweep.slurm / "queue.json").write_bytes(
        plainjson.dump({"taken": time.time(), "elements": [asdict(line)]})
    )

    status = read_queue_status(sweep, Site)

    assert status.silence == ""
    assert status.tasks.covered["a"].queued == line
    assert read_journal(sweep)[0].job is None


def test_the_reason_of_a_halt_is_shown(sweep, no_slurm):
    """`status` prints it."""
    published(sweep, ("a",), job="77")
    halt(sweep, "all alike", "breaker")

    assert read_queue_status(sweep, Site).halt.why == "all alike"
