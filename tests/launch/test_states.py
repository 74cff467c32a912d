"""Where runs stand, by disk and by queue: what has a record is done, what SLURM does not say is unknown."""

from __future__ import annotations

import time
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lthsweep.launch.outlook import outlook
from lthsweep.launch.slurm.cluster.queue import Element, Look
from lthsweep.launch.slurm.glance import Glance, glance
from lthsweep.launch.slurm.halt import Halt, halt
from lthsweep.launch.slurm.journal import (
    Submission,
    note_id,
    open_journal,
    publish_intent,
    read_journal,
    void,
)
from lthsweep.launch.slurm.sites.site import Site
from lthsweep.launch.slurm.standing import Standing, stand
from lthsweep.launch.slurm.traces import End, write_end
from lthsweep.launch.states import STATES, states_of
from lthsweep.launch.survey import Survey
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


def surveyed(plan=PLAN, *, done=(), failures=None, beats=(), jobs=None):
    failures, states = failures or {}, {}
    beats = {beat.key: beat for beat in beats}
    for key, run in plan.runs.items():
        before = states.get(run.parent, "done")
        states[key] = (
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
    return Survey(states, failures, beats, frozenset(), {key: (jobs or {}).get(key, "") for key in beats})


def submitted(*parcels, number=1, job="77", created=0.0):
    return Submission(number, f"lth-0-000{number}", "train", parcels, created=created, job=job, fate="open")


def element(index, state="PENDING", job="77", **more):
    return Element(job, index, "lth-0-0001", state, raw=str(100 + index), **more)


def seen(journal, queue, **more):
    told = Glance(Standing(()), taken=NOW, lag_seconds=60, slots=2, seen=Look(tuple(queue), NOW), **more)
    return replace(told, standing=stand(journal, queue, fresh=lambda one, index: told.is_young(one)))


def silent(journal):
    return Glance(stand(journal, (), fresh=lambda one, index: True), silence="down", taken=NOW)


def names(states, *keys):
    return [states.runs[key].state for key in keys]


def test_without_slurm_runs_are_ready_or_wait_for_their_parent():
    states = states_of(PLAN, surveyed(), Glance())

    assert names(states, DENSE, *TICKETS) == ["ready", *["waiting"] * 4]
    assert {states.runs[key].waits_for.key for key in TICKETS} == {DENSE}
    assert sum(states.count().values()) == 5
    assert tuple(states.count()) == STATES


def test_runs_of_a_job_that_waits_are_pending_with_its_reason():
    states = states_of(
        PLAN, surveyed(), seen([submitted((DENSE, *TICKETS))], [element(0, reason="Priority")])
    )

    assert names(states, DENSE, *TICKETS) == ["pending"] * 5
    assert states.runs[DENSE].place.queued.reason == "Priority"


def test_runs_of_a_job_at_work_wait_for_their_parent_or_a_worker():
    beat = Heartbeat("w", key=TICKETS[0], epoch=1, epochs=4, time=NOW)
    journal, queue = [submitted((DENSE, *TICKETS))], [element(0, "RUNNING")]

    before = states_of(PLAN, surveyed(), seen(journal, queue))
    after = states_of(PLAN, surveyed(done=[DENSE], beats=[beat]), seen(journal, queue))

    assert names(before, DENSE, TICKETS[0]) == ["ready", "waiting"]
    assert names(after, *TICKETS[:2]) == ["running", "ready"]
    assert after.runs[TICKETS[0]].place.index == 0


def test_what_no_job_has_is_to_be_submitted():
    states = states_of(PLAN, surveyed(), seen([submitted((DENSE,))], [element(0)]))

    assert names(states, DENSE, TICKETS[0]) == ["pending", "to be submitted"]
    assert states.runs[TICKETS[0]].waits_for.key == DENSE


def test_a_job_that_is_not_in_the_queue_has_nothing_any_more():
    states = states_of(PLAN, surveyed(), seen([submitted((DENSE,), TICKETS)], [element(1)]))

    assert names(states, DENSE, TICKETS[0]) == ["to be submitted", "pending"]


def test_a_job_that_was_just_submitted_need_not_be_listed_yet():
    states = states_of(PLAN, surveyed(), seen([submitted((DENSE,), created=NOW - 30)], []))

    assert names(states, DENSE) == ["pending"]


def test_a_submission_of_which_nobody_knows_whether_it_reached_slurm_is_unknown():
    states = states_of(PLAN, surveyed(), seen([submitted((DENSE,), job=None)], []))

    assert names(states, DENSE) == ["unknown"]


def test_where_slurm_is_silent_what_was_submitted_is_unknown_and_the_disk_is_believed():
    beat = Heartbeat("w", key=TICKETS[0], time=NOW)
    failed = {TICKETS[1]: Failure("no")}
    found = surveyed(done=[DENSE], beats=[beat], failures=failed, jobs={TICKETS[0]: "100"})

    states = states_of(PLAN, found, silent([submitted((DENSE, *TICKETS[:3]))]))

    assert names(states, DENSE, *TICKETS) == ["done", "running", "failed", "unknown", "to be submitted"]
    assert not states.is_over


def test_a_worker_is_gone_if_slurm_does_not_run_its_job():
    """A node that lost power says nothing; its claim would count for a quarter of an hour."""
    found = surveyed(
        done=[DENSE], beats=[Heartbeat("w", key=TICKETS[0], time=NOW - 5)], jobs={TICKETS[0]: "100"}
    )
    journal = [submitted(TICKETS)]

    running, again, gone = (
        states_of(PLAN, found, seen(journal, queue))
        for queue in ([element(0, "RUNNING")], [element(0, "PENDING")], [])
    )

    assert names(running, TICKETS[0]) == ["running"]
    assert names(again, TICKETS[0]) == ["pending"]
    assert names(gone, TICKETS[0]) == ["to be submitted"]


def test_a_worker_that_was_heard_after_the_look_at_the_queue_is_there():
    found = surveyed(
        done=[DENSE], beats=[Heartbeat("w", key=TICKETS[0], time=NOW + 5)], jobs={TICKETS[0]: "100"}
    )

    assert names(states_of(PLAN, found, seen([submitted(TICKETS)], [])), TICKETS[0]) == ["running"]


def test_a_failure_that_is_tried_again_is_no_failure_on_a_cluster():
    lost = Failure("killed", infrastructure=True)
    found = surveyed(failures={DENSE: lost})

    states = states_of(PLAN, found, seen([submitted((DENSE,))], []))

    assert names(states, DENSE) == ["to be submitted"]
    assert states.runs[DENSE].failure is lost
    assert names(states_of(PLAN, found, Glance()), DENSE) == ["failed"]


@pytest.mark.parametrize(
    ("kind", "state"), [("TrainingError", "failed"), (GAVE_UP, "failed"), (CANCELLED, "canceled")]
)
def test_what_descends_from_a_run_that_is_given_up_is_blocked_by_it(kind, state):
    dense, first, second = CHAIN.runs
    found = surveyed(CHAIN, done=[dense], failures={first: Failure("no", kind=kind)})

    states = states_of(CHAIN, found, seen([submitted((first, second))], [element(0)]))

    assert names(states, first, second) == [state, "blocked"]
    assert states.runs[second].blocked_by.key == first
    assert states.is_over


def test_a_halted_sweep_is_over_once_it_has_drained():
    stopped = Halt("somebody canceled it", "user", 0.0)
    journal = [submitted((DENSE,))]

    assert not states_of(PLAN, surveyed(), seen(journal, [element(0)], halt=stopped)).is_over
    assert states_of(PLAN, surveyed(), seen(journal, [], halt=stopped)).is_over
    assert not states_of(PLAN, surveyed(), seen(journal, [])).is_over


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
def test_only_a_record_makes_a_run_done_and_only_the_disk_makes_it_failed(
    done, failed, queue, jobs, is_silent
):
    """Whatever SLURM says, oddly or not at all."""
    parcels = [(DENSE,), tuple(TICKETS[:2]), tuple(TICKETS[2:])]
    journal = [
        submitted(keys, number=n, job=job) for n, (keys, job) in enumerate(zip(parcels, jobs, strict=True))
    ]
    listed = [element(0, state) for state in queue if state]
    told = silent(journal) if is_silent else seen(journal, listed)

    states = states_of(PLAN, surveyed(done=done, failures=failed), told)

    for key, state in states.runs.items():
        assert (state.state == "done") == (key in done)
        assert state.state != "failed" or (key in failed and failed[key].is_final)
        assert not is_silent or state.state not in ("pending", "ready")
    assert states.is_finished == (done == set(PLAN.runs))


def test_the_outlook_counts_the_workers_of_jobs_at_work():
    known = {recipe_id(PLAN[DENSE].recipe): 10.0}
    found = surveyed(done=[DENSE], beats=[Heartbeat("w", key=TICKETS[0], epoch=2, epochs=4, time=NOW)])
    journal = [submitted(TICKETS[:3], TICKETS[3:])]

    one = outlook(PLAN, states_of(PLAN, found, seen(journal, [element(0, "RUNNING"), element(1)])), known, 9)
    none = outlook(PLAN, states_of(PLAN, surveyed(), seen(journal, [element(0), element(1)])), known, 9)
    local = outlook(PLAN, states_of(PLAN, surveyed(), Glance()), known, 9)

    assert (one.jobs, one.at_work, one.estimate.workers) == (1, True, 2)
    assert one.estimate.work == 20 + 40 + 30 + 30
    assert (none.jobs, none.at_work, none.estimate.workers) == (2, False, 3)
    assert (local.jobs, local.estimate.workers, local.estimate.wall) == (0, 9, 80)


def test_the_outlook_leaves_out_what_nobody_will_train():
    known = {recipe_id(PLAN[DENSE].recipe): 10.0}
    found = surveyed(done=[DENSE], failures={key: Failure("no") for key in TICKETS})

    assert outlook(PLAN, states_of(PLAN, found, Glance()), known, 1) is None


def test_a_run_with_a_time_of_its_own_lasts_it_from_the_beginning():
    """Its worker's count of epochs is of a plan that may change; its time is what was asked for."""
    plan = make_plan({"sparsity": [0.5], "seed": [0]}, prune={"schedule": "budget", "time": "20m"})
    dense, ticket = plan.runs
    beat = Heartbeat("w", key=ticket, phase="profile", epoch=0.9, epochs=1, started=NOW, time=NOW + 60)

    def left(**found):
        view = outlook(plan, states_of(plan, surveyed(plan, **found), Glance()), {}, 1)
        return view.estimate.wall

    assert left() == 1200  # an epoch takes nobody knows how long
    assert left(done=[dense]) == 1200
    assert left(done=[dense], beats=[beat]) == 1140
    assert left(done=[dense], beats=[replace(beat, phase="round 2 of 3", epoch=5, epochs=10)]) == 600


@pytest.fixture
def sweep(tmp_path):
    return SweepDir(tmp_path / "sweep").create()


@pytest.fixture
def no_slurm(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))


