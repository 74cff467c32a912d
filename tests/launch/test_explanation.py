"""The explanation of each state: it names run, job and cause, and the command that helps."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lthsweep.launch.disk_status import RunStatus
from lthsweep.launch.explanation import Explanation, explain, root_of
from lthsweep.launch.slurm.array_tasks import match_tasks
from lthsweep.launch.slurm.halt import Halt
from lthsweep.launch.slurm.queue_status import QueueStatus
from lthsweep.launch.sweep_status import sweep_status
from lthsweep.store.failures import CANCELLED, GAVE_UP, Failure
from lthsweep.store.heartbeats import Heartbeat
from tests.launch.cases import CHAIN, DENSE, NOW, PLAN, TICKETS, element, listed, on_disk, silent, submitted

RUN, SLURM = "lthsweep run results/s", "lthsweep run results/s --on slurm"
KILLED = Failure("killed by signal 9", infrastructure=True)
CONTROLLER = replace(submitted(number=2, job="78"), kind="controller")
HALTS = {
    "user": (Halt("the user canceled it", "user", 0.0), SLURM),
    "breaker": (Halt("the first 5 failed alike", "breaker", 0.0), f"{SLURM} --retry-failed"),
}


def explained(state, found, queue=None, *, key=DENSE, plan=PLAN):
    """The explanation of one run, whose state is checked too."""
    status = sweep_status(plan, found, queue or QueueStatus())
    assert status.runs[key].state == state
    return explain(status.runs[key], status, "results/s")


def test_a_done_run_has_a_record():
    """Nothing changes it."""
    text = explained("done", on_disk(done=[DENSE]))

    assert text == Explanation(text.reason)
    assert "record" in text.reason


@pytest.mark.parametrize("phase", ["train", "profile"])
def test_running_names_the_worker_and_its_job(phase):
    """Epoch and phase come from its heartbeat."""
    beat = Heartbeat("w", "node7", 3, DENSE, phase, 1.5, 4, images_per_second=5120, time=NOW + 5)
    found = on_disk(beats=[beat], jobs={DENSE: "100"})

    here = explained("running", found)
    there = explained("running", found, listed([submitted((DENSE,))], [element(0, "RUNNING")]))

    for text in (here, there):
        assert all(part in text.reason for part in ("node7", "pid 3", "1.5 of 4", "5,120"))
        assert ("profile" in text.reason) == (phase == "profile")
        assert not text.command
    assert "job" not in here.reason
    assert "job 77_0" in there.reason


def test_a_rate_is_shown_once_measured():
    """The first heartbeat has none."""
    text = explained("running", on_disk(beats=[Heartbeat("w", key=DENSE, images_per_second=float("nan"))]))

    assert "nan" not in text.reason


def test_ready_locally_needs_a_run_command():
    """No job will start by itself."""
    text = explained("ready", on_disk())

    assert text.command == RUN


def test_ready_in_the_share_of_a_running_job():
    """That job takes it."""
    queue = listed([submitted((DENSE,))], [element(0, "RUNNING")])

    text = explained("ready", on_disk(), queue)

    assert "job 77_0" in text.reason
    assert not text.command


def test_ready_for_any_worker_names_the_floor():
    """Why it gets no further job."""
    queue = listed([submitted((DENSE,))], [element(0, "RUNNING")])

    text = explained("ready", on_disk(done=[DENSE]), queue, key=TICKETS[0])

    assert "slurm.floor_minutes" in text.reason
    assert "worker" in text.change
    assert not text.command


def test_a_broken_last_attempt_is_named():
    """For ready runs, and for runs without a job."""
    found = on_disk(done=[DENSE], failures={TICKETS[0]: KILLED})
    journal = [submitted((TICKETS[0],), (TICKETS[1],))]

    shared = explained("ready", found, listed(journal, [element(0, "RUNNING")]), key=TICKETS[0])
    free = explained("ready", found, listed(journal, [element(1, "RUNNING")]), key=TICKETS[0])
    none = explained("to be submitted", found, listed(journal, []), key=TICKETS[0])

    assert all(KILLED.cause in text.reason for text in (shared, free, none))


def test_waiting_names_the_parent():
    """It needs no command while the parent's job is queued."""
    queue = listed([submitted((DENSE,))], [element(0)])

    text = explained("waiting", on_disk(), queue, key=TICKETS[0])

    assert text.reason.count(DENSE[:8]) == 1
    assert "pending" in text.change
    assert not text.command


