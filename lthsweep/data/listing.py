"""What `lthsweep data list` and `verify` say: which data sets are here, and whether they are sound."""

from __future__ import annotations

import gzip
import hashlib
import shlex
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lthsweep.data.download import md5_of
from lthsweep.data.locate import data_root, find, find_source, missing, prepare_command
from lthsweep.data.pack import cache_folder, pack_folder, pixel_options, verify
from lthsweep.data.packfile import read_meta
from lthsweep.data.registry import DATASETS, DatasetEntry, Source, dataset
from lthsweep.errors import DataError, MissingDataError

__all__ = ["Check", "DatasetRow", "list_datasets", "verify_dataset"]

State = Literal["embedded", "packed", "found", "missing", "by path", "damaged"]


@dataclass(frozen=True)
class DatasetRow:
    """One line of the list.

    Attributes:
        name: of the data set.
        classes, shape, n_train, n_test: as packed where it is packed, else as published; None where unknown.
            The shape is (channels, height, width) of an image, (length,) of a text.
        state: `embedded` (needs no file), `packed`, `found` (files are here, not yet packed), `missing`, `by
            path` (any folder the user names), `damaged` (a pack that cannot be read).
        where: folder of the pack or of the files, "" if none.
        command: what to run next, "" if nothing.
    """

    name: str
    classes: int | None
    shape: tuple[int, ...] | None
    n_train: int | None
    n_test: int | None
    state: State
    where: str
    command: str


