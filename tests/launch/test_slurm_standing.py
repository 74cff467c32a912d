"""How jobs stand: what is live, what is covered, what counts against a run."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lthsweep.launch.slurm.cluster.listing import Element
from lthsweep.launch.slurm.journal import Submission
from lthsweep.launch.slurm.standing import stand, strikes


def submission(number, *parcels, job="", kind="train", fate="open"):
    keys = tuple(tuple(parcel) for parcel in parcels)
    return Submission(number, f"lth-x-{number:04d}", kind, keys, job=job or None, fate=fate)


def line(job, index=None, state="RUNNING", name="", reason=""):
    return Element(job, index, name, state, reason)


def standing(journal, *queue, fresh=False):
    """Elements have the name of the submission with their id, unless they have another."""
    names = {submission.job: submission.name for submission in journal}
    named = [replace(element, name=element.name or names[element.job]) for element in queue]
    return stand(journal, named, fresh=lambda submission, index: fresh)


def test_a_run_is_covered_while_its_element_is_in_the_queue():
    found = standing([submission(1, "a", "b", job="7")], line("7", 0))

    assert found.covered.keys() == {"a"}
    assert [place.index for place in found.gone("b")] == [1]


def test_a_job_that_is_not_an_array_is_its_only_element():
    assert standing([submission(1, "ab", job="7")], line("7")).covered.keys() == {"a", "b"}


@pytest.mark.parametrize("state", ["PENDING", "COMPLETING", "REQUEUED", "SOMETHING_NEW"])
def test_whatever_is_listed_is_live(state):
    """A state never heard of is no reason to submit a run again."""
    assert standing([submission(1, "a", job="7")], line("7", 0, state)).covered.keys() == {"a"}


def test_a_submission_without_an_id_covers_its_runs_until_it_is_settled():
    assert standing([submission(1, "a")]).covered.keys() == {"a"}


def test_a_void_submission_covers_nothing():
    assert not standing([submission(1, "a", fate="void")]).covered


def test_a_young_submission_is_live_though_the_queue_does_not_list_it():
    """squeue may be answered from a copy that is some seconds old."""
    journal = [submission(1, "a", job="7")]

    assert standing(journal, fresh=True).covered.keys() == {"a"}
    assert not standing(journal, fresh=False).covered


def test_a_follow_up_of_which_slurm_may_never_have_heard_is_none_to_count_on():
    """Its coordinator died between intent and id; if nobody else followed, the sweep would stand still."""
    assert standing([submission(1, kind="tick")]).tick() is None
    assert standing([submission(1, kind="tick", job="7")], fresh=True).tick() is not None


def test_a_follow_up_does_not_count_on_itself():
    found = standing([submission(1, kind="tick", job="7")], line("7"))

    assert found.tick() is not None
    assert found.tick(other_than="lth-x-0001") is None


@pytest.mark.parametrize(("state", "counts"), [("PENDING", True), ("REQUEUED", True), ("RUNNING", False)])
def test_a_follow_up_that_has_started_may_have_looked_already(state, counts):
    """So may one that a controller lists which was killed, and came back with an old queue."""
    found = standing([submission(1, kind="tick", job="7")], line("7", state=state))

    assert (found.follow_up() is not None) is counts
    assert found.tick() is not None


def test_an_id_that_slurm_gave_to_another_job_is_no_sign_of_life():
    """A controller that was killed forgets the last jobs, and hands out their ids again."""
    journal = [submission(1, kind="tick", job="7"), submission(2, "ab", job="7"), submission(3, "c", job="8")]
    found = standing(journal, line("7", 0, name="lth-x-0002"), line("8", 0, name="of somebody else"))

    assert found.tick() is None
    assert found.covered.keys() == {"a", "b"}


def test_training_that_is_live_is_what_a_follow_up_waits_for():
    journal = [submission(1, "a", job="7"), submission(2, "b", job="8"), submission(3, kind="tick", job="9")]
    found = standing(journal, line("8", 0), line("9"))

    assert [live.number for live in found.live] == [2]
    assert found.live_elements == 2


def gone(*numbers):
    journal = [submission(number, "ab", job=str(number)) for number in numbers]
    return standing(journal).gone("a")


def test_jobs_that_left_no_trace_count_against_their_runs():
    assert strikes("a", gone(1, 2, 3), lambda place: None) == 3


def test_progress_wipes_the_slate():
    assert strikes("a", gone(1, 2, 3), lambda place: () if place.submission.number == 2 else None) == 1


def test_a_run_is_not_blamed_for_its_neighbor():
    assert strikes("a", gone(1, 2), lambda place: {"b"}) == 0
    assert strikes("b", gone(1, 2), lambda place: {"b"}) == 2


runs = st.sets(st.sampled_from("abcdefgh"), min_size=1, max_size=4)


@given(st.lists(st.tuples(runs, st.booleans(), st.booleans()), max_size=8))
def test_every_run_is_covered_or_all_its_elements_are_gone(history):
    """Never both, never neither: a run is submitted again exactly if no element of it is live."""
    journal = [
        submission(n, keys, job=str(n), fate="void" if v else "alive")
        for n, (keys, _, v) in enumerate(history, 1)
    ]
    queue = [line(str(n), 0) for n, (_, listed, _) in enumerate(history, 1) if listed]
    found = standing(journal, *queue)

    for key in "abcdefgh":
        had = [p for p in found.places if key in p.keys]
        assert (key in found.covered) == any(place.is_live for place in had)
        assert found.gone(key) == [place for place in had if not place.is_live]
