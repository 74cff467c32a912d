"""Files of the user in one folder per class: which belong to training, which to the test, and the number of each class.

Three layouts are understood: `train/CLASS/*` with `test/CLASS/*`, the same with `val` (or `valid`, `validation`)
instead of `test`, and plain `CLASS/*`, or only `train/CLASS/*`, from which one file in five becomes the test set. A
single folder around all of them is skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lthsweep.data.decoded import Decoded, SampleArray
from lthsweep.data.file_tree import FileTree
from lthsweep.data.source import digest_of_samples
from lthsweep.data.split import split_indices
from lthsweep.errors import DataError

__all__ = [
    "TEST",
    "TEST_SHARE",
    "TRAIN",
    "Part",
    "decode_classes",
    "decoded_parts",
    "digest_of_parts",
    "files_of_classes",
    "numbered_parts",
]

TRAIN = ("train", "training")
"""Names of the training part."""

TEST = ("test", "testing", "val", "valid", "validation")
"""Names of the test part, in the order of preference."""

TEST_SHARE = 5
"""One sample in so many becomes the test set, if the files have no test part."""

Labeled = Sequence[tuple[str, str]]
"""(class, name of the file, or the text itself)."""


@dataclass(frozen=True, eq=False)
class Part:
    """The training or the test samples: names of files or texts, and the number of each class."""

    values: Sequence[str]
    labels: NDArray[np.int64]

    def at(self, rows: NDArray[np.int64]) -> Part:
        """The samples of some rows."""
        return Part([self.values[row] for row in rows], self.labels[rows])


def decode_classes(
    tree: FileTree,
    suffixes: tuple[str, ...],
    samples: str,
    decode: Callable[[Sequence[str]], SampleArray],
    *,
    reader: str,
    all_tested: bool = False,
) -> Decoded:
    """Return the images of a tree of class folders.

    Args:
        tree: the files.
        suffixes: as for `files_of_classes`.
        samples: as for `files_of_classes`.
        decode: returns the images of the files of these names.
        reader: name and version of the reader, see `digest_of_samples`.
        all_tested: as for `numbered_parts`.

    Returns:
        Classes in sorted order of the training folders' names, samples in sorted order of (class, name).

    Raises:
        DataError: if the layout is not understood, or `decode` fails.
    """
    where = str(tree.path)
    files = files_of_classes(tree.names, where, suffixes, samples)
    classes, train, test = numbered_parts(*files, where, samples, all_tested=all_tested)
    return decoded_parts(tree, reader, classes, train, test, decode)


def decoded_parts(
    tree: FileTree,
    reader: str,
    classes: tuple[str, ...],
    train: Part,
    test: Part,
    decode: Callable[[Sequence[str]], SampleArray],
) -> Decoded:
    """Return the images of the files of two parts, and the identity of their source."""
    train_images, test_images = decode(train.values), decode(test.values)
    hashes = [[tree.hashes[name] for name in part.values] for part in (train, test)]
    digest = digest_of_parts(reader, classes, (train, test), hashes)
    return Decoded(train_images, train.labels, test_images, test.labels, classes, source=tree.source(digest))


def digest_of_parts(
    reader: str, classes: Sequence[str], parts: tuple[Part, Part], hashes: Sequence[Sequence[str]]
) -> str:
    """Return the digest of a source: as `digest_of_samples`, with the hashes of the training and the test samples."""
    train, test = (
        zip(part.labels.tolist(), known, strict=True) for part, known in zip(parts, hashes, strict=True)
    )
    return digest_of_samples(reader, classes, {"train": train, "test": test})


def files_of_classes(
    names: Sequence[str], where: str, suffixes: tuple[str, ...], samples: str
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return (class, full name) of the training and the test files, sorted; no test files if there is no test part.

    Args:
        names: all files of the tree.
        where: the tree, for messages.
        suffixes: lower-case endings of the files to read; other files are ignored.
        samples: what a file contains, in the plural, for messages.

    Raises:
        DataError: if the layout is not understood.
    """
    files = [(name.split("/"), name) for name in names if name.lower().endswith(suffixes)]
    if not files:
        raise DataError(
            f"{where} holds no {samples} ({', '.join(suffixes)}); give the path of a folder of class folders"
        )
    while (  # a folder around everything, as archives often have
        len({parts[0] for parts, _ in files}) == 1
        and files[0][0][0].lower() not in TRAIN
        and all(len(parts) > 2 for parts, _ in files)
    ):
        files = [(parts[1:], name) for parts, name in files]
    tops = {parts[0].lower() for parts, _ in files}
    train_top = next((top for top in TRAIN if top in tops), None)
    if train_top is None and tops <= set(TEST):
        raise DataError(f"{where} has {' and '.join(sorted(tops))} but no train folder; add one")
    if train_top is None:
        return _by_class(files, 0, where), []
    test_top = next((top for top in TEST if top in tops), None)
    train = [(parts, name) for parts, name in files if parts[0].lower() == train_top]
    test = [(parts, name) for parts, name in files if parts[0].lower() == test_top]
    return _by_class(train, 1, where), _by_class(test, 1, where)


def numbered_parts(
    train: Labeled, test: Labeled, where: str, samples: str, *, all_tested: bool = False
) -> tuple[tuple[str, ...], Part, Part]:
    """Return the sorted class names, and the training and test samples with the numbers of their classes.

    Without test samples one training sample in five becomes one, always the same ones.

    Args:
        train: (class, anything) per sample.
        test: the same; can be empty.
        where: the files, for messages.
        samples: what a sample is, in the plural, for messages.
        all_tested: True if every class needs test samples, if there are any.

    Raises:
        DataError: if a class has test samples but no training samples, or the reverse.
    """
    classes = tuple(sorted({label for label, _ in train}))
    tested = {label for label, _ in test}
    unknown = sorted(tested - set(classes))
    if unknown:
        raise DataError(
            f"{where}: class {unknown[0]!r} has test {samples} but no training {samples}; add some, or remove the class"
        )
    untested = sorted(set(classes) - tested)
    if all_tested and test and untested:
        raise DataError(
            f"{where}: class {untested[0]!r} has training {samples} but no test {samples}; add some, or remove the "
            f"test part: then one in five of the training {samples} becomes the test set"
        )
    number = {label: index for index, label in enumerate(classes)}
    given, given_test = (
        Part([value for _, value in part], np.array([number[label] for label, _ in part], np.int64))
        for part in (train, test)
    )
    if test:
        return classes, given, given_test
    kept, held_out = split_indices(given.labels, max(1, len(train) // TEST_SHARE), purpose="test")
    return classes, given.at(kept), given.at(held_out)


def _by_class(files: Sequence[tuple[list[str], str]], level: int, where: str) -> list[tuple[str, str]]:
    for parts, name in files:
        if len(parts) < level + 2:
            raise DataError(f"{where}: {name} lies in no class folder; put it in CLASS/ or remove it")
    return sorted((parts[level], name) for parts, name in files)
