"""MNIST from its IDX files, gzipped or not.

Source: LeCun, Bottou, Bengio & Haffner, "Gradient-based learning applied to document recognition", Proc. IEEE
1998.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lthsweep.data.archives import read_file, read_gzip
from lthsweep.data.decoded import Decoded, Stamp
from lthsweep.data.locate import find, missing
from lthsweep.data.registry import dataset
from lthsweep.errors import DataError

__all__ = ["FILE_NAMES", "load", "parse_idx"]

FILE_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_LIMIT = 256 << 20  # bytes unpacked; the largest real file has 47 MB
_UNSIGNED_BYTE = 0x08


def load(options: Mapping[str, Any], root: Path) -> Decoded:
    """Read the four IDX files found below `root`, `root`/mnist or where torchvision puts them (MNIST/raw).

    Args:
        options: none matters.
        root: the data root.

    Returns:
        One-channel images of 28x28.

    Raises:
        MissingDataError: if a file is not there.
        DataError: if a file is damaged or not IDX.
    """
    paths = [_locate(stem, root) for stem in FILE_NAMES]
    train_images, train_labels, test_images, test_labels = (
        parse_idx(_read(path), dimensions, str(path))
        for path, dimensions in zip(paths, (3, 1, 3, 1), strict=True)
    )
    return Decoded(
        train_images=train_images[..., None],
        train_labels=train_labels.astype(np.int64),
        test_images=test_images[..., None],
        test_labels=test_labels.astype(np.int64),
        class_names=tuple(str(digit) for digit in range(10)),
        stamps=tuple(Stamp(str(path), 1, path.stat().st_size) for path in paths),
    )


def parse_idx(content: bytes, dimensions: int, where: str) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, checking every field of its header.

    Args:
        content: the unpacked file.
        dimensions: how many the array must have.
        where: the file, as an error should name it.

    Returns:
        uint8 array of the shape the header declares; read-only, over `content`.

    Raises:
        DataError: if magic number, type, dimensions or length are not as they must be.
    """
    header = 4 + 4 * dimensions
    if len(content) < header:
        raise DataError(f"{where} has {len(content)} bytes, too few for an IDX header; get it again")
    zeros, kind, declared = struct.unpack(">HBB", content[:4])
    if zeros != 0 or kind != _UNSIGNED_BYTE or declared != dimensions:
        raise DataError(
            f"{where} begins with {content[:4].hex()}, not with "
            f"{bytes((0, 0, _UNSIGNED_BYTE, dimensions)).hex()}"
            f" as an IDX file of unsigned bytes in {dimensions} dimension(s) does; get it again"
        )
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    expected = 1
    for length in shape:  # not np.prod, which would wrap around on a hostile header
        expected *= length
    if len(content) - header != expected:
        raise DataError(
            f"{where} declares shape {list(shape)}, {expected:,} bytes, but holds {len(content) - header:,}; "
            "it is cut short or damaged: get it again"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _locate(stem: str, root: Path) -> Path:
    entry = dataset("mnist")
    dotted = stem.replace("-idx", ".idx")  # as some mirrors unpack them
    path = find(entry, (f"{stem}.gz", stem, dotted, f"{dotted}.gz"), root)
    if path is None:
        raise missing(entry, (f"{stem}.gz", stem), root)
    return path


def _read(path: Path) -> bytes:
    return read_gzip(path, limit=_LIMIT) if path.suffix == ".gz" else read_file(path, limit=_LIMIT)