def test_waiting_names_the_root_further_up():
    """And the state of the root."""
    dense, first, second = CHAIN.runs
    status = sweep_status(CHAIN, on_disk(CHAIN), QueueStatus())

    text = explain(status.runs[second], status, "results/s")

    assert root_of(status.runs[second], status).run.key == dense
    assert first[:8] in text.reason
    assert dense[:8] in text.reason
    assert "ready" in text.change


@pytest.mark.parametrize(
    ("queue", "command"),
    [
        (QueueStatus(), RUN),
        (listed([submitted((DENSE,))], []), f"{SLURM} --wait"),
        (listed([submitted((DENSE,))], [], halt=HALTS["breaker"][0]), f"{SLURM} --retry-failed"),
    ],
    ids=["local", "no job", "halted"],
)
def test_waiting_has_the_command_of_its_root(queue, command):
    """The wait ends only if the root is trained."""
    text = explained("waiting", on_disk(), queue, key=TICKETS[0])

    assert text.command == command


def test_pending_has_slurms_reason():
    """And the id of the job."""
    text = explained("pending", on_disk(), listed([submitted((DENSE,))], [element(0, reason="QOSMaxJobs")]))

    assert "job 77" in text.reason
    assert "QOSMaxJobs" in text.reason
    assert not text.command


def test_a_new_submission_was_just_submitted():
    """The queue does not list it yet, so SLURM has no reason."""
    text = explained("pending", on_disk(), listed([submitted((DENSE,), created=NOW - 30)], []))

    assert "job 77" in text.reason
    assert "just submitted" in text.reason


def test_unknown_names_the_silence():
    """No command helps until SLURM answers."""
    text = explained("unknown", on_disk(), silent([submitted((DENSE,))]))

    assert "job 77" in text.reason
    assert "does not answer" in text.reason
    assert not text.command


def test_unknown_names_an_unlisted_submission():
    """It has no job id; the next step submits the run again."""
    text = explained("unknown", on_disk(), listed([submitted((DENSE,), job=None)], []))

    assert "lth-0-0001" in text.reason
    assert "not listed" in text.reason
    assert text.command == SLURM


@pytest.mark.parametrize("by", HALTS)
def test_a_halted_sweep_needs_a_command(by):
    """Jobs of a halted sweep end as soon as they start, so every run without a worker waits for the user."""
    halt, command = HALTS[by]
    journal = [submitted((DENSE,))]

    texts = [
        explained(state, on_disk(), listed(journal, queue, halt=halt))
        for state, queue in (
            ("to be submitted", []),
            ("pending", [element(0)]),
            ("ready", [element(0, "RUNNING")]),
        )
    ]

    assert all(halt.why in text.reason for text in texts)
    assert {text.command for text in texts} == {command}


def test_queued_workers_take_runs_without_jobs():
    """As soon as one starts."""
    queue = listed([submitted((TICKETS[0],))], [element(0)])

    text = explained("to be submitted", on_disk(done=[DENSE]), queue, key=TICKETS[1])

    assert "worker job" in text.change
    assert not text.command


def test_the_controller_job_submits_runs():
    """It is named."""
    queue = listed([submitted((DENSE,)), CONTROLLER], [])
    line = replace(element(0), job="78", index=None, name=CONTROLLER.name)
    queue = replace(queue, tasks=match_tasks([CONTROLLER], [line], fresh=lambda one, index: False))

    text = explained("to be submitted", on_disk(), queue)

    assert "controller job 78" in text.change
    assert not text.command


