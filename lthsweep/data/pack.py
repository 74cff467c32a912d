"""Packing a data set once, in a cache that all workers of a machine share, and opening it.

Only options that change what is packed name a pack, so that validation split, augmentation and normalization share
one. Any number of processes may start at once: each packs into a folder of its own, the first rename wins,
the others discard theirs and open the winner's.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from numpy.typing import NDArray

from lthsweep.data.class_folders import resolve_path, stamp_of
from lthsweep.data.decoded import Decoded
from lthsweep.data.download import Progress, download
from lthsweep.data.locate import data_root, find, prepare_command
from lthsweep.data.packfile import FORMAT, Packed, fingerprint, read_meta, read_pack, write_pack
from lthsweep.data.registry import DatasetEntry, dataset
from lthsweep.errors import DataError, MissingDataError

__all__ = ["Packed", "cache_folder", "open_packed", "pack_folder", "pixel_options", "prepare", "verify"]

_ABANDONED_SECONDS = 24 * 3600


def cache_folder(cache: Path | None = None) -> Path:
    """The folder of packs: `cache` if given, else $LTHSWEEP_CACHE, else ~/.cache/lthsweep/data."""
    if cache is not None:
        return Path(cache).expanduser()
    from_environment = os.environ.get("LTHSWEEP_CACHE")
    return Path(from_environment).expanduser() if from_environment else Path.home() / ".cache/lthsweep/data"


def pixel_options(options: Mapping[str, Any], root: Path | None = None) -> dict[str, Any]:
    """The options that change what is packed, with paths made absolute: what a pack is named by.

    Raises:
        UnknownNameError: if there is no such data set.
        DataError: if files of the user's own come without their path.
    """
    entry = dataset(str(options["name"]))
    chosen: dict[str, Any] = {}
    for name, default in entry.pixel_options.items():
        if default is not None:
            chosen[name] = type(default)(options.get(name, default))
        elif not options.get(name):
            raise DataError(f"{entry.name} needs data.{name}: the folder of your files, or a zip of it")
        else:
            chosen[name] = str(resolve_path(str(options[name]), data_root(root)))
    return chosen


def pack_folder(options: Mapping[str, Any], *, cache: Path | None = None, root: Path | None = None) -> Path:
    """The folder of the pack of these options, `<cache>/<name>-<12 hex>`, whether or not it exists."""
    name = dataset(str(options["name"])).name
    identity = json.dumps([FORMAT, name, pixel_options(options, root)], sort_keys=True)
    return cache_folder(cache) / f"{name}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"


def prepare(
    options: Mapping[str, Any],
    *,
    root: Path | None = None,
    cache: Path | None = None,
    download: bool = False,
    progress: Progress | None = None,
) -> Packed:
    """Open the pack of a data set, making it first if it is not there.

    Args:
        options: the sweep's data table as a plain dict; `name`, and what the data set's entry calls its
            `pixel_options`.
        root: data root; default $LTHSWEEP_DATA or ~/data.
        cache: folder of packs; default $LTHSWEEP_CACHE or ~/.cache/lthsweep/data.
        download: fetch published files that are not below the root, into `<root>/<name>`.
        progress: told of the bytes that arrive.

    Returns:
        The pack, open.

    Raises:
        UnknownNameError: if there is no such data set.
        MissingDataError: if its files are not here and are not fetched; the message names the command.
        DataError: if files are damaged, the cache cannot be written, or an image folder changed since it was
            packed.
    """
    entry = dataset(str(options["name"]))
    where = data_root(root)
    folder = pack_folder(options, cache=cache, root=root)
    if folder.exists():
        _refuse_changed_source(entry, options, where, folder)
        return read_pack(folder)
    try:
        decoded = _load(entry, options, where)
    except MissingDataError:
        if not (download and entry.sources):
            raise
        _download_missing(entry, where, progress)
        decoded = _load(entry, options, where)
    decoded.check(entry.name)
    _publish(folder, decoded, entry.name, pixel_options(options, root))
    return read_pack(folder)


def open_packed(options: Mapping[str, Any], *, cache: Path | None = None, root: Path | None = None) -> Packed:
    """Open the pack of a data set; an embedded data set is packed on the spot.

    Args:
        options: as for `prepare`.
        cache: as for `prepare`.
        root: as for `prepare`; matters only to the relative path of an image folder.

    Raises:
        UnknownNameError: if there is no such data set.
        MissingDataError: if it is not packed; the message names the command that does it.
        DataError: if the pack is damaged.
    """
    entry = dataset(str(options["name"]))
    folder = pack_folder(options, cache=cache, root=root)
    if folder.exists():
        return read_pack(folder)
    if entry.embedded:
        return prepare(options, root=root, cache=cache)
    raise MissingDataError(
        f"{entry.name} is not packed: there is no {folder}; run `{prepare_command(options)}` once on this "
        f"machine (it looks for the files in {data_root(root)}, or in $LTHSWEEP_DATA)"
    )


def verify(options: Mapping[str, Any], *, cache: Path | None = None, root: Path | None = None) -> Packed:
    """Read a whole pack and compare it with its fingerprint.

    Returns:
        The pack, open and sound.

    Raises:
        MissingDataError: if there is no pack.
        DataError: if any image, label or class name is not what was packed.
    """
    folder = pack_folder(options, cache=cache, root=root)
    if not folder.exists():
        raise MissingDataError(
            f"{options['name']} is not packed: there is no {folder}; run `{prepare_command(options)}`"
        )
    packed = read_pack(folder)
    arrays: dict[str, NDArray[Any]] = {
        "train_images": packed.train_images,
        "train_labels": packed.train_labels,
        "test_images": packed.test_images,
        "test_labels": packed.test_labels,
    }
    found = fingerprint(arrays, packed.class_names, packed.vocabulary)
    if found != packed.fingerprint:
        raise DataError(
            f"the packed data in {folder} is damaged: its fingerprint is {found[:12]}…, not "
            f"{packed.fingerprint[:12]}…; remove that folder and run `{prepare_command(options)}`"
        )
    return packed


def _load(entry: DatasetEntry, options: Mapping[str, Any], root: Path) -> Decoded:
    module, function = entry.loader.split(":")
    return cast(Decoded, getattr(importlib.import_module(module), function)(options, root))


def _download_missing(entry: DatasetEntry, root: Path, progress: Progress | None) -> None:
    for source in entry.sources:
        if find(entry, (source.file, source.unpacked), root) is None:
            download(source, root / entry.name, progress=progress)


def _publish(folder: Path, decoded: Decoded, name: str, options: Mapping[str, Any]) -> None:
    own = folder.parent / f".{folder.name}.{secrets.token_hex(6)}.part"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _sweep_abandoned(folder)
        own.mkdir()
        write_pack(own, decoded, name=name, options=options)
        try:
            own.rename(folder)
        except OSError:
            if not folder.exists():  # not simply lost the race
                raise
    except OSError as error:
        size = (decoded.train_images.nbytes + decoded.test_images.nbytes) / 1e6
        raise DataError(
            f"cannot write {folder}: {error}; {size:.0f} MB are needed: make space, or set "
            "LTHSWEEP_CACHE to a "
            "folder you may write"
        ) from None
    finally:
        shutil.rmtree(own, ignore_errors=True)


def _sweep_abandoned(folder: Path) -> None:
    for left in folder.parent.glob(f".{folder.name}.*.part"):
        try:
            abandoned = time.time() - left.stat().st_mtime > _ABANDONED_SECONDS
        except FileNotFoundError:
            continue
        if abandoned:
            shutil.rmtree(left, ignore_errors=True)


def _refuse_changed_source(entry: DatasetEntry, options: Mapping[str, Any], root: Path, folder: Path) -> None:
    if not entry.by_path:
        return
    now = stamp_of(options, root)
    packed = [(int(stamp["files"]), int(stamp["bytes"])) for stamp in read_meta(folder).get("stamps", [])]
    if now is not None and packed and (now.files, now.bytes) != packed[0]:
        raise DataError(
            f"{now.path} changed since it was packed: {now.files:,} files of {now.bytes:,} bytes now, "
            f"{packed[0][0]:,} of {packed[0][1]:,} then; remove {folder} to pack it again"
        )
