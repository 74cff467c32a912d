"""Files of the user's own that lie in one folder per class: where they are, and which are for training or the test.

Three layouts are understood: `train/CLASS/*` with `test/CLASS/*`, the same with `val` (or `valid`, `validation`) in
place of `test`, and plain `CLASS/*`, or a lone `train/CLASS/*`, from which one file in five becomes the test set. A
single folder around all of that is looked through.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lthsweep.data.decoded import Stamp
from lthsweep.data.split import split_indices
from lthsweep.data.trees import open_tree
from lthsweep.errors import DataError, MissingDataError

__all__ = [
    "TEST",
    "TRAIN",
    "class_numbers",
    "files_of_classes",
    "hold_out_test",
    "own_path",
    "resolve_path",
    "stamp_of",
]

TRAIN = ("train", "training")
"""What the training part is called."""

TEST = ("test", "testing", "val", "valid", "validation")
"""What the test part is called, in the order of preference."""

_TEST_SHARE = 5  # one in five, where the files make no split of their own

Labelled = Sequence[tuple[str, str]]
"""(class, name of the file, or the text itself)."""


def resolve_path(path: str, root: Path) -> Path:
    """The absolute path of the folder or zip: as written or, where nothing is there, below the data root."""
    written = Path(path).expanduser()
    if not written.is_absolute() and not written.exists() and (root / written).exists():
        written = root / written
    return written.resolve()


def own_path(options: Mapping[str, Any], root: Path, wanted: str) -> Path:
    """The path that the option `path` names.

    Args:
        options: the data table.
        root: where a relative path is looked for when it is not found below the working directory.
        wanted: what should be there, for the message.

    Raises:
        MissingDataError: if there is nothing.
    """
    path = resolve_path(str(options["path"]), root)
    if not path.exists():
        raise MissingDataError(
            f"data.path = {str(options['path'])!r}: {_nowhere(path, root / str(options['path']))}; "
            f"give the path of {wanted}, or of a zip of it"
        )
    return path


def _nowhere(path: Path, other: Path) -> str:
    return f"{path} does not exist" if path == other else f"neither {path} nor {other} exists"


def stamp_of(options: Mapping[str, Any], root: Path) -> Stamp | None:
    """How many files and bytes the folder or file holds now, or None if it is not there."""
    path = resolve_path(str(options["path"]), root)
    if not path.exists():
        return None
    with open_tree(path, limit=path.stat().st_size if path.is_file() else None) as tree:
        return tree.stamp()


def files_of_classes(
    names: Sequence[str], where: str, suffixes: tuple[str, ...], what: str
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """(class, full name) of the training and the test files, sorted; no test files if there is no split.

    Args:
        names: all files of the tree.
        where: the tree, as an error should name it.
        suffixes: endings of the files that count, in small letters; others are passed over.
        what: the plural of what a file holds, for messages.

    Raises:
        DataError: if the layout is none of those understood.
    """
    files = [(name.split("/"), name) for name in names if name.lower().endswith(suffixes)]
    if not files:
        raise DataError(f"{where} holds no {what} ({', '.join(suffixes)}); give a folder of class folders")
    while (  # a folder around everything, as archives often have
        len({parts[0] for parts, _ in files}) == 1
        and files[0][0][0].lower() not in TRAIN
        and all(len(parts) > 2 for parts, _ in files)
    ):
        files = [(parts[1:], name) for parts, name in files]
    tops = {parts[0].lower() for parts, _ in files}
    train_top = next((top for top in TRAIN if top in tops), None)
    if train_top is None and tops <= set(TEST):
        raise DataError(f"{where} has {' and '.join(sorted(tops))} but no train folder; put one beside it")
    if train_top is None:
        return _classed(files, 0, where), []
    test_top = next((top for top in TEST if top in tops), None)
    train = [(parts, name) for parts, name in files if parts[0].lower() == train_top]
    test = [(parts, name) for parts, name in files if parts[0].lower() == test_top]
    return _classed(train, 1, where), _classed(test, 1, where)


def class_numbers(
    train: Labelled, test: Labelled, where: str, what: str, *, all_tested: bool = False
) -> tuple[tuple[str, ...], NDArray[np.int64], NDArray[np.int64]]:
    """The classes in sorted order of their names, and the number of each training and test sample's class.

    Args:
        train: (class, anything) per sample.
        test: the same; may be empty.
        where: the files, as an error should name them.
        what: the plural of what a sample is, for messages.
        all_tested: whether every class must have test samples, if there are any.

    Raises:
        DataError: if a class of the test samples has no training samples, or the other way round.
    """
    classes = tuple(sorted({label for label, _ in train}))
    tested = {label for label, _ in test}
    strange = sorted(tested - set(classes))
    if strange:
        raise DataError(f"{where}: class {strange[0]!r} has test {what} but no training {what}")
    lacking = sorted(set(classes) - tested)
    if all_tested and test and lacking:
        raise DataError(
            f"{where}: class {lacking[0]!r} has training {what} but no test {what}, so nothing would tell how well it "
            f"is learned; add some, or take the test part away: then one in five of the training {what} is the test set"
        )
    number = {label: index for index, label in enumerate(classes)}
    labels, test_labels = (np.array([number[label] for label, _ in part], np.int64) for part in (train, test))
    return classes, labels, test_labels


def hold_out_test(labels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of training and of test samples where the files make no split: one in five, the same ones always."""
    return split_indices(labels, max(1, len(labels) // _TEST_SHARE), purpose="test")


def _classed(files: Sequence[tuple[list[str], str]], level: int, where: str) -> list[tuple[str, str]]:
    for parts, name in files:
        if len(parts) < level + 2:
            raise DataError(f"{where}: {name} lies in no class folder; put it in CLASS/ or remove it")
    return sorted((parts[level], name) for parts, name in files)
