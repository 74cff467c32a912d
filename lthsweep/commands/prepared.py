"""The output of `data prepare`: the classes of a data set, and files that were found and not used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import numpy as np

from lthsweep.data.packed import Packed
from lthsweep.data.source import Notice, Report

__all__ = ["notice_line", "prepared_json", "prepared_lines"]

_ALL_CLASSES = 20
"""Up to so many classes are all shown."""

_FIRST_CLASSES = 8
"""Of more classes, the first ones, and those with the fewest and the most samples."""


def prepared_lines(packed: Packed, report: Report) -> Iterator[str]:
    """Yield the lines of the layout, the classes with their counts, unused files, and remarks."""
    if report.layout:
        yield f"layout: {report.layout}"
    yield from _class_lines(packed)
    for notice in report.unused:
        yield f"not used: {notice_line(notice)}"
    for notice in report.remarks:
        yield f"note: {notice_line(notice)}"


def prepared_json(packed: Packed, report: Report) -> dict[str, object]:
    """Return the same for programs, with every class."""
    return {
        "name": packed.name,
        "shape": packed.shape,
        "source": packed.source,
        "fingerprint": packed.fingerprint,
        "pack": str(packed.folder),
        "classes": [
            {"name": name, "train": train, "test": test}
            for name, (train, test) in zip(packed.class_names, _counts(packed), strict=True)
        ],
        **asdict(report),
    }


def notice_line(notice: Notice) -> str:
    """Return reason, count and examples of a notice."""
    more = ", …" if notice.count > len(notice.examples) else ""
    examples = f" ({', '.join(notice.examples)}{more})" if notice.examples else ""
    return f"{notice.reason}: {notice.count:,}{examples}"


def _class_lines(packed: Packed) -> Iterator[str]:
    counts = _counts(packed)
    everything = len(counts) <= _ALL_CLASSES
    shown = range(len(counts) if everything else _FIRST_CLASSES)
    width = max(len(_printable(packed.class_names[row])) for row in shown)
    for row in shown:
        train, test = counts[row]
        yield f"  {_printable(packed.class_names[row]):{width}}  {train:7,} training  {test:7,} test"
    if not everything:
        totals = [sum(pair) for pair in counts]
        few, many = int(np.argmin(totals)), int(np.argmax(totals))
        yield (
            f"  … {len(counts) - _FIRST_CLASSES:,} more; fewest: {packed.class_names[few]!r} ({totals[few]:,}), most: "
            f"{packed.class_names[many]!r} ({totals[many]:,}); --json lists all"
        )


def _printable(name: str) -> str:
    return name if name.isprintable() else repr(name)


def _counts(packed: Packed) -> list[tuple[int, int]]:
    """(training, test) samples of each class."""
    train, test = (
        np.bincount(labels, minlength=packed.classes).tolist()
        for labels in (packed.train_labels, packed.test_labels)
    )
    return list(zip(train, test, strict=True))
