"""The training and the test samples of the user's files: their classes, numbers, split and identity.

One rule holds for images, texts and sounds: every class has at least one training sample and one test sample, or the
data is refused by name.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from lthsweep.data.decoded import Decoded, SampleArray
from lthsweep.data.file_tree import FileTree
from lthsweep.data.source import Notice, Report, digest_of_samples
from lthsweep.data.split import test_split
from lthsweep.errors import DataError

__all__ = [
    "PART_NAMES",
    "Labeled",
    "Layout",
    "Part",
    "decoded_parts",
    "digest_of_parts",
    "numbered_parts",
    "part_named",
    "repeated_samples",
]

PART_NAMES: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "test": ("test", "testing"),
    "val": ("val", "valid", "validation"),
}
"""Part → names of its folder, file, or value in a column; without a test part, val is the test part."""

Labeled = Sequence[tuple[str, str]]
"""(class, name of the file, or the text itself)."""


@dataclass(frozen=True)
class Layout:
    """Which files of a tree are training and test samples, and of which class.

    Attributes:
        text: where classes and parts were found, in words.
        train: (class, name of the file), sorted.
        test: the same; empty if part of the training samples becomes the test set.
        unused: reason → samples that are not used; files that are no samples are not listed.
        lists: files that the classes come from.
        by_folder: True if the classes are folders.
    """

    text: str
    train: Labeled
    test: Labeled
    unused: Mapping[str, Sequence[str]] = field(default_factory=dict)
    lists: tuple[str, ...] = ()
    by_folder: bool = True


_SHOWN = 4  # classes in a message


@dataclass(frozen=True, eq=False)
class Part:
    """The training or the test samples: names of files or texts, and the number of each class."""

    values: Sequence[str]
    labels: NDArray[np.int64]

    def at(self, rows: NDArray[np.int64]) -> Part:
        """The samples of some rows."""
        return Part([self.values[row] for row in rows], self.labels[rows])


def part_named(name: str) -> str | None:
    """Return "train", "test" or "val" for a name of that part in any case; None for other names."""
    return next((part for part, names in PART_NAMES.items() if name.strip().lower() in names), None)


def numbered_parts(
    train: Labeled, test: Labeled, where: str, samples: str
) -> tuple[tuple[str, ...], Part, Part]:
    """Return the sorted class names, and the training and test samples with the numbers of their classes.

    Without test samples one training sample in five becomes one, always the same ones, at least one of each class.

    Args:
        train: (class, anything) per sample.
        test: the same; can be empty.
        where: the files, for messages.
        samples: the kind of sample in the plural, for messages.

    Raises:
        DataError: if a class has test samples but no training samples, or the reverse; if without test samples a class
            has only one; if two classes have names that differ in case, blanks or Unicode form only; if there is one
            class.
    """
    classes = tuple(sorted({label for label, _ in train}))
    tested = {label for label, _ in test}
    unknown = sorted(tested - set(classes))
    if unknown:
        raise DataError(
            f"{where}: {_named(unknown)} test {samples} but no training {samples}; add some, or remove the class"
            f"{_near(unknown[0], classes)}"
        )
    untested = sorted(set(classes) - tested)
    if test and untested:
        raise DataError(
            f"{where}: {_named(untested)} training {samples} but no test {samples}; add some, or remove the "
            f"test part: then one in five of the training {samples} becomes the test set"
        )
    if len(classes) == 1:
        raise DataError(
            f"{where}: only one class, {classes[0]!r}, where a classifier needs two or more; give the path of the "
            "folder of the class folders"
        )
    _refuse_similar(classes, where)
    number = {label: index for index, label in enumerate(classes)}
    given, given_test = (
        Part([value for _, value in part], np.array([number[label] for label, _ in part], np.int64))
        for part in (train, test)
    )
    if test:
        return classes, given, given_test
    single = [label for label, count in zip(classes, np.bincount(given.labels), strict=True) if count == 1]
    if single:
        raise DataError(
            f"{where}: {_named(single)} only one of the {samples}, which cannot be both trained on and tested; add "
            "some, or remove the class"
        )
    kept, held_out = test_split(given.labels)
    return classes, given.at(kept), given.at(held_out)


def decoded_parts(
    tree: FileTree,
    reader: str,
    classes: tuple[str, ...],
    train: Part,
    test: Part,
    decode: Callable[[Sequence[str]], SampleArray],
    report: Callable[[], Report] = Report,
) -> Decoded:
    """Return the images of the files of two parts, and the identity of their source.

    Args:
        tree: the files.
        reader: name and version of the reader, see `digest_of_samples`.
        classes: names in the order of their numbers.
        train: names of files.
        test: the same.
        decode: returns the images of the files of these names.
        report: returns how the source was read; called after decoding.
    """
    train_images, test_images = decode(train.values), decode(test.values)
    hashes = [[tree.hashes[name] for name in part.values] for part in (train, test)]
    digest = digest_of_parts(reader, classes, (train, test), hashes)
    read = report()
    read = replace(read, remarks=read.remarks + repeated_samples((train, test), hashes))
    return Decoded(
        train_images, train.labels, test_images, test.labels, classes, source=tree.source(digest, read)
    )


def digest_of_parts(
    reader: str, classes: Sequence[str], parts: tuple[Part, Part], hashes: Sequence[Sequence[str]]
) -> str:
    """Return the digest of a source: as `digest_of_samples`, with the hashes of the training and the test samples."""
    train, test = (
        zip(part.labels.tolist(), known, strict=True) for part, known in zip(parts, hashes, strict=True)
    )
    return digest_of_samples(reader, classes, {"train": train, "test": test})


def repeated_samples(parts: tuple[Part, Part], hashes: Sequence[Sequence[str]]) -> tuple[Notice, ...]:
    """Return which test samples are training samples too, and which samples have more than one class."""
    training = set(hashes[0])
    classes: dict[str, set[int]] = defaultdict(set)
    for part, known in zip(parts, hashes, strict=True):
        for label, content in zip(part.labels.tolist(), known, strict=True):
            classes[content].add(label)
    leaked = [name for name, content in zip(parts[1].values, hashes[1], strict=True) if content in training]
    doubtful = [
        name
        for part, known in zip(parts, hashes, strict=True)
        for name, content in zip(part.values, known, strict=True)
        if len(classes[content]) > 1
    ]
    return (
        *Notice.of(
            "test samples with the same content as a training sample, which makes the test easier", leaked
        ),
        *Notice.of("samples with the same content as a sample of another class", doubtful),
    )


def _named(classes: Sequence[str]) -> str:
    if len(classes) == 1:
        return f"class {classes[0]!r} has"
    more = f" and {len(classes) - _SHOWN} more" if len(classes) > _SHOWN else ""
    return f"classes {', '.join(map(repr, classes[:_SHOWN]))}{more} have"


def _folded(name: str) -> str:
    return " ".join(unicodedata.normalize("NFC", name).casefold().split())


def _near(name: str, classes: Sequence[str]) -> str:
    near = next((known for known in classes if _folded(known) == _folded(name)), None)
    return f", or rename it if it is {near!r}" if near else ""


def _refuse_similar(classes: Sequence[str], where: str) -> None:
    """Refuse names that look alike; single characters are letters, of which a data set can have both cases."""
    seen: dict[str, str] = {}
    for name in classes:
        other = seen.setdefault(_folded(name), name)
        if other != name and len(name.strip()) > 1:
            raise DataError(
                f"{where}: the classes {other!r} and {name!r} differ only in case, blanks or Unicode form; give them "
                "one name if they are one class, or clearly different names"
            )
