"""Where the pack of a data set is, and whether its source has changed. No file of the data is read here."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from pydantic import JsonValue

from lthsweep.data.datasets import dataset
from lthsweep.data.entry import COMMON_OPTIONS
from lthsweep.data.files import data_root, resolve_path
from lthsweep.data.packed import FORMAT
from lthsweep.data.remembered import difference, newest_source, recall
from lthsweep.data.source import Source, has_changed, is_present
from lthsweep.errors import DataError
from lthsweep.options import complete_options
from lthsweep.usercode import is_code, is_library

__all__ = [
    "cache_folder",
    "changed_files",
    "current_source",
    "find_pack",
    "last_source",
    "pack_folder",
    "packing_options",
    "request_of",
]


def cache_folder(cache: Path | None = None) -> Path:
    """Return the folder of packs: `cache` if given, else $LTHSWEEP_CACHE, else ~/.cache/lthsweep/data."""
    if cache is not None:
        return Path(cache).expanduser()
    from_environment = os.environ.get("LTHSWEEP_CACHE")
    return Path(from_environment).expanduser() if from_environment else Path.home() / ".cache/lthsweep/data"


def packing_options(options: Mapping[str, object], root: Path | None = None) -> dict[str, JsonValue]:
    """Return the options that change the packed data, defaults included, with an absolute path.

    Raises:
        UnknownNameError: if there is no such data set.
        DataError: if a value is not allowed, or the path of the user's own files is missing.
    """
    entry = dataset(str(options["name"]))
    if is_code(entry.name) or is_library(entry.name):
        return {name: cast(JsonValue, value) for name, value in options.items() if name not in COMMON_OPTIONS}
    try:
        chosen: dict[str, JsonValue] = dict(complete_options(entry.options, options))
    except ValueError as error:
        raise DataError(f"data.{error}") from None
    if entry.own_files:
        if not options.get("path"):
            raise DataError(
                f"{entry.name} needs data.path: set it to the folder of your files, or a zip of it"
            )
        chosen["path"] = str(resolve_path(str(options["path"]), data_root(root)))
    return chosen


def pack_folder(options: Mapping[str, object], source: str, *, cache: Path | None = None) -> Path:
    """Return the folder of the pack of a source with these options, whether or not it exists.

    The name is `<cache>/<name>-<12 hex>`. It depends on the content of the source and on no path, so a pack never
    answers for other files.
    """
    chosen = packing_options(options)
    chosen.pop("path", None)
    name = dataset(str(options["name"])).name
    identity = json.dumps([FORMAT, name, chosen, source], sort_keys=True)
    digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
    return cache_folder(cache) / f"{name.partition('@')[0].replace(':', '.')}-{digest}"


def find_pack(options: Mapping[str, object], root: Path | None, cache: Path | None) -> Path | None:
    """Return the folder of the pack of these options, None if there is none.

    It is the pack of the option `source`, or without it of the files as they were when they were read last.
    """
    last = None if options.get("source") else last_source(options, root, cache)
    source = last.digest if last else str(options.get("source") or dataset(str(options["name"])).digest)
    folder = pack_folder(options, source, cache=cache)
    return folder if source and folder.exists() else None


def current_source(
    options: Mapping[str, object], *, root: Path | None = None, cache: Path | None = None
) -> str | None:
    """Return the digest of the source as it is now; "" if it was never read, None if it may have changed since.

    No file is read: names, sizes and times of the files decide whether they are those that were read before.

    Raises:
        UnknownNameError: if there is no such data set.
        DataError: if the path of the user's own files is missing.
    """
    last = last_source(options, root, cache)
    if last is not None and not has_changed(last):
        return last.digest
    if last is not None and is_present(last):
        return None
    return dataset(str(options["name"])).digest


def last_source(options: Mapping[str, object], root: Path | None, cache: Path | None) -> Source | None:
    """Return the source that the data set was last read from on this machine; None if it never was."""
    return newest_source(cache_folder(cache), request_of(options, root))


def changed_files(
    options: Mapping[str, object],
    before: str,
    now: str,
    *,
    root: Path | None = None,
    cache: Path | None = None,
) -> str:
    """Return what differs between two sources of a data set, "" if one of them was not read on this machine."""
    folder, request = cache_folder(cache), request_of(options, root)
    first, second = recall(folder, request, before), recall(folder, request, now)
    return difference(first, second) if first and second else ""


def request_of(options: Mapping[str, object], root: Path | None) -> dict[str, object]:
    """Return what a source is remembered by: the data set, its options, and the place of its files."""
    entry = dataset(str(options["name"]))
    place = "" if entry.own_files or entry.embedded else str(data_root(root).absolute())
    return {"name": entry.name, "root": place, **packing_options(options, root)}
