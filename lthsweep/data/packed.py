"""The packed form of a data set: four .npy files and a meta.json in one folder, written once, then only read.

Texts add a vocabulary with one token per line, the first line for number 0. The images are memory-mapped: all workers
of a machine share one copy in the page cache.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue, TypeAdapter

from lthsweep.data.decoded import Decoded, SampleArray
from lthsweep.data.moments import channel_moments
from lthsweep.errors import DataError

__all__ = [
    "FORMAT",
    "PackInfo",
    "Packed",
    "check_content",
    "fingerprint",
    "is_intact",
    "read_info",
    "read_pack",
    "sync_folder",
    "write_pack",
]

FORMAT: Literal[1] = 1
_META = "meta.json"
_META_LIMIT = 16 << 20
_VOCABULARY = "vocabulary.txt"
_VOCABULARY_LIMIT = 256 << 20
_ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")


@dataclass(frozen=True, kw_only=True)
class PackInfo:
    """Everything about a pack but its arrays: the content of meta.json.

    Attributes:
        name: of the data set.
        options: those that change the packed data.
        mean, std, class_names, fingerprint: as in `Packed`.
        shapes: name of an array → its shape.
        source: digest of the source, see `lthsweep.data.source`.
        vocabulary: number of tokens of the vocabulary; 0 for images.
        checksum: sha256 of the other fields. The fingerprint does not cover mean and standard deviation.
    """

    format: Literal[1] = FORMAT
    name: str
    options: Mapping[str, JsonValue]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    class_names: tuple[str, ...]
    fingerprint: str
    shapes: Mapping[str, tuple[int, ...]]
    source: str
    vocabulary: int = 0
    checksum: str = ""


_INFO = TypeAdapter(PackInfo)


@dataclass(frozen=True, eq=False)
class Packed:
    """A packed data set, open for reading.

    Attributes:
        train_images, test_images: uint8 [N, H, W, C]; for texts, token numbers, uint16 [N, L]. Mapped copy-on-write: a
            write stays in this process.
        train_labels, test_labels: int64 [N].
        mean, std: of the training images (including validation), per channel, on the scale 0..1; empty for texts.
        class_names: one per label.
        name: of the data set.
        source: digest of the source, see `lthsweep.data.source`.
        fingerprint: sha256 in hex over images, labels, class names, and the vocabulary of texts.
        folder: of the pack.
        vocabulary: for texts, the token of each number; empty for images.
    """

    train_images: SampleArray
    train_labels: NDArray[np.int64]
    test_images: SampleArray
    test_labels: NDArray[np.int64]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    class_names: tuple[str, ...]
    name: str
    source: str
    fingerprint: str
    folder: Path
    vocabulary: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """(channels, height, width) of an image; (length,) of a text, in tokens."""
        if self.vocabulary:
            return (int(self.train_images.shape[1]),)
        height, width, channels = self.train_images.shape[1:]
        return int(channels), int(height), int(width)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)


def fingerprint(data: Decoded | Packed) -> str:
    """Return the sha256 in hex over the four arrays (type, shape, bytes), the class names, and the vocabulary."""
    digest = hashlib.sha256(json.dumps([FORMAT, list(data.class_names)]).encode())
    for name in _ARRAYS:
        array = np.ascontiguousarray(getattr(data, name))
        digest.update(f"{name} {array.dtype.str} {list(array.shape)}".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    if data.vocabulary:
        digest.update(json.dumps(["vocabulary", *data.vocabulary]).encode())
    return digest.hexdigest()


def write_pack(folder: Path, decoded: Decoded, *, name: str, options: Mapping[str, JsonValue]) -> None:
    """Write a pack into an empty folder and flush it to the disk.

    Args:
        folder: exists, is empty, and is not yet under its final name.
        decoded: what to pack.
        name: of the data set.
        options: those that change the packed data; stored for `data list` and `data verify`.

    Raises:
        OSError: from the operating system.
    """
    for key in _ARRAYS:
        with (folder / f"{key}.npy").open("wb") as file:
            np.save(file, np.ascontiguousarray(getattr(decoded, key)), allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
    mean, std = ((), ()) if decoded.vocabulary else channel_moments(decoded.train_images)
    info = PackInfo(
        name=name,
        options=options,
        mean=mean,
        std=std,
        class_names=decoded.class_names,
        fingerprint=fingerprint(decoded),
        shapes={key: getattr(decoded, key).shape for key in _ARRAYS},
        source=decoded.source.digest if decoded.source else "",
        vocabulary=len(decoded.vocabulary),
    )
    if decoded.vocabulary:
        _write_text(folder / _VOCABULARY, "".join(f"{token}\n" for token in decoded.vocabulary))
    info = replace(info, checksum=_checksum(info))
    _write_text(folder / _META, _INFO.dump_json(info, indent=1).decode())
    sync_folder(folder)


def read_info(folder: Path) -> PackInfo:
    """Return what meta.json describes.

    Raises:
        DataError: if it is unreadable, too long, or of another format.
    """
    try:
        path = folder / _META
        if path.stat().st_size > _META_LIMIT:
            raise ValueError(f"{path.stat().st_size:,} bytes long")
        info = _INFO.validate_json(path.read_bytes())
        if info.checksum not in ("", _checksum(info)):
            raise ValueError("its checksum is another")
        return info
    except (OSError, ValueError) as error:
        raise _damaged(folder, f"{_META}: {error}") from None


def read_pack(folder: Path) -> Packed:
    """Open a pack: types, shapes and sizes are compared with meta.json, contents are not read.

    Raises:
        DataError: if a file is missing, cut short, or differs from meta.json.
    """
    info = read_info(folder)
    samples: dict[str, SampleArray] = {}
    labels: dict[str, NDArray[np.int64]] = {}
    try:
        vocabulary = _read_vocabulary(folder, info.vocabulary) if info.vocabulary else ()
        dtype, ndim = (np.uint16, 2) if vocabulary else (np.uint8, 4)
        for key in _ARRAYS:
            images = key.endswith("_images")
            # Copy-on-write instead of read-only: torch warns about arrays that it cannot write to.
            array = np.load(folder / f"{key}.npy", mmap_mode="c" if images else None, allow_pickle=False)
            if array.dtype != (dtype if images else np.int64) or array.ndim != (ndim if images else 1):
                raise ValueError(f"{key} is {array.dtype}{list(array.shape)}")
            if array.shape != info.shapes[key] or not array.flags.c_contiguous:
                raise ValueError(f"{key} has shape {list(array.shape)}, not {list(info.shapes[key])}")
            (samples if images else labels)[key] = array
        channels = 0 if vocabulary else samples["train_images"].shape[3]
        if len(info.mean) != channels or len(info.std) != channels:
            raise ValueError(f"mean and std are not those of {channels} channel(s)")
        return Packed(
            train_images=samples["train_images"],
            train_labels=labels["train_labels"],
            test_images=samples["test_images"],
            test_labels=labels["test_labels"],
            mean=info.mean,
            std=info.std,
            class_names=info.class_names,
            name=info.name,
            source=info.source,
            fingerprint=info.fingerprint,
            folder=folder,
            vocabulary=vocabulary,
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise _damaged(folder, str(error)) from None


def is_intact(packed: Packed) -> bool:
    """True if images, labels, class names and vocabulary have the fingerprint; reads everything."""
    return fingerprint(packed) == packed.fingerprint


def check_content(packed: Packed) -> None:
    """Compare all images, labels and class names of a pack with its fingerprint, once per process and pack.

    The content is read for the training in any case. A worker trains many runs on it, and the files are not read again
    as long as their sizes and times are the same.

    Raises:
        DataError: if something differs.
    """
    files = tuple((path.name, *_times(path)) for path in sorted(packed.folder.iterdir()))
    if _fingerprint_of(packed.folder, files) != packed.fingerprint:
        _fingerprint_of.cache_clear()
        raise _damaged(packed.folder, "its fingerprint is another")


@lru_cache(maxsize=8)
def _fingerprint_of(folder: Path, files: tuple[tuple[str, int, int, int], ...]) -> str:
    return fingerprint(read_pack(folder))


def _times(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _checksum(info: PackInfo) -> str:
    return hashlib.sha256(_INFO.dump_json(replace(info, checksum=""))).hexdigest()


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_text(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _read_vocabulary(folder: Path, count: int) -> tuple[str, ...]:
    path = folder / _VOCABULARY
    if path.stat().st_size > _VOCABULARY_LIMIT:
        raise ValueError(f"{_VOCABULARY} is {path.stat().st_size:,} bytes long")
    # Not splitlines(), which also splits at line ends that tokens can contain.
    tokens = path.read_bytes().decode("utf-8").split("\n")[:-1]
    if len(tokens) != count:
        raise ValueError(f"{_VOCABULARY} has {len(tokens):,} tokens, not {count:,}")
    return tuple(tokens)


def _damaged(folder: Path, reason: str) -> DataError:
    return DataError(
        f"the packed data in {folder} is damaged ({reason}); remove that folder and prepare it again"
    )
