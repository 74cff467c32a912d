"""The jobs of a sweep: live elements, and the runs in their shares."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lthsweep.launch.slurm.array_tasks import match_tasks
from lthsweep.launch.slurm.cluster.listing import Element
from lthsweep.launch.slurm.journal import Submission


def submission(number, *shares, job="", kind="workers", outcome="open"):
    return Submission(
        number, f"lth-x-{number:04d}", kind, tuple(map(tuple, shares)), job=job or None, outcome=outcome
    )


def line(job, index=None, state="RUNNING", name="", reason=""):
    return Element(job, index, name, state, reason)


def tasks(journal, *queue, fresh=False):
    """Elements have the name of the submission with their id, unless they set another."""
    names = {submission.job: submission.name for submission in journal}
    named = [replace(element, name=element.name or names[element.job]) for element in queue]
    return match_tasks(journal, named, fresh=lambda submission, index: fresh)


def test_a_queued_element_covers_its_runs():
    found = tasks([submission(1, "a", "b", job="7")], line("7", 0))

    assert found.covered.keys() == {"a"}
    assert [task.is_live for task in found.all] == [True, False]


def test_a_job_outside_arrays_is_its_only_element():
    assert tasks([submission(1, "ab", job="7")], line("7")).covered.keys() == {"a", "b"}


@pytest.mark.parametrize("state", ["PENDING", "COMPLETING", "REQUEUED", "SOMETHING_NEW"])
def test_an_element_in_any_state_is_live(state):
    """A run must not be submitted again because of an unknown state."""
    assert tasks([submission(1, "a", job="7")], line("7", 0, state)).covered.keys() == {"a"}


def test_a_submission_without_an_id_covers_its_runs():
    assert tasks([submission(1, "a")]).covered.keys() == {"a"}


def test_a_void_submission_covers_no_runs():
    assert not tasks([submission(1, "a", outcome="void")]).covered


def test_a_recent_unlisted_submission_is_live():
    """squeue can answer from a copy that is some seconds old."""
    journal = [submission(1, "a", job="7")]

    assert tasks(journal, fresh=True).covered.keys() == {"a"}
    assert not tasks(journal, fresh=False).covered


def test_controller_jobs_without_an_id_do_not_count():
    """Its coordinator died between intent and id; without another controller job the sweep would stop."""
    assert tasks([submission(1, kind="controller")]).controller() is None
    assert tasks([submission(1, kind="controller", job="7")], fresh=True).controller() is not None


def test_a_controller_job_does_not_count_itself():
    """It has to leave a successor, also if SLURM lists it as pending for some seconds after its start."""
    found = tasks([submission(1, kind="controller", job="7")], line("7", state="PENDING"))

    assert found.next_controller() is not None
    assert found.next_controller(other_than="lth-x-0001") is None


@pytest.mark.parametrize(("state", "counts"), [("PENDING", True), ("REQUEUED", True), ("RUNNING", False)])
def test_a_started_controller_job_is_not_the_next(state, counts):
    """It may have read the state already, also if a restarted slurmctld still lists it from an old queue."""
    found = tasks([submission(1, kind="controller", job="7")], line("7", state=state))

    assert (found.next_controller() is not None) is counts
    assert found.controller() is not None


def test_an_id_reused_by_another_job_is_ignored():
    """A killed slurmctld forgets its last jobs, and assigns their ids again."""
    journal = [
        submission(1, kind="controller", job="7"),
        submission(2, "ab", job="7"),
        submission(3, "c", job="8"),
    ]
    found = tasks(journal, line("7", 0, name="lth-x-0002"), line("8", 0, name="of another user"))

    assert found.controller() is None
    assert found.covered.keys() == {"a", "b"}


def test_live_submissions_are_those_of_workers():
    """The controller job waits for them; it cannot wait for another controller job."""
    journal = [
        submission(1, "a", job="7"),
        submission(2, "b", job="8"),
        submission(3, kind="controller", job="9"),
    ]
    found = tasks(journal, line("8", 0), line("9"))

    assert [live.number for live in found.live] == [2]
    assert found.live_elements == 2


@pytest.mark.parametrize(("queue", "listed"), [([line("7", 0)], True), ([], False)])
def test_an_unlisted_live_submission_allows_no_dependency(queue, listed):
    """SLURM may not know the id yet, or no more."""
    assert tasks([submission(1, "a", job="7")], *queue, fresh=True).listed is listed


runs = st.sets(st.sampled_from("abcdefgh"), min_size=1, max_size=4)


@given(st.lists(st.tuples(runs, st.booleans(), st.booleans()), max_size=8))
def test_a_run_is_covered_by_its_live_jobs(history):
    """By the last of them: a run is in a second live share after it failed in the first."""
    journal = [
        submission(n, keys, job=str(n), outcome="void" if v else "started")
        for n, (keys, _, v) in enumerate(history, 1)
    ]
    queue = [line(str(n), 0) for n, (_, listed, _) in enumerate(history, 1) if listed]
    found = tasks(journal, *queue)

    for key in "abcdefgh":
        live = [task for task in found.all if key in task.keys and task.is_live]
        assert found.covered.get(key) == (live[-1] if live else None)