@pytest.mark.parametrize("refused", ["", "QOSMaxSubmitJobPerUserLimit"])
def test_without_jobs_the_user_continues(refused):
    """A refused last submission is a reason."""
    text = explained("to be submitted", on_disk(), listed([submitted((DENSE,))], [], limit=refused))

    assert "no job is queued" in text.reason
    assert refused in text.reason
    assert text.command == f"{SLURM} --wait"


def test_nothing_is_submitted_while_slurm_is_silent():
    """It is unknown whether a job runs."""
    text = explained("to be submitted", on_disk(done=[DENSE]), silent([submitted((DENSE,))]), key=TICKETS[0])

    assert "does not answer" in text.reason
    assert not text.command


@pytest.mark.parametrize(
    ("queue", "command"),
    [(QueueStatus(), RUN), (listed([submitted((DENSE,))], []), f"{SLURM} --retry-failed")],
)
def test_failed_names_cause_attempt_and_host(queue, command):
    """The retry goes where the sweep ran; a local `run` always retries."""
    failure = Failure("it broke", host="node7", attempt=3)

    text = explained("failed", on_disk(failures={DENSE: failure}), queue)

    assert all(part in text.reason for part in ("it broke", "3", "node7"))
    assert text.command == command


def test_canceled_names_the_user():
    """A local `run` takes the cancellation back."""
    text = explained("canceled", on_disk(failures={DENSE: Failure("stop", kind=CANCELLED)}))

    assert "user" in text.reason
    assert text.command == RUN


@pytest.mark.parametrize(("kind", "verb"), [("TrainingError", "failed"), (CANCELLED, "canceled")])
def test_blocked_names_the_run_that_blocks(kind, verb):
    """Also further up."""
    dense, first, second = CHAIN.runs
    found = on_disk(CHAIN, failures={dense: Failure("no", kind=kind)})

    for key in (first, second):
        text = explained("blocked", found, key=key, plan=CHAIN)
        assert dense[:8] in text.reason
        assert verb in text.reason
        assert text.command == RUN


def test_skipped_names_the_divergence():
    """No command helps."""
    found = on_disk(done=[DENSE])
    skipped = replace(found, states={**found.states, TICKETS[0]: RunStatus.SKIPPED})

    text = explained("skipped", skipped, key=TICKETS[0])

    assert "diverged" in text.reason
    assert not text.command


keys = st.sets(st.sampled_from([DENSE, *TICKETS]))
kinds = st.sampled_from(["TrainingError", GAVE_UP, CANCELLED])


@given(
    done=keys,
    beats=keys,
    failed=st.dictionaries(
        st.sampled_from([DENSE, *TICKETS]),
        st.builds(Failure, st.just("x"), kinds, infrastructure=st.booleans()),
    ),
    lines=st.lists(st.sampled_from(["PENDING", "RUNNING", "SUSPENDED", "ODD", None]), min_size=2, max_size=2),
    job=st.sampled_from(["77", None]),
    halt=st.sampled_from([None, *(halt for halt, _ in HALTS.values())]),
    where=st.sampled_from(["local", "listed", "silent"]),
)
def test_every_run_that_is_not_done_is_explained(done, beats, failed, lines, job, halt, where):
    """Whatever disk and queue hold."""
    journal = [submitted((DENSE,), tuple(TICKETS[:2]), job=job), CONTROLLER]
    queue = [element(index, state) for index, state in enumerate(lines) if state]
    jobs = {
        "local": QueueStatus(),
        "listed": listed(journal, queue, halt=halt),
        "silent": replace(silent(journal), halt=halt),
    }[where]
    found = on_disk(
        done=done, failures=failed, beats=[Heartbeat("w", key=key, time=NOW + 5) for key in beats]
    )

    status = sweep_status(PLAN, found, jobs)

    for state in status.runs.values():
        text = explain(state, status, "results/s")
        assert state.state == "done" or text.reason or text.change
        assert "None" not in f"{text}"
        assert not text.command or text.command.startswith(RUN)
