"""Decoding image files to squares of RGB bytes."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lthsweep.data.trees import Tree
from lthsweep.errors import DataError

__all__ = ["FORMATS", "SUFFIXES", "decode_all", "decode_picture"]

FORMATS = ("BMP", "JPEG", "PNG", "PPM", "WEBP")  # the plain ones: fewer decoders, less to attack
SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".webp")
_PIXEL_LIMIT = 64_000_000
_TOTAL_LIMIT = 32 << 30


def decode_picture(content: bytes, size: int, where: str) -> NDArray[np.uint8]:
    """Decode to RGB, cut the largest centred square, and resize it, bilinear with antialiasing.

    An image that has that size already keeps its exact pixels.

    Args:
        content: the file's bytes.
        size: edge in pixels.
        where: the file, as an error should name it.

    Returns:
        uint8 [size, size, 3].

    Raises:
        DataError: if it is no readable image of a known format or declares more than 64 million pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own limit only warns; ours below refuses
            with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
                width, height = picture.size
                if width * height > _PIXEL_LIMIT:
                    raise DataError(f"{where} declares {width}x{height} pixels; make it smaller or remove it")
                rgb = picture.convert("RGB")
    except DataError:
        raise
    except Exception as error:  # decoders raise anything at all on a hostile file
        raise DataError(f"{where} is no readable image ({error}); repair or remove it") from None
    if rgb.size != (size, size):
        edge = min(width, height)
        left, top = (width - edge) // 2, (height - edge) // 2
        # Cut first: `resize(box=…)` would let pixels outside of the square into its edges.
        square = rgb.crop((left, top, left + edge, top + edge))
        rgb = square.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(rgb, dtype=np.uint8)


def decode_all(tree: Tree, names: Sequence[str], size: int, where: str) -> NDArray[np.uint8]:
    """Decode many files of a tree, in the order given, to uint8 [N, size, size, 3].

    Raises:
        DataError: as `decode_picture`, or if the whole would need more than 32 GiB.
    """
    needed = len(names) * size * size * 3
    if needed > _TOTAL_LIMIT:
        raise DataError(
            f"{where}: {len(names):,} images of {size}x{size} need {needed >> 30} GiB; set a smaller "
            "data.size"
        )
    images = np.empty((len(names), size, size, 3), np.uint8)
    for row, name in enumerate(names):
        images[row] = decode_picture(tree.read(name), size, f"{where}/{name}")
    return images
