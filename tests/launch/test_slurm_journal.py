"""The journal of submissions: numbers are taken once, fates are decided once."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from lthsweep.errors import StoreError
from lthsweep.launch.slurm.journal import (
    Submission,
    come_alive,
    note_id,
    open_journal,
    publish_intent,
    read_journal,
    read_submission,
    void,
)
from lthsweep.store.layout import SweepDir

INTENT = Submission(number=1, name="", kind="train", parcels=(("a", "b"), ("c",)), minutes=30)


@pytest.fixture
def sweep(tmp_path):
    sweep = SweepDir(tmp_path / "sweep").create()
    open_journal(sweep)
    return sweep


def published(sweep, number=1, **changes):
    intent = publish_intent(sweep, replace(INTENT, number=number, **changes))
    assert intent is not None
    return intent


def test_an_intent_is_read_back_as_it_was_published(sweep):
    intent = published(sweep, after=("x",))

    assert read_journal(sweep) == [intent]
    assert intent.keys(1) == ("c",)
    assert intent.elements == 2


def test_a_number_is_taken_once_whoever_wants_it(sweep):
    with ThreadPoolExecutor(8) as pool:
        wanted = [replace(INTENT, parcels=((str(author),),)) for author in range(8)]
        won = [intent for intent in pool.map(lambda intent: publish_intent(sweep, intent), wanted) if intent]

    assert len(won) == 1
    assert read_journal(sweep) == won


def test_submissions_come_in_the_order_of_their_numbers(sweep):
    for number in (3, 1, 2):
        published(sweep, number)

    assert [submission.number for submission in read_journal(sweep)] == [1, 2, 3]


def test_two_sweeps_never_share_a_job_name(tmp_path):
    first, second = (SweepDir(tmp_path / name).create() for name in ("one", "two"))

    assert open_journal(first) != open_journal(second)
    assert open_journal(first) == open_journal(first)


def test_an_id_is_known_once_it_is_noted(sweep):
    name = published(sweep).name

    assert read_submission(sweep, name).job is None
    note_id(sweep, name, "77")
    assert read_submission(sweep, name).job == "77"


def test_a_job_that_starts_makes_its_id_known(sweep):
    """Its coordinator may have died before it could write it down."""
    name = published(sweep).name

    assert come_alive(sweep, name, "77")
    assert read_submission(sweep, name).job == "77"
    assert read_submission(sweep, name).fate == "alive"


def test_all_elements_of_one_array_are_wanted(sweep):
    name = published(sweep).name

    assert all(come_alive(sweep, name, "77") for _ in range(3))


def test_a_second_job_of_the_same_submission_is_not_wanted(sweep):
    name = published(sweep).name
    come_alive(sweep, name, "77")

    assert not come_alive(sweep, name, "78")


def test_a_job_of_a_void_submission_is_not_wanted(sweep):
    name = published(sweep).name

    assert void(sweep, name, "not found")
    assert not come_alive(sweep, name, "77")
    assert read_submission(sweep, name).why == "not found"


def test_a_submission_with_a_job_cannot_be_given_up(sweep):
    name = published(sweep).name
    come_alive(sweep, name, "77")

    assert not void(sweep, name, "not found")
    assert read_submission(sweep, name).fate == "alive"


def test_void_and_alive_race_for_one_fate(sweep):
    for number in range(1, 30):
        name = published(sweep, number).name
        with ThreadPoolExecutor(2) as pool:
            given_up = pool.submit(void, sweep, name, "late")
            wanted = pool.submit(come_alive, sweep, name, "77")

        assert given_up.result() != wanted.result()


def test_an_intent_that_cannot_be_read_is_void_and_says_so(sweep):
    name = published(sweep).name
    (sweep.submission(name) / "intent.json").write_bytes(b"{broken")

    assert read_journal(sweep)[0].fate == "void"
    assert "cannot be read" in read_journal(sweep)[0].why


def test_what_jobs_are_named_after_is_for_its_owner_only(sweep):
    name = published(sweep).name

    assert stat.S_IMODE(sweep.slurm.stat().st_mode) == 0o700
    assert stat.S_IMODE(sweep.submission(name).stat().st_mode) == 0o700


def test_a_journal_that_others_may_write_is_refused(sweep):
    sweep.slurm.chmod(0o777)

    with pytest.raises(StoreError, match="chmod 700"):
        open_journal(sweep)
