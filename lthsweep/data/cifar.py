"""CIFAR-10 and CIFAR-100 from their binary versions; the pickled Python versions are not read.

Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lthsweep.data.archives import read_file, read_tar_gz
from lthsweep.data.decoded import Decoded, Stamp
from lthsweep.data.locate import find, missing
from lthsweep.data.registry import dataset
from lthsweep.errors import DataError

__all__ = ["load_cifar10", "load_cifar100"]

_LIMIT = 512 << 20  # bytes unpacked; the real archives hold 184 MB
_PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class _Layout:
    """How one of the two is laid out on disk."""

    name: str
    archive: str
    folder: str
    train: tuple[str, ...]
    test: str
    names: str
    label_bytes: int  # CIFAR-100: coarse, then fine; the last one counts
    classes: int
    pickled: tuple[str, ...]


_CIFAR10 = _Layout(
    name="cifar10",
    archive="cifar-10-binary.tar.gz",
    folder="cifar-10-batches-bin",
    train=tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    test="test_batch.bin",
    names="batches.meta.txt",
    label_bytes=1,
    classes=10,
    pickled=("cifar-10-python.tar.gz", "cifar-10-batches-py"),
)
_CIFAR100 = _Layout(
    name="cifar100",
    archive="cifar-100-binary.tar.gz",
    folder="cifar-100-binary",
    train=("train.bin",),
    test="test.bin",
    names="fine_label_names.txt",
    label_bytes=2,
    classes=100,
    pickled=("cifar-100-python.tar.gz", "cifar-100-python"),
)


def load_cifar10(options: Mapping[str, Any], root: Path) -> Decoded:
    """Read CIFAR-10 from `cifar-10-binary.tar.gz` or the unpacked `cifar-10-batches-bin` below `root`.

    Args:
        options: none matters.
        root: the data root.

    Raises:
        MissingDataError: if neither is there.
        DataError: if a file is damaged.
    """
    return _load(_CIFAR10, root)


def load_cifar100(options: Mapping[str, Any], root: Path) -> Decoded:
    """Read CIFAR-100, fine labels, from `cifar-100-binary.tar.gz` or the folder `cifar-100-binary`.

    Args:
        options: none matters.
        root: the data root.

    Raises:
        MissingDataError: if neither is there.
        DataError: if a file is damaged.
    """
    return _load(_CIFAR100, root)


def _load(layout: _Layout, root: Path) -> Decoded:
    files, source, size = _read_files(layout, root)
    batches = [_records(layout, files, name, source) for name in layout.train]
    test_images, test_labels = _records(layout, files, layout.test, source)
    text = files[layout.names].decode("utf-8", errors="replace")
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    if len(names) != layout.classes:
        raise DataError(
            f"{source}: {layout.names} names {len(names)} classes, not {layout.classes}; get it again"
        )
    return Decoded(
        train_images=np.concatenate([images for images, _ in batches]),
        train_labels=np.concatenate([labels for _, labels in batches]),
        test_images=test_images,
        test_labels=test_labels,
        class_names=names,
        stamps=(Stamp(str(source), len(files), size),),
    )


def _read_files(layout: _Layout, root: Path) -> tuple[dict[str, bytes], Path, int]:
    entry = dataset(layout.name)
    wanted = (*layout.train, layout.test, layout.names)
    folder = find(entry, (layout.folder,), root)
    if folder is not None and all((folder / name).is_file() for name in wanted):
        files = {name: read_file(folder / name, limit=_LIMIT) for name in wanted}
        return files, folder, sum(map(len, files.values()))
    archive = find(entry, (layout.archive,), root)
    if archive is None:
        pickled = find(entry, layout.pickled, root)
        hint = f"{pickled} is the pickled version, which can run code and is not read; " if pickled else ""
        raise missing(entry, (layout.archive, layout.folder), root, hint)
    members = read_tar_gz(archive, {f"{layout.folder}/{name}" for name in wanted}, limit=_LIMIT)
    absent = [name for name in wanted if f"{layout.folder}/{name}" not in members]
    if absent:
        raise DataError(
            f"{archive} lacks {', '.join(absent)} in {layout.folder}/; remove it and get it again"
        )
    files = {name: members[f"{layout.folder}/{name}"] for name in wanted}
    return files, archive, archive.stat().st_size


def _records(
    layout: _Layout, files: Mapping[str, bytes], name: str, source: Path
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    length = layout.label_bytes + _PIXELS
    content = files[name]
    if len(content) == 0 or len(content) % length:
        raise DataError(
            f"{source}: {name} has {len(content):,} bytes, which is no whole number of records of {length}; "
            "it is cut short: remove it and get it again"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, length)
    planes = records[:, layout.label_bytes :].reshape(-1, 3, 32, 32)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), records[:, layout.label_bytes - 1].astype(
        np.int64
    )
