"""MNIST and data sets in its format: four IDX files, gzipped or not.

Source: LeCun, Bottou, Bengio & Haffner, "Gradient-based learning applied to document recognition", Proc. IEEE 1998.
"""

from __future__ import annotations

import math
import struct
import time

import numpy as np
from numpy.typing import NDArray

from lthsweep.data.archives import read_file
from lthsweep.data.decoded import Decoded
from lthsweep.data.files import Files
from lthsweep.data.source import Source, digest_of_files, stat_file
from lthsweep.errors import DataError

__all__ = ["parse_idx", "read"]

_DIMENSIONS = (
    3,
    1,
    3,
    1,
)  # of training images and labels, test images and labels: the order of the entry's files
_LIMIT = 256 << 20  # bytes unpacked; the largest real file has 47 MB
_UNSIGNED_BYTE = 0x08


def read(files: Files) -> Decoded:
    """Return the one-channel images of the four IDX files.

    Raises:
        MissingDataError: if a file is not on this machine.
        DataError: if a file is damaged or not IDX.
    """
    listed = time.time_ns()
    arrays, contents, found = [], [], []
    for published, dimensions in zip(files.dataset.files, _DIMENSIONS, strict=True):
        path = files.require(*published.names)
        found.append(stat_file(path))
        contents.append(read_file(path, limit=_LIMIT))
        arrays.append(parse_idx(contents[-1], dimensions, str(path)))
    train_images, train_labels, test_images, test_labels = arrays
    return Decoded(
        train_images=train_images[..., None],
        train_labels=train_labels.astype(np.int64),
        test_images=test_images[..., None],
        test_labels=test_labels.astype(np.int64),
        class_names=files.dataset.class_names,
        source=Source(digest_of_files(contents), tuple(found), listed=listed),
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
