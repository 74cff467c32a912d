"""Which data sets are on this machine, and whether their files and packs are intact: `data list` and `data verify`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lthsweep.data.cache import decode, verify
from lthsweep.data.datasets import DATASETS, dataset
from lthsweep.data.files import Files, data_root, prepare_command
from lthsweep.data.lookup import cache_folder, find_pack, last_source, packing_options
from lthsweep.data.packed import fingerprint, read_info, read_pack
from lthsweep.data.published import FileCheck, check_published
from lthsweep.data.remembered import difference
from lthsweep.data.split import training_split
from lthsweep.errors import DataError, MissingDataError
from lthsweep.usercode import is_code, is_library

__all__ = [
    "Availability",
    "DatasetRow",
    "list_datasets",
    "packed_samples",
    "unavailable_reason",
    "untrained_classes",
    "verify_dataset",
]

Availability = Literal["embedded", "packed", "found", "missing", "by path", "damaged"]


@dataclass(frozen=True)
class DatasetRow:
    """One line of the list.

    Attributes:
        name: of the data set.
        classes, shape, n_train, n_test: of the pack if there is one, else as published; None if unknown. The shape is
            (channels, height, width) of an image, (length,) of a text.
        state: `embedded` (needs no file), `packed`, `found` (files are here, not yet packed), `missing`, `by path` (any
            folder of the user), `damaged` (a pack that cannot be read).
        where: folder of the pack or of the files, "" if none.
        path: of the user's files when they were packed, "" for other data sets.
        command: what to run next, "" if nothing.
    """

    name: str
    classes: int | None
    shape: tuple[int, ...] | None
    n_train: int | None
    n_test: int | None
    state: Availability
    where: str
    command: str
    path: str = ""


def packed_samples(
    options: Mapping[str, object], root: Path | None = None, cache: Path | None = None
) -> int | None:
    """Return the number of training samples in the pack of these options; None if there is no readable pack."""
    try:
        folder = find_pack(options, root, cache)
        return read_info(folder).shapes["train_images"][0] if folder else None
    except (DataError, LookupError):  # the run reports a damaged pack
        return None


def untrained_classes(
    options: Mapping[str, object],
    validation: int,
    train_images: int,
    root: Path | None = None,
    cache: Path | None = None,
) -> tuple[str, ...]:
    """Return the classes without a training sample after the split; none if there is no readable pack."""
    try:
        folder = find_pack(options, root, cache)
        packed = read_pack(folder) if folder else None
    except DataError:  # the run reports a damaged pack
        return ()
    if packed is None:
        return ()
    kept, _ = training_split(packed.train_labels, validation, train_images)
    trained = set(packed.train_labels[kept].tolist())
    return tuple(name for label, name in enumerate(packed.class_names) if label not in trained)


def unavailable_reason(
    options: Mapping[str, object], root: Path | None = None, cache: Path | None = None
) -> str | None:
    """Return what is missing before a run can train, and the command that helps; None if nothing is missing.

    Args:
        options: the sweep's data table.
        root: data root; default $LTHSWEEP_DATA or ~/data.
        cache: folder of packs; default $LTHSWEEP_CACHE or ~/.cache/lthsweep/data.

    Raises:
        UnknownNameError: if there is no such data set.
        DataError: if the path of the user's own files is missing.
    """
    entry = dataset(str(options["name"]))
    if entry.embedded or is_code(entry.name) or find_pack(options, root, cache):
        return None
    if is_library(entry.name):
        return f"{entry.name} is not packed; `{prepare_command(options)}` gets it"
    if entry.own_files:
        path = Path(str(packing_options(options, root)["path"]))
        return (
            None if path.exists() else f"{path} does not exist; set the path of your files: --set data.path=…"
        )
    files = Files(entry, data_root(root))
    if all(files.find_published(published) for published in entry.files):
        return None
    return f"{entry.name} is not on this machine; `{prepare_command(options)}` gets it"


def list_datasets(root: Path | None = None, cache: Path | None = None) -> tuple[DatasetRow, ...]:
    """Return every data set and every pack in the cache, without opening any image.

    Args:
        root: data root; default $LTHSWEEP_DATA or ~/data.
        cache: folder of packs; default $LTHSWEEP_CACHE or ~/.cache/lthsweep/data.

    Returns:
        One row per pack, and one per data set that has no pack, in the order of the registry; then the packs of
        readers of the user.
    """
    packs: dict[str, list[DatasetRow]] = {name: [] for name in DATASETS}
    for folder in _packs("*", cache):
        row = _packed_row(folder)
        packs.setdefault(row.name, []).append(row)
    for name, entry in DATASETS.items():
        if not packs[name] or entry.own_files:
            packs[name].append(_unpacked_row(Files(entry, data_root(root))))
    return tuple(row for rows in packs.values() for row in rows)


def verify_dataset(
    options: Mapping[str, object], root: Path | None = None, cache: Path | None = None
) -> tuple[FileCheck, ...]:
    """Compare the published files with their checksums, the pack with its fingerprint, and own files with the pack.

    Args:
        options: the sweep's data table, or just {"name": …}.
        root: as for `list_datasets`.
        cache: as for `list_datasets`.

    Returns:
        One check per published file, one for the pack, and for the user's own files one of these, which are read again.

    Raises:
        UnknownNameError: if there is no such data set.
        DataError: if the path of the user's own files is missing.
        MissingDataError: if neither files nor pack exist, or the user's files have no pack with these options.
    """
    entry = dataset(str(options["name"]))
    files = Files(entry, data_root(root))
    if entry.own_files or is_code(entry.name) or is_library(entry.name):
        return _check_own_files(files, options, cache)
    checks = [
        *(check_published(files, published) for published in entry.files),
        _check_pack(options, root, cache),
    ]
    if not entry.embedded and all(check.verdict == "absent" for check in checks):
        raise files.missing(*(published.file for published in entry.files))
    return tuple(checks)


def _packed_row(folder: Path) -> DatasetRow:
    try:
        info = read_info(folder)
        n_train, *sides = info.shapes["train_images"]
        entry = DATASETS.get(info.name)
        return DatasetRow(
            name=info.name.partition("@")[0],  # a reader of the user without the hash of its source
            classes=len(info.class_names),
            shape=(sides[2], sides[0], sides[1]) if len(sides) == 3 else tuple(sides),
            n_train=n_train,
            n_test=info.shapes["test_images"][0],
            state="embedded" if entry and entry.embedded else "packed",
            where=str(folder),
            command="",
            path=str(info.options.get("path", "")),
        )
    except (DataError, LookupError, ValueError):
        name = folder.name.rpartition("-")[0]
        command = f"rm -r {shlex.quote(str(folder))}"
        return DatasetRow(name, None, None, None, None, "damaged", str(folder), command)


def _unpacked_row(files: Files) -> DatasetRow:
    entry = files.dataset
    state: Availability
    where, command = "", prepare_command({"name": entry.name})
    if entry.embedded:
        state, command = "embedded", ""
    elif entry.own_files:
        state = "by path"
    else:
        paths = [path for published in entry.files if (path := files.find_published(published))]
        state = "found" if len(paths) == len(entry.files) else "missing"
        where = str(paths[0].parent) if state == "found" else ""
    return DatasetRow(
        entry.name, entry.classes, entry.shape, entry.n_train, entry.n_test, state, where, command
    )


def _check_own_files(
    files: Files, options: Mapping[str, object], cache: Path | None
) -> tuple[FileCheck, ...]:
    """Check the pack of the user's files, and compare it with the files as they are now."""
    entry = files.dataset
    if entry.own_files and not options.get("path"):
        command = prepare_command({"name": entry.name}, "verify")
        raise DataError(
            f"{entry.name} reads files of yours: add their path, and the options that `prepare` was given: "
            f"`{command}`"
        )
    packed_from = last_source(options, files.root, cache)
    if packed_from is None:
        raise MissingDataError(_not_packed(files, options, cache))
    pinned = {**options, "source": packed_from.digest}
    pack = _check_pack(pinned, files.root, cache)
    if pack.verdict == "damaged":
        return (pack,)
    if pack.verdict == "absent":
        raise MissingDataError(pack.detail)
    where = str(packing_options(options, files.root).get("path", entry.name))
    again = f"run `{prepare_command(options)}` to pack them as they are now"
    try:
        now = decode(options, files.root)
    except MissingDataError as error:
        return pack, FileCheck("files", "", "absent", str(error))
    except DataError as error:
        return pack, FileCheck("files", where, "damaged", str(error))
    assert now.source is not None
    if now.source.digest != packed_from.digest:
        detail = f"changed since they were packed: {difference(packed_from, now.source)}; {again}"
        return pack, FileCheck("files", where, "different", detail)
    if f"fingerprint {fingerprint(now)}" != pack.detail:
        detail = f"the same files, but the libraries of this machine decode them to other values; {again}"
        return pack, FileCheck("files", where, "different", detail)
    return pack, FileCheck("files", where, "good", f"source {packed_from.digest}, as packed")


