"""HDF5 as records use it: the names and types inside a record, and a reader for untrusted files.

A record is one flat group of five datasets, each one gzip chunk with a fletcher32 checksum, in the file
format of HDF5 1.10 (readable by the h5dump of every cluster, metadata with checksums):

    about        JSON: the run, its metrics, provenance, audit
    curves       one row per epoch
    layers       one row per prunable weight
    mask_index   one row per mask: name, shape
    mask_bits    the masks, packed 8 to a byte, one after the other; each starts a new byte

Few datasets, because opening one costs more than reading it: a network has 50 layers, a sweep 10,000 records.
The reader refuses links other than hard ones, storage outside the file, virtual datasets, other types and
filters than the writer's, and sizes that the stored bytes cannot fill (a file of 2 KB may declare 1 TiB).
h5py's low-level interface does it in a third of the time of its `Group` and `Dataset`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from h5py import h5d, h5f, h5l, h5p, h5s, h5t, h5z
from numpy.typing import NDArray

from lthsweep.errors import CorruptRecordError
from lthsweep.store.seal import damaged

__all__ = [
    "ABOUT",
    "CURVES",
    "CURVE_DTYPE",
    "LAYERS",
    "LAYER_DTYPE",
    "MASK_BITS",
    "MASK_DTYPE",
    "MASK_INDEX",
    "NAME_LENGTH",
    "build_image",
    "fetch",
    "opened",
    "opened_image",
]

ABOUT = "about"
CURVES = "curves"
LAYERS = "layers"
MASK_INDEX = "mask_index"
MASK_BITS = "mask_bits"

NAME_LENGTH = 128
"""Longest name of a weight, in bytes."""

CURVE_DTYPE: np.dtype[np.void] = np.dtype(
    [
        ("epoch", "<i4"),  # epochs completed, absolute
        ("step", "<i8"),
        ("train_loss", "<f8"),
        ("train_accuracy", "<f8"),
        ("val_loss", "<f8"),
        ("val_accuracy", "<f8"),
        ("lr", "<f8"),
        ("seconds", "<f8"),
    ]
)
LAYER_DTYPE: np.dtype[np.void] = np.dtype(
    [("name", f"S{NAME_LENGTH}"), ("size", "<i8"), ("remaining", "<i8"), ("sparsity", "<f8"), ("dead", "?")]
)
MASK_DTYPE: np.dtype[np.void] = np.dtype(
    [("name", f"S{NAME_LENGTH}"), ("rank", "<i4"), ("shape", "<i8", (6,))]
)

_LARGEST = {ABOUT: 16 << 20, CURVES: 64 << 20, LAYERS: 64 << 20, MASK_INDEX: 64 << 20, MASK_BITS: 1 << 30}
"""Bytes in memory that a dataset may declare."""
_DEFLATE_RATIO = 1032
"""Bytes that one byte of a deflate stream can stand for, at most (zlib's technical notes)."""
_SLACK = 4096
_COMPRESSION = 4


def build_image(parts: Mapping[str, NDArray[np.generic]]) -> bytes:
    """Return the bytes of an HDF5 file with one dataset per part; equal bytes for equal parts.

    Args:
        parts: one-dimensional arrays, in the order in which they are written.
    """
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_fapl_core(backing_store=False)
    access.set_libver_bounds(h5f.LIBVER_V110, h5f.LIBVER_V110)
    creation = h5p.create(h5p.FILE_CREATE)
    creation.set_obj_track_times(False)  # the root group would carry the time of day
    file = h5f.create(b"record", h5f.ACC_TRUNC, creation, access)
    try:
        for name, array in parts.items():
            _put(file, name, array)
        h5f.flush(file)
        return bytes(file.get_file_image())
    finally:
        file.close()


@contextmanager
def opened(path: Path) -> Iterator[h5f.FileID]:
    """Open a published file for reading, without file locks: published files never change.

    Raises:
        CorruptRecordError: if libhdf5 refuses to open it, or to read from it inside the block.
    """
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_file_locking(False, True)
    with _opened(os.fsencode(path), access, path) as file:
        yield file


@contextmanager
def opened_image(image: bytes, where: object) -> Iterator[h5f.FileID]:
    """Open an HDF5 file in memory for reading.

    Raises:
        CorruptRecordError: as `opened`; the message names `where`.
    """
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_fapl_core(backing_store=False)
    access.set_file_image(image)
    with _opened(b"record", access, where) as file:
        yield file


def fetch(file: h5f.FileID, name: str, dtype: np.dtype[Any] | None, where: object) -> NDArray[Any]:
    """Read one dataset, after checking that it has the form of a record's dataset.

    Args:
        file: from `opened` or `opened_image`.
        name: one of the names of this module.
        dtype: required type of the dataset; None for one fixed-length string of any length.
        where: named in errors.

    Returns:
        One-dimensional array.

    Raises:
        CorruptRecordError: if it is missing, not a plain dataset in this file, or of another type or size.
    """
    path = name.encode()
    if not file.links.exists(path):
        raise damaged(where, f"dataset {name!r} is missing")
    if file.links.get_info(path).type != h5l.TYPE_HARD:
        raise damaged(where, f"{name!r} is a link to somewhere else")
    dataset = h5d.open(file, path)
    kind = dataset.get_type()
    if dtype is None:
        if kind.get_class() != h5t.STRING or kind.is_variable_str():
            raise damaged(where, f"dataset {name!r} is not fixed-length text")
        dtype = np.dtype(f"S{kind.get_size()}")
    elif not kind.equal(_type_of(dtype)):
        raise damaged(where, f"dataset {name!r} has another type than records have")
    shape = dataset.shape
    if len(shape) != 1:
        raise damaged(where, f"dataset {name!r} has {len(shape)} dimensions, not 1")
    _check_storage(dataset, name, shape[0] * dtype.itemsize, where)
    array = np.empty(shape, dtype)
    if array.size:
        dataset.read(h5s.ALL, h5s.ALL, array, kind)
    return array


@contextmanager
def _opened(name: bytes, access: h5p.PropFAID, where: object) -> Iterator[h5f.FileID]:
    try:
        file = h5f.open(name, h5f.ACC_RDONLY, access)
        try:
            yield file
        finally:
            file.close()
    except (FileNotFoundError, CorruptRecordError):
        raise
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise damaged(where, f"HDF5 cannot read it ({_first_line(error)})") from error


@lru_cache(maxsize=16)
def _type_of(dtype: np.dtype[np.generic]) -> h5t.TypeID:
    return h5t.py_create(dtype, logical=True)  # slow for compound types, and there are few


def _put(file: h5f.FileID, name: str, array: NDArray[np.generic]) -> None:
    creation = h5p.create(h5p.DATASET_CREATE)
    creation.set_obj_track_times(False)
    if array.size:  # HDF5 has no chunks of size 0; an empty dataset stores nothing anyway
        creation.set_chunk(array.shape)
        creation.set_deflate(_COMPRESSION)
        creation.set_fletcher32()
    dataset = h5d.create(file, name.encode(), _type_of(array.dtype), h5s.create_simple(array.shape), creation)
    if array.size:
        dataset.write(h5s.ALL, h5s.ALL, np.ascontiguousarray(array))


def _check_storage(dataset: h5d.DatasetID, name: str, size: int, where: object) -> None:
    creation = dataset.get_create_plist()
    layout = creation.get_layout()
    if layout == h5d.VIRTUAL or creation.get_external_count() != 0:
        raise damaged(where, f"dataset {name!r} keeps its data in another file")
    if size > _LARGEST[name]:
        raise damaged(where, f"dataset {name!r} declares {size} bytes; at most {_LARGEST[name]} are believed")
    if size == 0:
        return
    filters = [creation.get_filter(i)[0] for i in range(creation.get_nfilters())]
    if filters != [h5z.FILTER_DEFLATE, h5z.FILTER_FLETCHER32]:
        raise damaged(where, f"dataset {name!r} is not stored as gzip with a checksum")
    if layout != h5d.CHUNKED or creation.get_chunk() != dataset.shape:
        raise damaged(where, f"dataset {name!r} is not stored in one piece")
    stored = dataset.get_storage_size()
    if size > stored * _DEFLATE_RATIO + _SLACK or stored == 0:
        raise damaged(where, f"dataset {name!r} declares {size} bytes, but only {stored} are stored")


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__