def published(sweep, *parcels, number=1, job=None):
    open_journal(sweep)
    intent = publish_intent(sweep, Submission(number, "", "train", parcels))
    if job is not None:
        note_id(sweep, intent.name, job)
    return intent.name


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_sweep_that_never_went_to_slurm_asks_neither_slurm_nor_for_a_site(sweep, no_slurm):
    def never():
        raise AssertionError

    assert glance(sweep, never) == Glance()


def test_a_silent_slurm_is_said_and_nothing_is_concluded_or_written(sweep, no_slurm):
    name = published(sweep, ("a",), ("b",), ("c",), job="77")
    given_up = published(sweep, ("d",), number=2)
    void(sweep, given_up, "never arrived")
    write_end(sweep, name, 1, End(worked=("b",)))
    write_end(sweep, name, 2, End(stopped="time"))
    before = contents(sweep.path)

    told = glance(sweep, Site)

    assert "no squeue" in told.silence
    assert set(told.standing.covered) == {"a", "c"}
    assert contents(sweep.path) == before


def test_a_silent_slurm_is_asked_again_only_after_a_while(sweep, no_slurm):
    published(sweep, ("a",), job="77")
    first = replace(glance(sweep, Site), silence="said before")

    assert glance(sweep, Site, first).silence == "said before"
    assert glance(sweep, Site, replace(first, taken=first.taken - 61)).silence != "said before"


def test_a_look_at_the_queue_is_shared_and_a_job_is_known_by_its_name(sweep, no_slurm):
    """The cache is what another process saw; the journal lacks the id because its coordinator was killed."""
    name = published(sweep, ("a",))
    line = Element("77", 0, name, "RUNNING", raw="77")
    (sweep.slurm / "queue.json").write_bytes(
        plainjson.dump({"taken": time.time(), "elements": [asdict(line)]})
    )

    told = glance(sweep, Site)

    assert told.silence == ""
    assert told.standing.covered["a"].queued == line
    assert read_journal(sweep)[0].job is None


def test_why_a_sweep_is_halted_is_seen(sweep, no_slurm):
    published(sweep, ("a",), job="77")
    halt(sweep, "all alike", "breaker")

    assert glance(sweep, Site).halt.why == "all alike"
