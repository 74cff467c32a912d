"""Find the files of a data set, or describe the missing ones in a message."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lthsweep.data.datasets import dataset
from lthsweep.data.entry import Dataset, PublishedFile
from lthsweep.errors import MissingDataError
from lthsweep.usercode import is_library

__all__ = ["Files", "data_root", "prepare_command", "resolve_path"]


def data_root(root: Path | None = None) -> Path:
    """Return the folder of downloaded data sets: `root` if given, else $LTHSWEEP_DATA, else ~/data."""
    if root is not None:
        return Path(root).expanduser()
    from_environment = os.environ.get("LTHSWEEP_DATA")
    return Path(from_environment).expanduser() if from_environment else Path.home() / "data"


@dataclass(frozen=True)
class Files:
    """The files of one data set on this machine. A reader gets them as its first argument.

    Attributes:
        dataset: the entry of the data set.
        root: the data root.
    """

    dataset: Dataset
    root: Path

    def find(self, *names: str) -> Path | None:
        """Return the first of `names` that exists in any folder of the data set, or None."""
        for name in names:
            for folder in self.dataset.folders:
                candidate = self.root / folder / name
                if candidate.exists():
                    return candidate
        return None

    def find_published(self, published: PublishedFile) -> Path | None:
        """Return the published file, or the file or folder that it unpacks to, under any of its names."""
        return self.find(*published.names)

    def require(self, *names: str) -> Path:
        """Return the first of `names` that exists in a folder of the data set.

        Raises:
            MissingDataError: if none exists.
        """
        path = self.find(*names)
        if path is None:
            raise self.missing(*names)
        return path

    def watch(self, *paths: str | Path) -> None:
        """Make files a part of the data's identity that a C library opens by itself, such as HDF5.

        Files that Python code opens are watched without it.

        Raises:
            FileNotFoundError: if one does not exist.
        """
        for path in paths:
            with Path(path).open("rb"):  # seen by `lthsweep.data.opened_files`
                pass

    def missing(self, *names: str, hint: str = "") -> MissingDataError:
        """Return the error that lists the folders in which `names` were searched and the command that gets them.

        Args:
            names: file or folder names, the preferred ones first.
            hint: a sentence for the message, ending in "; ".
        """
        folders = ", ".join(str(self.root / folder) for folder in self.dataset.folders)
        published = ", ".join(file.urls[0] for file in self.dataset.files)
        return MissingDataError(
            f"{self.dataset.name} is not on this machine: no {' or '.join(names[:2])} in {folders}; {hint}"
            f"run `{prepare_command({'name': self.dataset.name})}` where there is a network, or set LTHSWEEP_DATA to "
            f"the folder that contains the files{f' (published at {published})' if published else ''}"
        )

    def at_path(self, path: str, wanted: str) -> Path:
        """Return the path of the user's own files.

        Args:
            path: the option `path`.
            wanted: what the path must point to, for the message.

        Raises:
            MissingDataError: if nothing exists there.
        """
        found = resolve_path(path, self.root)
        if not found.exists():
            other = self.root / path
            reason = f"{found} does not exist" if found == other else f"neither {found} nor {other} exists"
            raise MissingDataError(
                f"data.path = {path!r}: {reason}; set it to the path of {wanted}, or of a zip or tar of it"
            )
        return found


def resolve_path(path: str, root: Path) -> Path:
    """Return the absolute form of `path`: as written or, if nothing exists there, below the data root."""
    written = Path(path).expanduser()
    if not written.is_absolute() and not written.exists() and (root / written).exists():
        written = root / written
    return written.resolve()


def prepare_command(options: Mapping[str, object], verb: str = "prepare") -> str:
    """Return the command that prepares the data set of these options, or does something else with it."""
    name = str(options["name"]).partition("@")[
        0
    ]  # without the hash of a reader's source, which is added again
    command = f"lthsweep data {verb} {name}"
    entry = dataset(str(options["name"]))
    if is_library(entry.name) and "size" in options:
        command += f" --set data.size={options['size']}"
    if not entry.own_files:
        return command
    command += f" --path {shlex.quote(str(options.get('path', 'FOLDER')))}"
    for name, option in entry.options.items():
        if name == "size" and name in options:
            command += f" --size {options[name]}"
        elif options.get(name, option.default) != option.default:
            command += f" --set {shlex.quote(f'data.{name}={options[name]}')}"
    return command
