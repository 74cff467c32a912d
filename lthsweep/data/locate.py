"""Where the files of a data set may lie, and what to say when they do not."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lthsweep.data.registry import DATASETS, DatasetEntry, Source
from lthsweep.errors import MissingDataError

__all__ = ["data_root", "find", "find_source", "missing", "prepare_command"]


def data_root(root: Path | None = None) -> Path:
    """The folder of downloaded data sets: `root` if given, else $LTHSWEEP_DATA, else ~/data."""
    if root is not None:
        return Path(root).expanduser()
    from_environment = os.environ.get("LTHSWEEP_DATA")
    return Path(from_environment).expanduser() if from_environment else Path.home() / "data"


def find(entry: DatasetEntry, names: Iterable[str], root: Path) -> Path | None:
    """The first of `names` that exists in one of the entry's folders below `root`, or None."""
    wanted = tuple(names)
    for folder in entry.folders:
        for name in wanted:
            candidate = root / folder / name
            if candidate.exists():
                return candidate
    return None


def find_source(entry: DatasetEntry, source: Source, root: Path) -> Path | None:
    """The published file, or what stands for it once unpacked."""
    return find(entry, (source.file, source.unpacked), root)


def prepare_command(options: Mapping[str, Any], verb: str = "prepare") -> str:
    """The command that gets and packs the data set of these options, or does something else with it."""
    command = f"lthsweep data {verb} {options['name']}"
    entry = DATASETS.get(str(options["name"]))
    if entry is None or not entry.by_path:
        return command
    command += f" --path {shlex.quote(str(options.get('path', 'FOLDER')))}"
    for name, default in entry.pixel_options.items():
        if name == "size" and name in options:
            command += f" --size {options[name]}"
        elif name != "path" and options.get(name, default) != default:
            command += f" --set data.{name}={options[name]}"
    return command


def missing(entry: DatasetEntry, files: Iterable[str], root: Path, hint: str = "") -> MissingDataError:
    """The error that says which files were looked for, where, and which command gets them."""
    folders = ", ".join(str(root / folder) for folder in entry.folders)
    command = prepare_command({"name": entry.name})
    by_hand = ", ".join(source.urls[0] for source in entry.sources)
    return MissingDataError(
        f"{entry.name} is not on this machine: no {' or '.join(files)} in {folders}; {hint}"
        f"run `{command}` where there is a network, or set LTHSWEEP_DATA to the folder "
        f"that holds the files{f' (published at {by_hand})' if by_hand else ''}"
    )
