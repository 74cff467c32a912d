"""A run has one record; a second finisher is compared, not written over."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from lthsweep.store.layout import SweepDir
from lthsweep.store.publish import commit_record, differences
from lthsweep.store.record import decode
from tests.store.factory import make_record


@pytest.fixture
def sweep(tmp_path):
    return SweepDir(tmp_path / "sweep").create()


def test_the_first_record_is_published(sweep):
    """Finished means: a valid record on disk."""
    record = make_record(1)

    outcome = commit_record(sweep, record)

    assert outcome.verdict == "first"
    assert outcome.path == sweep.record(record.key)
    assert decode(outcome.path).key == record.key


def test_a_second_finisher_with_other_timings_agrees(sweep):
    """Two hosts take different times for the same training; that is not a conflict."""
    record = make_record(1)
    curves = record.curves.copy()
    curves["seconds"] *= 2
    second = dataclasses.replace(
        record,
        curves=curves,
        metrics={
            **record.metrics,
            "seconds_train": 99.0,
            "seconds_wall": 1.0,
            "images_per_second": 1.0,
            "seconds_test": 0.0,
        },
        provenance={"host": "elsewhere", "attempts": 2},
    )
    commit_record(sweep, record)
    before = sweep.record(record.key).read_bytes()

    outcome = commit_record(sweep, second)

    assert outcome.verdict == "same"
    assert sweep.record(record.key).read_bytes() == before
    assert not sweep.conflicts.exists()


def test_a_second_finisher_that_contradicts_is_kept_aside(sweep):
    """Same key, other accuracy: a defect or a bad machine, and the evidence must not be lost."""
    record = make_record(1)
    commit_record(sweep, record)
    before = sweep.record(record.key).read_bytes()

    outcome = commit_record(
        sweep, dataclasses.replace(record, metrics={**record.metrics, "test_accuracy": 0.125})
    )

    assert outcome.verdict == "differs"
    assert outcome.differences == ("metric test_accuracy",)
    assert sweep.record(record.key).read_bytes() == before
    assert outcome.kept is not None and outcome.kept.parent == sweep.conflicts
    assert decode(outcome.kept).metrics["test_accuracy"] == 0.125


def test_a_damaged_first_record_is_not_overwritten(sweep):
    """Taking it out is the doctor's; the good attempt waits aside."""
    record = make_record(1)
    sweep.record(record.key).write_bytes(b"damaged")

    outcome = commit_record(sweep, record)

    assert outcome.verdict == "differs"
    assert "cannot be read" in outcome.differences[0]
    assert sweep.record(record.key).read_bytes() == b"damaged"
    assert outcome.kept is not None and decode(outcome.kept).key == record.key


def test_every_difference_is_named():
    """The message has the path for the investigation."""
    first = make_record(1, layers=2, epochs=3)
    curves, masks = first.curves.copy(), dict(first.masks)
    curves["val_loss"][1] = np.nan
    name = sorted(masks)[0]
    masks[name] = ~masks[name]
    second = dataclasses.replace(
        first,
        outcome="diverged",
        manifest={"other": 1},
        curves=curves,
        masks=masks,
        metrics={**first.metrics, "threshold": 0.5, "level": 2},
    )

    assert differences(first, first) == ()
    assert differences(first, second) == (
        "outcome",
        "manifest",
        "metric level",
        "metric threshold",
        "curves: val_loss",
        f"mask {name}",
    )
    assert differences(first, dataclasses.replace(first, curves=curves[:2], masks={})) == (
        "curves: 3 rows and 2",
        *(f"mask {name}" for name in sorted(first.masks)),
    )
