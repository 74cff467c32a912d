"""Each input of the corpus is used fully, used with a line about the rest, or refused by name."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from lthsweep.data.cache import decode
from lthsweep.data.decoded import Decoded
from lthsweep.data.source import Notice
from lthsweep.errors import DataError
from tests.data.corpus.case import Case, Refused, write
from tests.data.corpus.image_archives import ARCHIVES
from tests.data.corpus.image_endings import DUPLICATES, ENDINGS
from tests.data.corpus.image_layouts import AMBIGUOUS, LAYOUTS
from tests.data.corpus.image_lists import LISTS
from tests.data.corpus.image_pixels import PIXELS
from tests.data.corpus.sounds import SOUND_OPTIONS, SOUNDS
from tests.data.corpus.texts import CSV_TEXTS, TEXT_FOLDERS

READERS = {
    "image_folder": ((*LAYOUTS, *AMBIGUOUS, *ARCHIVES, *LISTS, *ENDINGS, *DUPLICATES, *PIXELS), {"size": 8}),
    "text_csv": (CSV_TEXTS, {"length": 8}),
    "text_folder": (TEXT_FOLDERS, {"length": 8}),
    "audio_folder": (SOUNDS, SOUND_OPTIONS),
}
CASES = [(reader, case) for reader, (cases, _) in READERS.items() for case in cases]


@pytest.mark.parametrize(("reader", "case"), CASES, ids=[f"{reader}: {case.name}" for reader, case in CASES])
def test_input_has_the_expected_outcome(tmp_path, reader, case):
    """Values, counts of unused files, or file and remedy in the message; nothing is dropped in silence."""
    path = write(case, tmp_path)
    options = {"name": reader, "path": str(path), **READERS[reader][1], **case.options}

    if isinstance(case.outcome, Refused):
        with pytest.raises(DataError) as caught:
            decode(options, tmp_path)
        absent = [word for word in (case.target, *case.outcome.words) if word not in str(caught.value)]
        assert not absent, str(caught.value)
        return
    decoded = decode(options, tmp_path)
    _compare(decoded, case)


def test_corpus_covers_every_outcome():
    """At least sixty inputs, with many of each outcome."""
    refused = [case for _, case in CASES if isinstance(case.outcome, Refused)]
    counted = [
        case for _, case in CASES if case not in refused and (case.outcome.unused or case.outcome.remarks)
    ]

    assert len(CASES) >= 60
    assert min(len(refused), len(counted), len(CASES) - len(refused) - len(counted)) >= 15
    assert len({(reader, case.name) for reader, case in CASES}) == len(CASES)


def _compare(decoded: Decoded, case: Case) -> None:
    train, test = _values(decoded, "train"), _values(decoded, "test")
    if case.outcome.pool:
        assert train.keys() == test.keys() == case.outcome.pool.keys()
        both = {label: sorted(train[label] + test[label]) for label in train}
        assert both == {label: sorted(values) for label, values in case.outcome.pool.items()}
    else:
        assert train == case.outcome.train
        assert test == case.outcome.test
    assert decoded.source is not None
    report = decoded.source.report
    _match(report.unused, case.outcome.unused)
    _match(report.remarks, case.outcome.remarks)
    assert case.outcome.layout in report.layout


def _match(found: tuple[Notice, ...], expected: Mapping[str, int]) -> None:
    assert len(found) == len(expected), found
    for part, count in expected.items():
        assert [notice.count for notice in found if part in notice.reason] == [count], found
    assert all(0 < len(notice.examples) <= 3 or "tokens" in notice.reason for notice in found)


def _values(decoded: Decoded, part: str) -> dict[str, list[object]]:
    """Class → one value per sample: the first pixel, the band with most power, or the words of a text."""
    samples = getattr(decoded, f"{part}_images")
    labels = getattr(decoded, f"{part}_labels")
    values: dict[str, list[object]] = {name: [] for name in decoded.class_names}
    for sample, label in zip(samples, labels, strict=True):
        if decoded.vocabulary:
            value: object = " ".join(decoded.vocabulary[token] for token in sample if token)
        elif sample.shape[-1] == 1:
            value = int(np.argmax(sample.astype(int).sum(axis=(1, 2))))
        else:
            value = int(sample[0, 0, 0])
        values[decoded.class_names[label]].append(value)
    return values