def _not_packed(files: Files, options: Mapping[str, object], cache: Path | None) -> str:
    name = files.dataset.name
    if not files.dataset.own_files:
        return f"{name} is not packed with these options; run `{prepare_command(options)}`"
    path = packing_options(options, files.root)["path"]
    commands = " or ".join(
        f"`{prepare_command({'name': name, **other}, 'verify')}`"
        for folder in _packs(name, cache)
        if (other := _packed_options(folder)).get("path") == path
    )
    if commands:
        return f"{path} is packed, but with other options; check it with {commands}"
    return f"{path} is not packed with these options; run `{prepare_command(options)}`"


def _packs(name: str, cache: Path | None) -> list[Path]:
    return sorted(cache_folder(cache).glob(f"{name}-{'[0-9a-f]' * 12}"))


def _packed_options(folder: Path) -> Mapping[str, object]:
    try:
        return read_info(folder).options
    except DataError:  # `data list` reports a damaged pack
        return {}


def _check_pack(options: Mapping[str, object], root: Path | None, cache: Path | None) -> FileCheck:
    try:
        packed = verify(options, cache=cache, root=root)
    except MissingDataError as error:
        return FileCheck("pack", "", "absent", str(error))
    except DataError as error:
        return FileCheck("pack", str(find_pack(options, root, cache) or ""), "damaged", str(error))
    return FileCheck("pack", str(packed.folder), "good", f"fingerprint {packed.fingerprint}")
