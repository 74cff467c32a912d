"""The journal of submissions: each number is taken once, each outcome is decided once."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from lthsweep.errors import StoreError
from lthsweep.launch.slurm.journal import (
    Submission,
    mark_started,
    note_id,
    open_journal,
    publish_intent,
    read_journal,
    read_submission,
    void,
)
from lthsweep.store.layout import SweepDir

INTENT = Submission(number=1, name="", kind="workers", shares=(("a", "b"), ("c",)), minutes=30)


@pytest.fixture
def sweep(tmp_path):
    sweep = SweepDir(tmp_path / "sweep").create()
    open_journal(sweep)
    return sweep


def published(sweep, number=1, **changes):
    intent = publish_intent(sweep, replace(INTENT, number=number, **changes))
    assert intent is not None
    return intent


def test_a_published_intent_is_read_back_unchanged(sweep):
    intent = published(sweep, after=("x",))

    assert read_journal(sweep) == [intent]
    assert intent.keys(1) == ("c",)
    assert intent.elements == 2


def test_a_number_is_taken_only_once(sweep):
    with ThreadPoolExecutor(8) as pool:
        wanted = [replace(INTENT, shares=((str(author),),)) for author in range(8)]
        won = [intent for intent in pool.map(lambda intent: publish_intent(sweep, intent), wanted) if intent]

    assert len(won) == 1
    assert read_journal(sweep) == won


def test_submissions_are_read_in_order_of_numbers(sweep):
    for number in (3, 1, 2):
        published(sweep, number)

    assert [submission.number for submission in read_journal(sweep)] == [1, 2, 3]


def test_two_sweeps_never_share_a_job_name(tmp_path):
    first, second = (SweepDir(tmp_path / name).create() for name in ("one", "two"))

    assert open_journal(first) != open_journal(second)
    assert open_journal(first) == open_journal(first)


def test_a_recorded_id_is_read_back(sweep):
    name = published(sweep).name

    assert read_submission(sweep, name).job is None
    note_id(sweep, name, "77")
    assert read_submission(sweep, name).job == "77"


def test_a_starting_job_records_its_id(sweep):
    """Its coordinator may have died before recording it."""
    name = published(sweep).name

    assert mark_started(sweep, name, "77")
    assert read_submission(sweep, name).job == "77"
    assert read_submission(sweep, name).outcome == "started"


def test_all_elements_of_one_array_are_valid(sweep):
    name = published(sweep).name

    assert all(mark_started(sweep, name, "77") for _ in range(3))


def test_a_second_job_of_a_submission_is_refused(sweep):
    name = published(sweep).name
    mark_started(sweep, name, "77")

    assert not mark_started(sweep, name, "78")


def test_a_job_of_a_void_submission_is_refused(sweep):
    name = published(sweep).name

    assert void(sweep, name, "not found")
    assert not mark_started(sweep, name, "77")
    assert read_submission(sweep, name).why == "not found"


def test_a_submission_with_a_job_cannot_be_voided(sweep):
    name = published(sweep).name
    mark_started(sweep, name, "77")

    assert not void(sweep, name, "not found")
    assert read_submission(sweep, name).outcome == "started"


def test_void_and_started_exclude_each_other(sweep):
    for number in range(1, 30):
        name = published(sweep, number).name
        with ThreadPoolExecutor(2) as pool:
            given_up = pool.submit(void, sweep, name, "late")
            wanted = pool.submit(mark_started, sweep, name, "77")

        assert given_up.result() != wanted.result()


def test_an_unreadable_intent_is_void_with_a_reason(sweep):
    name = published(sweep).name
    (sweep.submission(name) / "intent.json").write_bytes(b"{broken")

    assert read_journal(sweep)[0].outcome == "void"
    assert "cannot be read" in read_journal(sweep)[0].why


def test_job_names_are_readable_only_by_their_owner(sweep):
    name = published(sweep).name

    assert stat.S_IMODE(sweep.slurm.stat().st_mode) == 0o700
    assert stat.S_IMODE(sweep.submission(name).stat().st_mode) == 0o700


def test_a_journal_writable_by_others_is_refused(sweep):
    sweep.slurm.chmod(0o777)

    with pytest.raises(StoreError, match="chmod 700"):
        open_journal(sweep)
