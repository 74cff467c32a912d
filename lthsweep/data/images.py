"""Decoding image files to squares of RGB bytes."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lthsweep.data.file_tree import FileTree, decode_files
from lthsweep.errors import DataError

__all__ = ["SUFFIXES", "decode_all", "decode_image"]

_FORMATS = (
    "BMP",
    "JPEG",
    "PNG",
    "PPM",
    "WEBP",
)  # the plain ones: fewer decoders for a hostile file to attack
SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".webp")
_PIXEL_LIMIT = 64_000_000


def decode_image(content: bytes, size: int, where: str) -> NDArray[np.uint8]:
    """Decode to RGB, cut the largest centered square, and resize it, bilinear with antialiasing.

    An image of that size keeps its exact pixels.

    Args:
        content: the file's bytes.
        size: edge in pixels.
        where: the file, for messages.

    Returns:
        uint8 [size, size, 3].

    Raises:
        DataError: if it is not a readable image of a known format, or declares more than 64 million pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own limit only warns; the limit below refuses
            with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                width, height = image.size
                if width * height > _PIXEL_LIMIT:
                    raise DataError(f"{where} declares {width}x{height} pixels; make it smaller or remove it")
                rgb = image.convert("RGB")
    except DataError:
        raise
    except Exception as error:  # decoders raise any exception on a damaged file
        raise DataError(f"{where} is not a readable image ({error}); repair or remove it") from None
    if rgb.size != (size, size):
        edge = min(width, height)
        left, top = (width - edge) // 2, (height - edge) // 2
        # Cut first: `resize(box=…)` would mix pixels outside of the square into its edges.
        square = rgb.crop((left, top, left + edge, top + edge))
        rgb = square.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(rgb, dtype=np.uint8)


def decode_all(tree: FileTree, names: Sequence[str], size: int) -> NDArray[np.uint8]:
    """Decode the files of a tree, in the order of `names`, to uint8 [N, size, size, 3].

    Raises:
        DataError: as `decode_image`, or if the array would need more than 32 GiB.
    """
    return decode_files(
        tree,
        names,
        (size, size, 3),
        lambda content, where: decode_image(content, size, where),
        "set a smaller data.size",
    )