@dataclass(frozen=True)
class Check:
    """One thing that was compared with what it should be.

    Attributes:
        what: file or pack.
        where: its path, "" if absent.
        verdict: `good`, `different` (another file than the published one), `damaged`, `absent` (nothing to
            check).
        detail: why.
    """

    what: str
    where: str
    verdict: Literal["good", "different", "damaged", "absent"]
    detail: str

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong here."""
        return self.verdict in ("good", "absent")


def list_datasets(root: Path | None = None, cache: Path | None = None) -> tuple[DatasetRow, ...]:
    """Every data set that can be named, and every pack that is in the cache, without opening any image.

    Args:
        root: data root; default $LTHSWEEP_DATA or ~/data.
        cache: folder of packs; default $LTHSWEEP_CACHE or ~/.cache/lthsweep/data.

    Returns:
        One row per pack, and one per data set that has no pack, in the order of the registry.
    """
    rows: list[DatasetRow] = []
    for entry in DATASETS.values():
        packs = _packs(entry, cache)
        rows.extend(_packed_row(entry, folder) for folder in packs)
        if not packs or entry.by_path:
            rows.append(_unpacked_row(entry, data_root(root)))
    return tuple(rows)


def verify_dataset(
    options: Mapping[str, Any], root: Path | None = None, cache: Path | None = None
) -> tuple[Check, ...]:
    """Compare the published files with their checksums, and the pack with its fingerprint.

    Args:
        options: the sweep's data table, or just {"name": …}.
        root: as for `list_datasets`.
        cache: as for `list_datasets`.

    Returns:
        One check per published file and one for the pack; `absent` where there is nothing.

    Raises:
        UnknownNameError: if there is no such data set.
        DataError: if files of the user's own come without their path.
        MissingDataError: if neither files nor pack are here; or no pack of the user's files with these options.
    """
    entry = dataset(str(options["name"]))
    where = data_root(root)
    if entry.by_path:
        return (_check_own(entry, options, where, cache),)
    checks = [_check_source(entry, source, where) for source in entry.sources]
    checks.append(_check_pack(options, root, cache))
    if not entry.embedded and all(check.verdict == "absent" for check in checks):
        raise missing(entry, [source.file for source in entry.sources], where)
    return tuple(checks)


def _packed_row(entry: DatasetEntry, folder: Path) -> DatasetRow:
    try:
        meta = read_meta(folder)
        n_train, *sides = (int(length) for length in meta["shapes"]["train_images"])
        return DatasetRow(
            name=entry.name,
            classes=len(meta["class_names"]),
            shape=(sides[2], sides[0], sides[1]) if len(sides) == 3 else tuple(sides),
            n_train=n_train,
            n_test=int(meta["shapes"]["test_images"][0]),
            state="embedded" if entry.embedded else "packed",
            where=str(folder),
            command="",
        )
    except (DataError, KeyError, TypeError, ValueError):
        command = f"rm -r {shlex.quote(str(folder))}"
        return DatasetRow(entry.name, None, None, None, None, "damaged", str(folder), command)


def _unpacked_row(entry: DatasetEntry, root: Path) -> DatasetRow:
    state: State
    where, command = "", ""
    if entry.embedded:
        state = "embedded"
    elif not entry.sources:
        state, command = "by path", prepare_command({"name": entry.name})
    else:
        paths = [find_source(entry, source, root) for source in entry.sources]
        state = "found" if all(paths) else "missing"
        where = str(paths[0].parent) if paths[0] is not None and all(paths) else ""
        command = prepare_command({"name": entry.name})
    return DatasetRow(
        entry.name, entry.classes, entry.shape, entry.n_train, entry.n_test, state, where, command
    )


def _check_source(entry: DatasetEntry, source: Source, root: Path) -> Check:
    path = find(entry, (source.file,), root)
    unpacked = find(entry, (source.unpacked,), root) if source.unpacked_md5 else None
    if path is None and unpacked is None:
        return Check(source.file, "", "absent", "not below the data root")
    chosen = path or unpacked
    assert chosen is not None
    try:
        digest = md5_of(chosen)
        if digest == (source.md5 if path is not None else source.unpacked_md5):
            return Check(source.file, str(chosen), "good", f"md5 {digest}, as published")
        if path is not None and source.unpacked_md5 is not None:
            inner = _unpacked_md5(path)
            if inner == source.unpacked_md5:
                return Check(source.file, str(path), "good", f"content md5 {inner}, as published")
    except (OSError, EOFError, zlib.error) as error:
        return Check(source.file, str(chosen), "damaged", f"{error}; remove it and get it again")
    return Check(source.file, str(chosen), "different", f"md5 {digest}, published is {source.md5}")


def _unpacked_md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with gzip.open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _check_own(entry: DatasetEntry, options: Mapping[str, Any], root: Path, cache: Path | None) -> Check:
    """Of the user's own files there is only the pack, and the options name it: all that `prepare` was given."""
    if not options.get("path"):
        command = prepare_command({"name": entry.name}, "verify")
        raise DataError(
            f"{entry.name} is files of your own: add their path, and the options that `prepare` was given: `{command}`"
        )
    check = _check_pack(options, root, cache)
    if check.verdict != "absent":
        return check
    asked = pixel_options(options, root)
    others = [_packed_options(folder) for folder in _packs(entry, cache)]
    there = [found for found in others if found.get("path") == asked["path"]]
    if there:
        commands = " or ".join(
            f"`{prepare_command({'name': entry.name, **found}, 'verify')}`" for found in there
        )
        raise MissingDataError(f"{asked['path']} is packed, but with other options; check it with {commands}")
    raise MissingDataError(
        f"{asked['path']} is not packed with these options; run `{prepare_command(options)}`"
    )


def _packs(entry: DatasetEntry, cache: Path | None) -> list[Path]:
    return sorted(cache_folder(cache).glob(f"{entry.name}-{'[0-9a-f]' * 12}"))


def _packed_options(folder: Path) -> dict[str, Any]:
    try:
        return dict(read_meta(folder)["options"])
    except (DataError, KeyError, TypeError, ValueError):  # damaged: `list` says so
        return {}


def _check_pack(options: Mapping[str, Any], root: Path | None, cache: Path | None) -> Check:
    folder = ""
    try:
        folder = str(pack_folder(options, cache=cache, root=root))
        packed = verify(options, cache=cache, root=root)
    except MissingDataError as error:
        return Check("pack", "", "absent", str(error))
    except DataError as error:
        return Check("pack", folder, "damaged", str(error))
    return Check("pack", folder, "good", f"fingerprint {packed.fingerprint}")
