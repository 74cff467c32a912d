"""Masks as a stream of bits, 8 weights to a byte, which gzip compresses further."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lthsweep.errors import StoreError
from lthsweep.store.hdf5 import MASK_DTYPE, NAME_LENGTH
from lthsweep.store.seal import damaged

__all__ = ["pack_masks", "unpack_masks"]

_MOST_DIMENSIONS = MASK_DTYPE["shape"].shape[0]


def pack_masks(masks: Mapping[str, NDArray[np.bool_]]) -> tuple[NDArray[np.void], NDArray[np.uint8]]:
    """Return an index of the masks (`MASK_DTYPE`, sorted by name) and their bits; each mask starts a new byte.

    Raises:
        StoreError: if one is not boolean, has more than 6 dimensions, or a name longer than 128 bytes.
    """
    names = sorted(masks)
    index = np.zeros(len(names), MASK_DTYPE)
    streams: list[NDArray[np.uint8]] = []
    for row, name in enumerate(names):
        mask = masks[name]
        if mask.dtype != np.bool_ or mask.ndim > _MOST_DIMENSIONS or len(name.encode()) > NAME_LENGTH:
            raise StoreError(
                f"mask {name!r} ({mask.dtype}, {mask.ndim} dimensions) cannot be stored; masks are boolean, "
                f"of at most {_MOST_DIMENSIONS} dimensions, under a name of at most {NAME_LENGTH} bytes"
            )
        index[row] = (name.encode(), mask.ndim, mask.shape + (0,) * (_MOST_DIMENSIONS - mask.ndim))
        streams.append(np.packbits(mask))
    return index, np.concatenate(streams) if streams else np.zeros(0, np.uint8)


def unpack_masks(
    index: NDArray[np.void], bits: NDArray[np.uint8], where: object
) -> dict[str, NDArray[np.bool_]]:
    """Return the masks by name.

    Raises:
        CorruptRecordError: if index and bits do not fit each other.
    """
    masks: dict[str, NDArray[np.bool_]] = {}
    start = 0
    for name, rank, shape in zip(
        index["name"].tolist(), index["rank"].tolist(), index["shape"].tolist(), strict=True
    ):
        if not 0 <= rank <= _MOST_DIMENSIONS or min(shape) < 0:
            raise damaged(where, "a mask has an impossible shape")
        count = math.prod(shape[:rank])
        end = start + (count + 7) // 8
        if end > len(bits):
            raise damaged(where, "its masks need more bits than it stores")
        masks[name.decode("utf-8", "replace")] = (
            np.unpackbits(bits[start:end], count=count).view(np.bool_).reshape(shape[:rank])
        )
        start = end
    if start != len(bits):
        raise damaged(where, "it stores more bits than its masks need")
    return masks
