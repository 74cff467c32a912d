"""CIFAR-10 and CIFAR-100 from their binary versions. The Python versions are pickles, which can run code.

Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lthsweep.data.archives import read_file, read_tar_gz
from lthsweep.data.decoded import Decoded
from lthsweep.data.files import Files
from lthsweep.data.source import Source, SourceFile, digest_of_files, stat_file
from lthsweep.errors import DataError

__all__ = ["read_cifar10", "read_cifar100"]

_LIMIT = 512 << 20  # bytes unpacked; the real archives hold 184 MB
_PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class _Layout:
    """The files of one version.

    Attributes:
        archive, folder: names of the archive and of the folder in it.
        train, test, names: members with training records, test records and class names.
        label_bytes: bytes before the pixels of a record; the last one is the label (CIFAR-100: coarse, then fine).
        pickled: names of the Python version.
    """

    archive: str
    folder: str
    train: tuple[str, ...]
    test: str
    names: str
    label_bytes: int
    pickled: tuple[str, ...]


_CIFAR10 = _Layout(
    archive="cifar-10-binary.tar.gz",
    folder="cifar-10-batches-bin",
    train=tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    test="test_batch.bin",
    names="batches.meta.txt",
    label_bytes=1,
    pickled=("cifar-10-python.tar.gz", "cifar-10-batches-py"),
)
_CIFAR100 = _Layout(
    archive="cifar-100-binary.tar.gz",
    folder="cifar-100-binary",
    train=("train.bin",),
    test="test.bin",
    names="fine_label_names.txt",
    label_bytes=2,
    pickled=("cifar-100-python.tar.gz", "cifar-100-python"),
)


def read_cifar10(files: Files) -> Decoded:
    """Return CIFAR-10 from `cifar-10-binary.tar.gz` or the folder `cifar-10-batches-bin`.

    Raises:
        MissingDataError: if neither is on this machine.
        DataError: if a file is damaged.
    """
    return _read(_CIFAR10, files)


def read_cifar100(files: Files) -> Decoded:
    """Return CIFAR-100, fine labels, from `cifar-100-binary.tar.gz` or the folder `cifar-100-binary`.

    Raises:
        MissingDataError: if neither is on this machine.
        DataError: if a file is damaged.
    """
    return _read(_CIFAR100, files)


def _read(layout: _Layout, files: Files) -> Decoded:
    listed = time.time_ns()
    members, source, found = _members(layout, files)
    batches = [_records(layout, members, name, source) for name in layout.train]
    test_images, test_labels = _records(layout, members, layout.test, source)
    text = members[layout.names].decode("utf-8", errors="replace")
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    if len(names) != files.dataset.classes:
        raise DataError(
            f"{source}: {layout.names} lists {len(names)} classes, not {files.dataset.classes}; get it again"
        )
    train_labels = np.concatenate([labels for _, labels in batches])
    if (len(train_labels), len(test_labels)) != (files.dataset.n_train, files.dataset.n_test):
        raise DataError(
            f"{source} holds {len(train_labels):,} training and {len(test_labels):,} test images, not "
            f"{files.dataset.n_train:,} and {files.dataset.n_test:,}; it is cut short: remove it and get it again"
        )
    return Decoded(
        train_images=np.concatenate([images for images, _ in batches]),
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        class_names=names,
        source=Source(digest_of_files(members.values()), found, listed=listed),
    )


def _members(layout: _Layout, files: Files) -> tuple[dict[str, bytes], Path, tuple[SourceFile, ...]]:
    """Name → content of the files that are needed, their folder or archive, and the files on disk."""
    wanted = (*layout.train, layout.test, layout.names)
    folder, archive = files.find(layout.folder), files.find(layout.archive)
    if archive is None and folder is not None and all((folder / name).is_file() for name in wanted):
        found = tuple(stat_file(folder / name) for name in wanted)
        return {name: read_file(folder / name, limit=_LIMIT) for name in wanted}, folder, found
    if archive is None:
        pickled = files.find(*layout.pickled)
        hint = f"{pickled} is the pickled version, which can run code and is not read; " if pickled else ""
        raise files.missing(layout.archive, layout.folder, hint=hint)
    found = (stat_file(archive),)
    packed = read_tar_gz(archive, {f"{layout.folder}/{name}" for name in wanted}, limit=_LIMIT)
    absent = [name for name in wanted if f"{layout.folder}/{name}" not in packed]
    if absent:
        raise DataError(
            f"{archive} lacks {', '.join(absent)} in {layout.folder}/; remove it and get it again"
        )
    return {name: packed[f"{layout.folder}/{name}"] for name in wanted}, archive, found


def _records(
    layout: _Layout, members: Mapping[str, bytes], name: str, source: Path
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    length = layout.label_bytes + _PIXELS
    content = members[name]
    if len(content) == 0 or len(content) % length:
        raise DataError(
            f"{source}: {name} has {len(content):,} bytes, which is not a whole number of records of {length}; "
            "it is cut short: remove it and get it again"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, length)
    planes = records[:, layout.label_bytes :].reshape(-1, 3, 32, 32)
    labels = records[:, layout.label_bytes - 1].astype(np.int64)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels
