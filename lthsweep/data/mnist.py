"""MNIST and data sets in its format: four IDX files, gzipped or not.

Source: LeCun, Bottou, Bengio & Haffner, "Gradient-based learning applied to document recognition", Proc. IEEE 1998.
"""

from __future__ import annotations

import math
import struct

import numpy as np
from numpy.typing import NDArray

from lthsweep.data.archives import read_file
from lthsweep.data.decoded import Decoded, Stamp
from lthsweep.data.files import Files
from lthsweep.errors import DataError

__all__ = ["parse_idx", "read"]

_FILES = (  # name and dimensions
    ("train-images-idx3-ubyte", 3),
    ("train-labels-idx1-ubyte", 1),
    ("t10k-images-idx3-ubyte", 3),
    ("t10k-labels-idx1-ubyte", 1),
)
_LIMIT = 256 << 20  # bytes unpacked; the largest real file has 47 MB
_UNSIGNED_BYTE = 0x08


def read(files: Files) -> Decoded:
    """Return the one-channel images of the four IDX files.

    Raises:
        MissingDataError: if a file is not on this machine.
        DataError: if a file is damaged or not IDX.
    """
    arrays, stamps = [], []
    for name, dimensions in _FILES:
        dotted = name.replace("-idx", ".idx")  # as some mirrors unpack them
        path = files.require(f"{name}.gz", name, dotted, f"{dotted}.gz")
        arrays.append(parse_idx(read_file(path, limit=_LIMIT), dimensions, str(path)))
        stamps.append(Stamp(str(path), 1, path.stat().st_size))
    train_images, train_labels, test_images, test_labels = arrays
    return Decoded(
        train_images=train_images[..., None],
        train_labels=train_labels.astype(np.int64),
        test_images=test_images[..., None],
        test_labels=test_labels.astype(np.int64),
        class_names=files.dataset.class_names,
        stamps=tuple(stamps),
    )


def parse_idx(content: bytes, dimensions: int, where: str) -> NDArray[np.uint8]:
    """Return the array of an IDX file of unsigned bytes, after checking every field of its header.

    Args:
        content: the unpacked file.
        dimensions: required number of dimensions.
        where: the file, for messages.

    Returns:
        uint8 array of the shape that the header declares; read-only, over `content`.

    Raises:
        DataError: if magic number, type, dimensions or length are wrong.
    """
    header = 4 + 4 * dimensions
    if len(content) < header:
        raise DataError(f"{where} has {len(content)} bytes, too few for an IDX header; get it again")
    zeros, kind, declared = struct.unpack(">HBB", content[:4])
    if zeros != 0 or kind != _UNSIGNED_BYTE or declared != dimensions:
        expected = bytes((0, 0, _UNSIGNED_BYTE, dimensions)).hex()
        raise DataError(
            f"{where} begins with {content[:4].hex()} instead of {expected}, the start of an IDX file of unsigned "
            f"bytes in {dimensions} dimension(s); get it again"
        )
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    length = math.prod(shape)  # np.prod would wrap around on a hostile header
    if len(content) - header != length:
        raise DataError(
            f"{where} declares shape {list(shape)}, {length:,} bytes, but holds {len(content) - header:,}; "
            "it is cut short or damaged: get it again"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
