"""Packing a data set once, in a cache that all workers of a machine share, and opening the pack.

Only the source and the options that change the packed data name a pack, so all validation splits, augmentations and
normalizations share one. Any number of processes can start at once: each packs into a separate folder, the first
rename wins, and the others discard theirs and open the winner's.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pydantic import JsonValue

from lthsweep.data.datasets import dataset
from lthsweep.data.decoded import Decoded
from lthsweep.data.download import DownloadCallback, download
from lthsweep.data.files import Files, data_root, prepare_command
from lthsweep.data.lookup import cache_folder, find_pack, pack_folder, packing_options, request_of
from lthsweep.data.packed import Packed, check_content, is_intact, read_pack, write_pack
from lthsweep.data.published import is_verified
from lthsweep.data.remembered import newest_source, remember
from lthsweep.data.source import Source, has_changed
from lthsweep.data.user_reader import read_with_user_code
from lthsweep.errors import DataError, MissingDataError
from lthsweep.options import load_entry
from lthsweep.usercode import is_code, is_library

__all__ = ["decode", "open_packed", "prepare", "verify"]

_ABANDONED_SECONDS = 24 * 3600


def prepare(
    options: Mapping[str, object],
    *,
    root: Path | None = None,
    cache: Path | None = None,
    download: bool = False,
    progress: DownloadCallback | None = None,
) -> Packed:
    """Open the pack of a data set as its files are now, creating it first if it does not exist.

    Args:
        options: the sweep's data table as a plain dict: `name`, and the options of the data set's entry. Its `source`
            is ignored.
        root: data root; default $LTHSWEEP_DATA or ~/data.
        cache: folder of packs; default $LTHSWEEP_CACHE or ~/.cache/lthsweep/data.
        download: True to download published files that are not below the root, into `<root>/<name>`.
        progress: called as bytes arrive.

    Returns:
        The open pack.

    Raises:
        UnknownNameError: if there is no such data set.
        MissingDataError: if its files are missing and not downloaded; the message names the command.
        DataError: if files are damaged or not the published ones, or the cache cannot be written.
    """
    entry = dataset(str(options["name"]))
    files = Files(entry, data_root(root))
    request = request_of(options, files.root)
    known = newest_source(cache_folder(cache), request)
    if known is not None and not has_changed(known):
        folder = pack_folder(options, known.digest, cache=cache)
        if folder.exists():
            return read_pack(folder)
    elif entry.digest and not any(files.find_published(published) for published in entry.files):
        folder = pack_folder(options, entry.digest, cache=cache)
        if folder.exists():  # the original files are not needed any more
            return read_pack(folder)
    try:
        decoded = decode(options, root)
    except MissingDataError:
        if not (download and (entry.files or is_library(entry.name))):
            raise
        _download_missing(files, packing_options(options, root), progress)
        decoded = decode(options, root)
    assert decoded.source is not None
    folder = pack_folder(options, decoded.source.digest, cache=cache)
    if not folder.exists():
        _publish(folder, decoded, entry.name, packing_options(options, root))
    if not entry.embedded:
        remember(cache_folder(cache), request, decoded.source)
    return read_pack(folder)


def decode(options: Mapping[str, object], root: Path | None = None) -> Decoded:
    """Return a data set in memory, read from its files and not packed, with its source.

    Args:
        options: as for `prepare`.
        root: as for `prepare`.

    Raises:
        UnknownNameError: if there is no such data set.
        MissingDataError: if its files are missing.
        DataError: if an option is not allowed, the data cannot be trained on, or a file is damaged or not the published
            one.
    """
    entry = dataset(str(options["name"]))
    files = Files(entry, data_root(root))
    chosen = packing_options(options, files.root)
    if entry.own_files:
        chosen["path"] = str(options["path"])  # as written, for messages
    decoded: Decoded = (
        read_with_user_code(entry.name, files, chosen)
        if is_code(entry.name)
        else load_entry(entry.reader)(files, **chosen)
    )
    decoded.check(entry.name)
    # Checksums come after reading, whose errors explain more.
    if not entry.digest or not is_verified(files):
        return decoded
    found = decoded.source or Source(entry.digest)
    return replace(decoded, source=replace(found, digest=entry.digest))


def open_packed(
    options: Mapping[str, object], *, cache: Path | None = None, root: Path | None = None
) -> Packed:
    """Open the pack of a data set after its content is verified; an embedded data set is packed if needed.

    Args:
        options: as for `prepare`; the pack is that of its `source` if it has one, else that of the files as they were
            read last.
        cache: as for `prepare`.
        root: as for `prepare`.

    Raises:
        UnknownNameError: if there is no such data set.
        MissingDataError: if it is not packed; the message names the command that packs it.
        DataError: if the pack is damaged.
    """
    entry = dataset(str(options["name"]))
    folder = find_pack(options, root, cache)
    if folder is not None:
        packed = read_pack(folder)
        check_content(packed)
        return packed
    if entry.embedded:
        return prepare(options, root=root, cache=cache)
    raise MissingDataError(
        f"{entry.name} is not packed in {cache_folder(cache)}; run `{prepare_command(options)}` once on this machine "
        f"(it searches {data_root(root)}, or $LTHSWEEP_DATA)"
    )


def verify(options: Mapping[str, object], *, cache: Path | None = None, root: Path | None = None) -> Packed:
    """Read a whole pack and compare it with its fingerprint.

    Returns:
        The open, intact pack.

    Raises:
        MissingDataError: if there is no pack.
        DataError: if an image, label or class name differs from the packed one.
    """
    folder = find_pack(options, root, cache)
    if folder is None:
        raise MissingDataError(
            f"{options['name']} is not packed in {cache_folder(cache)}; run `{prepare_command(options)}`"
        )
    packed = read_pack(folder)
    if not is_intact(packed):
        raise DataError(
            f"the packed data in {folder} is damaged: its fingerprint is not {packed.fingerprint[:12]}…; "
            f"`{prepare_command(options)}` packs it again"
        )
    return packed


def _download_missing(files: Files, options: Mapping[str, object], progress: DownloadCallback | None) -> None:
    if is_library(files.dataset.name):
        from lthsweep.data.torchvision_sets import download as download_with_torchvision

        download_with_torchvision(files, options)
    for published in files.dataset.files:
        if files.find_published(published) is None:
            download(published, files.root / files.dataset.name, progress=progress)


def _publish(folder: Path, decoded: Decoded, name: str, options: Mapping[str, JsonValue]) -> None:
    own = folder.parent / f".{folder.name}.{secrets.token_hex(6)}.part"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(folder)
        own.mkdir()
        write_pack(own, decoded, name=name, options=options)
        try:
            own.rename(folder)
        except OSError:
            if not folder.exists():  # otherwise another process was first, and its pack is used
                raise
    except OSError as error:
        size = (decoded.train_images.nbytes + decoded.test_images.nbytes) / 1e6
        raise DataError(
            f"cannot write {folder}: {error}; {size:.0f} MB are needed: free space, or set LTHSWEEP_CACHE to a "
            "folder with write permission"
        ) from None
    finally:
        shutil.rmtree(own, ignore_errors=True)


def _remove_abandoned(folder: Path) -> None:
    """Remove folders that killed processes left behind; a live process finishes within hours."""
    for left in folder.parent.glob(f".{folder.name}.*.part"):
        try:
            abandoned = time.time() - left.stat().st_mtime > _ABANDONED_SECONDS
        except FileNotFoundError:
            continue
        if abandoned:
            shutil.rmtree(left, ignore_errors=True)
