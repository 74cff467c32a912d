from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lthsweep.data import split
from lthsweep.data.split import split_indices, training_split
from lthsweep.errors import DataError

LABELS = st.lists(st.integers(0, 6), min_size=1, max_size=80).map(lambda labels: np.array(labels, np.int64))


@given(LABELS, st.data())
def test_split_parts_the_indices_in_proportion(labels, data):
    """Both parts are sorted and together everything; no class is off its exact share by one or more."""
    validation = data.draw(st.integers(0, len(labels) - 1))

    kept, held_out = split_indices(labels, validation)

    assert len(held_out) == validation
    assert sorted([*kept, *held_out]) == list(range(len(labels)))
    assert (np.diff(kept) > 0).all() and (np.diff(held_out) > 0).all()
    assert kept.dtype == held_out.dtype == np.int64
    counts, got = np.bincount(labels), np.bincount(labels[held_out], minlength=labels.max() + 1)
    assert (np.abs(got - counts * validation / len(labels)) < 1).all()


def test_split_is_pinned():
    """The held-out images are part of the protocol: the same for all seeds, versions and machines."""
    _, held_out = split_indices(np.arange(20) % 2, 6)

    assert held_out.tolist() == [7, 10, 14, 15, 16, 19]


def test_purposes_choose_independently():
    """The validation split of a set whose test split used the same rule must not repeat its choice."""
    labels = np.zeros(100, np.int64)

    assert split_indices(labels, 50)[1].tolist() != split_indices(labels, 50, purpose="test")[1].tolist()


@pytest.mark.parametrize("validation", [-1, 10, 11])
def test_split_that_leaves_nothing_is_refused(validation):
    """The message gives the range that is possible."""
    with pytest.raises(DataError, match="from 0 to 9"):
        split_indices(np.zeros(10, np.int64), validation)


@given(LABELS, st.data())
def test_parts_are_proportional_and_exclude_held_out_images(labels, data):
    """Training on a part changes neither which images are held out nor the balance of the classes."""
    validation = data.draw(st.integers(0, len(labels) - 1))
    whole, held_out = split_indices(labels, validation)
    wanted = data.draw(st.integers(1, len(whole)))

    part, still_held_out = training_split(labels, validation, wanted)

    assert still_held_out.tolist() == held_out.tolist()
    assert len(part) == wanted
    assert set(part) <= set(whole)
    assert (np.diff(part) > 0).all()
    counts, got = (np.bincount(labels[some], minlength=7) for some in (whole, part))
    assert (np.abs(got - counts * wanted / len(whole)) < 1).all()


def test_zero_takes_all_remaining_images():
    """The neutral value trains on all images."""
    labels = np.arange(40) % 3

    assert [one.tolist() for one in training_split(labels, 10)] == [
        one.tolist() for one in split_indices(labels, 10)
    ]


def test_parts_are_pinned_and_nested():
    """A study on a part repeats on the same images; with equal classes smaller parts are subsets of larger ones."""
    labels = np.arange(40) % 2
    parts = [training_split(labels, 10, wanted)[0].tolist() for wanted in (6, 12, 30)]

    assert parts[0] == [10, 23, 27, 32, 34, 35]
    assert set(parts[0]) < set(parts[1]) < set(parts[2])


@pytest.mark.parametrize("wanted", [-1, 8, 100])
def test_a_part_that_is_too_large_is_refused(wanted):
    """The message has the number of remaining samples."""
    with pytest.raises(
        DataError, match="10 training samples less 3 held out leave 7; lower it, or set it to 0"
    ):
        training_split(np.zeros(10, np.int64), 3, wanted)


@given(LABELS)
def test_test_split_leaves_every_class_both_sides(labels):
    """Each class is trained, and tested if it has two samples or more."""
    kept, held_out = split.test_split(labels)

    assert sorted([*kept, *held_out]) == list(range(len(labels)))
    for label, count in enumerate(np.bincount(labels)):
        trained, tested = ((labels[part] == label).sum() for part in (kept, held_out))
        assert trained >= min(count, 1)
        assert tested >= 1 or count < 2


@given(st.lists(st.integers(5, 30), min_size=1, max_size=7))
def test_test_split_is_the_proportional_split(counts):
    """Where each class has enough samples, one in five are held out as by every other split, bit for bit."""
    labels = np.repeat(np.arange(len(counts)), counts)
    kept, held_out = split_indices(labels, len(labels) // 5, purpose="test")
    shares = np.bincount(labels[held_out], minlength=len(counts))

    if shares.min() >= 1 and (shares < counts).all():
        assert [part.tolist() for part in split.test_split(labels)] == [kept.tolist(), held_out.tolist()]


def test_test_split_is_pinned():
    """The test images of own data are part of the protocol."""
    assert split.test_split(np.repeat([0, 1, 2], [20, 8, 2]))[1].tolist() == [10, 11, 14, 18, 20, 24, 29]
