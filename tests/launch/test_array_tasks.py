"""Status of jobs: live elements, covered runs, and failed attempts of a run."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lthsweep.launch.slurm.cluster.listing import Element
from lthsweep.launch.slurm.journal import Submission
from lthsweep.launch.slurm.array_tasks import failed_attempts, match_tasks


def submission(number, *parcels, job="", kind="train", outcome="open"):
    keys = tuple(tuple(parcel) for parcel in parcels)
    return Submission(number, f"lth-x-{number:04d}", kind, keys, job=job or None, outcome=outcome)


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
    assert [place.index for place in found.gone("b")] == [1]


def test_a_job_without_an_array_is_its_only_element():
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


def test_a_follow_up_without_an_id_does_not_count():
    """Its coordinator died between intent and id; without another follow-up the sweep would stop."""
    assert tasks([submission(1, kind="controller")]).controller() is None
    assert tasks([submission(1, kind="controller", job="7")], fresh=True).controller() is not None


def test_a_follow_up_does_not_count_itself():
    found = tasks([submission(1, kind="controller", job="7")], line("7"))

    assert found.controller() is not None
    assert found.controller(other_than="lth-x-0001") is None


@pytest.mark.parametrize(("state", "counts"), [("PENDING", True), ("REQUEUED", True), ("RUNNING", False)])
def test_a_started_follow_up_does_not_count(state, counts):
    """It may have read the state already, also if a restarted controller still lists it from an old queue."""
    found = tasks([submission(1, kind="controller", job="7")], line("7", state=state))

    assert (found.follow_up() is not None) is counts
    assert found.controller() is not None


def test_an_id_reused_by_another_job_is_ignored():
    """A killed controller forgets its last jobs, and assigns their ids again."""
    journal = [submission(1, kind="controller", job="7"), submission(2, "ab", job="7"), submission(3, "c", job="8")]
    found = tasks(journal, line("7", 0, name="lth-x-0002"), line("8", 0, name="of another user"))

    assert found.controller() is None
    assert found.covered.keys() == {"a", "b"}


def test_follow_ups_wait_for_live_training_only():
    journal = [submission(1, "a", job="7"), submission(2, "b", job="8"), submission(3, kind="controller", job="9")]
    found = tasks(journal, line("8", 0), line("9"))

    assert [live.number for live in found.live] == [2]
    assert found.live_elements == 2


def gone(*numbers):
    journal = [submission(number, "ab", job=str(number)) for number in numbers]
    return tasks(journal).gone("a")


def test_jobs_without_files_are_failed_attempts():
    assert failed_attempts("a", gone(1, 2, 3), lambda place: None) == 3


def test_progress_resets_failed_attempts():
    assert (
        failed_attempts("a", gone(1, 2, 3), lambda place: () if place.submission.number == 2 else None) == 1
    )


def test_a_run_is_not_blamed_for_another():
    assert failed_attempts("a", gone(1, 2), lambda place: {"b"}) == 0
    assert failed_attempts("b", gone(1, 2), lambda place: {"b"}) == 2


runs = st.sets(st.sampled_from("abcdefgh"), min_size=1, max_size=4)


@given(st.lists(st.tuples(runs, st.booleans(), st.booleans()), max_size=8))
def test_every_run_is_either_covered_or_gone(history):
    """A run is submitted again exactly if none of its elements is live."""
    journal = [
        submission(n, keys, job=str(n), outcome="void" if v else "started")
        for n, (keys, _, v) in enumerate(history, 1)
    ]
    queue = [line(str(n), 0) for n, (_, listed, _) in enumerate(history, 1) if listed]
    found = tasks(journal, *queue)

    for key in "abcdefgh":
        had = [p for p in found.all if key in p.keys]
        assert (key in found.covered) == any(place.is_live for place in had)
        assert found.gone(key) == [place for place in had if not place.is_live]
