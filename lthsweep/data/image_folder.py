"""Any folder of class folders, or a zip of one.

Three layouts are understood: `train/CLASS/*` with `test/CLASS/*`, the same with `val` (or `valid`,
`validation`) in place of `test`, and plain `CLASS/*`, or a lone `train/CLASS/*`, from which one image in five
becomes the test set. A single folder around all of that is looked through.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lthsweep.data.decoded import Decoded, Stamp
from lthsweep.data.pictures import SUFFIXES, decode_all
from lthsweep.data.split import split_indices
from lthsweep.data.trees import open_tree
from lthsweep.errors import DataError, MissingDataError

__all__ = ["load", "resolve_path", "stamp_of"]

_TRAIN = ("train", "training")
_TEST = ("test", "testing", "val", "valid", "validation")  # in the order of preference
_TEST_SHARE = 5  # one in five, where the files make no split of their own
_SIZES = (8, 1024)


def resolve_path(path: str, root: Path) -> Path:
    """The absolute path of the folder or zip: as written or, where nothing is there, below the data root."""
    written = Path(path).expanduser()
    if not written.is_absolute() and not written.exists() and (root / written).exists():
        written = root / written
    return written.resolve()


def stamp_of(options: Mapping[str, Any], root: Path) -> Stamp | None:
    """How many files and bytes the folder or zip holds now, or None if it is not there."""
    path = resolve_path(str(options["path"]), root)
    if not path.exists():
        return None
    with open_tree(path) as tree:
        return tree.stamp()


def load(options: Mapping[str, Any], root: Path) -> Decoded:
    """Read, cut to a centred square and resize the images of a folder or zip.

    Args:
        options: `path`, a folder or zip; `size`, edge in pixels, 8..1024 (default 32).
        root: where a relative path is looked for when it is not found below the working directory.

    Returns:
        RGB images; classes in sorted order of the training folders' names, images in sorted order of (class,
        name).

    Raises:
        MissingDataError: if there is nothing at `path`.
        DataError: if the layout is none of those understood, or an image is unreadable.
    """
    size = int(options.get("size", 32))
    if not _SIZES[0] <= size <= _SIZES[1]:
        raise DataError(f"data.size = {size}; it must be within {_SIZES[0]}..{_SIZES[1]}")
    path = resolve_path(str(options["path"]), root)
    if not path.exists():
        raise MissingDataError(
            f"data.path = {str(options['path'])!r}: neither {path} nor {root / str(options['path'])} exists; "
            "give the path of a folder of class folders, or of a zip of it"
        )
    with open_tree(path) as tree:
        train, test = _splits(tree.names(), str(path))
        classes = tuple(sorted({label for label, _ in train}))
        strange = sorted({label for label, _ in test} - set(classes))
        if strange:
            raise DataError(f"{path}: class {strange[0]!r} has test images but no training images")
        images = decode_all(tree, [name for _, name in train], size, str(path))
        labels = _numbers(train, classes)
        if test:
            test_images = decode_all(tree, [name for _, name in test], size, str(path))
            test_labels = _numbers(test, classes)
        else:
            kept, held_out = split_indices(labels, max(1, len(labels) // _TEST_SHARE), purpose="test")
            test_images, test_labels = images[held_out], labels[held_out]
            images, labels = images[kept], labels[kept]
        return Decoded(images, labels, test_images, test_labels, classes, stamps=(tree.stamp(),))


def _splits(names: list[str], where: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """(class, full name) of the training and the test images, sorted; no test images if there is no split."""
    files = [(name.split("/"), name) for name in names if name.lower().endswith(SUFFIXES)]
    if not files:
        raise DataError(f"{where} holds no images ({', '.join(SUFFIXES)}); give a folder of class folders")
    while (  # a folder around everything, as archives often have
        len({parts[0] for parts, _ in files}) == 1
        and files[0][0][0].lower() not in _TRAIN
        and all(len(parts) > 2 for parts, _ in files)
    ):
        files = [(parts[1:], name) for parts, name in files]
    tops = {parts[0].lower() for parts, _ in files}
    train_top = next((top for top in _TRAIN if top in tops), None)
    if train_top is None and tops <= set(_TEST):
        raise DataError(f"{where} has {' and '.join(sorted(tops))} but no train folder; put one beside it")
    if train_top is None:
        return _classed(files, 0, where), []
    test_top = next((top for top in _TEST if top in tops), None)
    train = [(parts, name) for parts, name in files if parts[0].lower() == train_top]
    test = [(parts, name) for parts, name in files if parts[0].lower() == test_top]
    return _classed(train, 1, where), _classed(test, 1, where)


def _classed(files: Sequence[tuple[list[str], str]], level: int, where: str) -> list[tuple[str, str]]:
    for parts, name in files:
        if len(parts) < level + 2:
            raise DataError(f"{where}: {name} lies in no class folder; put it in CLASS/ or remove it")
    return sorted((parts[level], name) for parts, name in files)


def _numbers(files: Sequence[tuple[str, str]], classes: Sequence[str]) -> NDArray[np.int64]:
    number = {label: index for index, label in enumerate(classes)}
    return np.array([number[label] for label, _ in files], np.int64)
