"""Images of a case: the first real ones if this machine has them, otherwise generated ones of the same shape.

They are packed under the data set's name into a separate folder, so that a sweep trains on them like on any
other pack and the user's packs stay unchanged.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lthsweep.data.cache import decode, open_packed
from lthsweep.data.datasets import dataset
from lthsweep.data.decoded import Decoded
from lthsweep.data.files import data_root
from lthsweep.data.lookup import pack_folder
from lthsweep.data.packed import write_pack
from lthsweep.data.source import Source
from lthsweep.errors import MissingDataError
from tests.benchmarks.cases import Case

__all__ = ["generated", "pack_images"]

JPEG_COPY = "cifar10-jpeg.zip"
"""CIFAR-10 as JPEG files, `train/CLASS/NNNN.jpg` and `test/CLASS/NNNN.jpg`, read where the original is absent."""

_CLASSES = 10


def pack_images(case: Case, cache: Path, root: Path | None = None) -> str:
    """Pack the images of a case and return their source: "mnist", "cifar10, JPEG copy", "generated, 28x28x1".

    Args:
        case: names the data set and the number of images.
        cache: folder of packs without a pack of this data set.
        root: data root; default $LTHSWEEP_DATA or ~/data.
    """
    options = dict(case.data)
    entry = dataset(options["name"])
    if case.images is None:
        open_packed(options, cache=cache)
        return entry.name
    decoded, source = _decoded(options, case.images, data_root(root))
    folder = pack_folder(options, entry.digest, cache=cache)
    folder.mkdir(parents=True)
    write_pack(folder, replace(decoded, source=Source(entry.digest)), name=entry.name, options={})
    return source


def _decoded(options: Mapping[str, Any], counts: tuple[int, int], root: Path) -> tuple[Decoded, str]:
    name = options["name"]
    try:
        return _first(decode(options, root), counts), name
    except MissingDataError:
        pass
    copy = root / JPEG_COPY
    if name == "cifar10" and copy.is_file():
        return _from_jpegs(copy, counts), f"{name}, JPEG copy"
    shape = dataset(name).shape
    assert shape is not None, f"{name} has images of any shape"
    channels, height, width = shape
    return generated(counts, (height, width, channels)), f"generated, {height}x{width}x{channels}"


def _first(decoded: Decoded, counts: tuple[int, int]) -> Decoded:
    train, test = counts
    return replace(
        decoded,
        train_images=decoded.train_images[:train],
        train_labels=decoded.train_labels[:train],
        test_images=decoded.test_images[:test],
        test_labels=decoded.test_labels[:test],
    )


def _from_jpegs(path: Path, counts: tuple[int, int]) -> Decoded:
    """Images of the classes in turn, each class in the order of its file names."""
    from PIL import Image

    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        classes = tuple(sorted({name.split("/")[1] for name in names}))

        def some(split: str, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
            each = [[name for name in names if name.startswith(f"{split}/{one}/")] for one in classes]
            chosen = [each[number % len(classes)][number // len(classes)] for number in range(count)]
            pictures = [Image.open(io.BytesIO(archive.read(name))).convert("RGB") for name in chosen]
            labels = np.arange(count, dtype=np.int64) % len(classes)
            return np.stack([np.asarray(picture) for picture in pictures]), labels

        return Decoded(*some("train", counts[0]), *some("test", counts[1]), classes)


def generated(counts: tuple[int, int], shape: tuple[int, int, int]) -> Decoded:
    """Images that can be learned: one coarse pattern per class, with noise; the same bytes in every process.

    Args:
        counts: training and test images.
        shape: height, width, channels.
    """
    height, width, channels = shape
    draw = np.random.default_rng(0)
    coarse = draw.integers(0, 256, (_CLASSES, 4, 4, channels))
    rows, columns = np.arange(height) * 4 // height, np.arange(width) * 4 // width
    patterns = coarse[:, rows][:, :, columns].astype(np.int16)

    def some(count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        labels = np.arange(count, dtype=np.int64) % _CLASSES
        noise = draw.integers(-160, 161, (count, *shape), dtype=np.int16)
        return np.clip(patterns[labels] + noise, 0, 255).astype(np.uint8), labels

    train_images, train_labels = some(counts[0])
    test_images, test_labels = some(counts[1])
    names = tuple(str(number) for number in range(_CLASSES))
    return Decoded(train_images, train_labels, test_images, test_labels, names)
