"""Weights on disk: safetensors (no code inside), published whole, known by their sha256.

Each file contains the sha256 of its arrays and metadata, because checkpoints, and snapshots made after the record of
their run, have no hash elsewhere. A record contains the sha256 of whole files, which distinguishes undamaged files.

A ticket does not store pruned weights: `pack_sparse` keeps the survivors of masked weights, and the mask
in the record has their positions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from lthsweep.errors import CorruptRecordError, StoreError
from lthsweep.store import commit
from lthsweep.store.commit import read_whole, replace

__all__ = [
    "Arrays",
    "load_arrays",
    "load_metadata",
    "pack_sparse",
    "packed_size",
    "save_arrays",
    "unpack_sparse",
]

Arrays = dict[str, NDArray[Any]]
"""Weights, optimizer states, and masks by name, of any type of number."""

_METADATA = "lthsweep"
_LENGTH_BYTES = 8
_LONGEST_HEAD = 100_000_000
"""The limit of safetensors itself."""


def save_arrays(
    path: Path,
    arrays: Mapping[str, NDArray[np.generic]],
    metadata: Mapping[str, str] | None = None,
    *,
    durable: bool = True,
) -> str:
    """Write arrays as one safetensors file, in place of an older one; a missing folder is created.

    Args:
        path: destination.
        arrays: name → array of any shape; equal arrays give equal bytes.
        metadata: texts that `load_metadata` returns, such as the key of the run.
        durable: fsync, see `lthsweep.store.commit.commit_new`.

    Returns:
        sha256 of the file, in hexadecimal.

    Raises:
        StoreError: if it cannot be written; an older file then remains.
    """
    notes = dict(metadata or {})
    # safetensors writes its metadata in the order of a hash map, so only one entry gives the same bytes
    # twice.
    head = json.dumps({"notes": notes, "sha256": _content_hash(arrays, notes)}, sort_keys=True)
    data = _encoded(arrays, {_METADATA: head})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"cannot make {path.parent}: {error.strerror or error}; check its permissions"
        ) from error
    replace(path, data, durable=durable)
    return hashlib.sha256(data).hexdigest()


def packed_size(arrays: Mapping[str, NDArray[np.generic]]) -> int:
    """Return the size in bytes of the file that `save_arrays` would write, without metadata."""
    return len(_encoded(arrays))


def load_arrays(
    path: Path, expect_sha256: str | None = None, *, expect_metadata: Mapping[str, str] | None = None
) -> Arrays:
    """Read a safetensors file that `save_arrays` wrote, after its sha256 is verified.

    Args:
        path: of the file.
        expect_sha256: result of `save_arrays`, from the run's record; None to check the hash in the file itself.
        expect_metadata: texts that the metadata must have, so that the file of another run or step is refused.

    Returns:
        Name → array, writable.

    Raises:
        FileNotFoundError: if it does not exist.
        CorruptRecordError: if it is damaged, or another file than the expected one.
    """
    data = read_whole(path)
    if expect_sha256 is not None and hashlib.sha256(data).hexdigest() != expect_sha256:
        raise _damaged(path, "its sha256 is not the one in the record")
    try:
        arrays = {name: array.copy() for name, array in safetensors.load(data).items()}
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise _damaged(path, f"safetensors cannot read it ({error})") from error
    notes, digest = _head(path, data)
    if expect_sha256 is None and digest != _content_hash(arrays, notes):
        raise _damaged(path, "the sha256 of its content is not the one in its head")
    for name, text in (expect_metadata or {}).items():
        if notes.get(name) != text:
            raise _damaged(path, f"it is of {name} {notes.get(name)}, not {text}")
    return arrays


def load_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of a file, empty without any. Reads only the head of the file.

    Raises:
        FileNotFoundError: if it does not exist.
        CorruptRecordError: if its head is damaged.
    """
    with commit.reading(path), path.open("rb") as file:
        start = file.read(_LENGTH_BYTES)
        length = int.from_bytes(start, "little")
        head = file.read(length) if length <= _LONGEST_HEAD else b""
    return _head(path, start + head)[0]


def pack_sparse(arrays: Mapping[str, NDArray[np.generic]], masks: Mapping[str, NDArray[np.bool_]]) -> Arrays:
    """Replace each masked array by its survivors, one-dimensional, in C order.

    Args:
        arrays: weights by name; arrays without a mask are unchanged.
        masks: True = kept, of the shape of the array of that name.

    Raises:
        StoreError: if a mask fits no array, or something that was pruned is not zero and would be lost.
    """
    packed = dict(arrays)
    for name, mask in masks.items():
        if name not in arrays or arrays[name].shape != mask.shape:
            raise StoreError(
                f"mask {name!r} of shape {mask.shape} fits no array of that name; pass the run's own masks"
            )
        if np.any(arrays[name][~mask]):
            raise StoreError(
                f"{name!r} has weights that are pruned but not zero; apply the mask before packing"
            )
        packed[name] = arrays[name][mask]
    return packed


def unpack_sparse(
    packed: Mapping[str, NDArray[np.generic]], masks: Mapping[str, NDArray[np.bool_]]
) -> Arrays:
    """Return the dense arrays: survivors bit for bit, +0 where pruned.

    Raises:
        StoreError: if the survivors of an array are not as many as its mask keeps.
    """
    dense = dict(packed)
    for name, mask in masks.items():
        if name not in packed or packed[name].shape != (int(mask.sum()),):
            raise StoreError(
                f"the survivors of {name!r} do not fit its mask; pass the masks of the same record"
            )
        whole = np.zeros(mask.shape, packed[name].dtype)
        whole[mask] = packed[name]
        dense[name] = whole
    return dense


def _encoded(arrays: Mapping[str, NDArray[np.generic]], notes: dict[str, str] | None = None) -> bytes:
    return safetensors.save(
        {name: np.ascontiguousarray(a).reshape(a.shape) for name, a in arrays.items()}, notes
    )


def _head(path: Path, data: bytes) -> tuple[dict[str, str], str]:
    """Return the metadata and the sha256 of the content, from the first bytes of a file; both empty if it has none."""
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    try:
        head = json.loads(data[_LENGTH_BYTES : _LENGTH_BYTES + min(length, _LONGEST_HEAD)])
        known = json.loads(head.get("__metadata__", {}).get(_METADATA, "{}"))
        notes = {str(name): str(text) for name, text in known.get("notes", {}).items()}
        return notes, str(known.get("sha256", ""))
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise _damaged(path, f"its head is no JSON ({error})") from error


def _content_hash(arrays: Mapping[str, NDArray[np.generic]], notes: Mapping[str, str]) -> str:
    """Return the sha256 over metadata, names, types, shapes and values, independent of the layout of the file."""
    digest = hashlib.sha256(json.dumps(dict(notes), sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"\n{json.dumps(name)} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _damaged(path: Path, why: str) -> CorruptRecordError:
    return CorruptRecordError(
        f"{path}: these weights are damaged: {why}; `lthsweep doctor --quarantine` moves them to state/quarantine, "
        f"then `lthsweep run` trains the run again"
    )
