"""A CSV file that lists the samples: the columns `path` and `label`, and if you like `split`."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath

from lthsweep.data.csv_table import Row, read_columns, read_rows
from lthsweep.data.file_tree import FileTree
from lthsweep.data.parts import PART_NAMES, Layout, part_named
from lthsweep.errors import DataError

__all__ = ["Listed", "is_path_list", "layout_of_list", "listed_samples"]


@dataclass(frozen=True)
class Listed:
    """One row of a list.

    Attributes:
        path: relative to the folder of the list, with "/".
        label: the class.
        part: "train", "test" or "val"; "" if the list has no column `split`.
        where: file and line.
    """

    path: str
    label: str
    part: str
    where: str

    @property
    def line(self) -> str:
        """The line, for messages that name the file already."""
        return self.where.rpartition(", ")[2]


def is_path_list(tree: FileTree, name: str) -> bool:
    """True for a CSV file with the columns `path` and `label`; not for one that cannot be read."""
    with contextlib.suppress(DataError):
        return {"path", "label"} <= set(read_columns(tree.read(name)))
    return False


def listed_samples(content: bytes, where: str) -> tuple[Listed, ...]:
    """Return the rows of a list in its order.

    Args:
        content: the CSV file.
        where: the file, for messages.

    Raises:
        DataError: if a row has no label, an unknown split, or a path that is absolute or leaves the folder of the list;
            or if a path occurs with two labels or in two parts.
    """
    first: dict[str, Listed] = {}
    rows = tuple(
        Listed(_relative(row), row.label, _part(row), row.where)
        for row in read_rows(content, where, ("path",), ("split",))
    )
    for row in rows:
        other = first.setdefault(row.path, row)
        if (other.label, other.part) != (row.label, row.part):
            raise DataError(
                f"{row.where}: {row.path!r} is {_described(row)}, but {_described(other)} in {other.line}; keep one "
                "of the two rows"
            )
    return rows


def layout_of_list(
    rows: Sequence[Listed], names: Mapping[str, str], suffixes: Sequence[str], list_name: str
) -> Layout:
    """Return the layout that a list gives.

    Args:
        rows: from `listed_samples`.
        names: path relative to the list → name of an existing file in the tree.
        suffixes: lower-case endings of the files that can be read.
        list_name: name of the list in the tree.

    Raises:
        DataError: if a listed file does not exist or has another ending, or there are no training samples.
    """
    once: dict[str, Listed] = {}
    repeated = [row for row in rows if once.setdefault(row.path, row) is not row]
    for row in rows:
        if row.path not in names:
            raise DataError(
                f"{row.where}: {row.path!r} does not exist{_ending(row.path, names)}; correct the path, which is "
                "relative to the folder of the list, or remove the row"
            )
        if not row.path.lower().endswith(tuple(suffixes)):
            raise DataError(
                f"{row.where}: {row.path!r} has none of the endings {', '.join(suffixes)}; convert the file or remove "
                "the row"
            )
    by_part = {
        part: sorted((row.label, names[row.path]) for row in once.values() if row.part == part)
        for part in ("", *PART_NAMES)
    }
    train = by_part[""] or by_part["train"]
    if not train:
        raise DataError(
            f"{rows[0].where.rpartition(', ')[0]} lists no sample with the split train; add some, or remove the column"
        )
    tested = "test" if by_part["test"] else "val"
    unused = {
        f"rows of {list_name} that repeat an earlier one": [f"{row.line}: {row.path}" for row in repeated],
        "listed for the split val, as there is the split test": [
            name for _, name in by_part["val"] if tested == "test"
        ],
    }
    return Layout(f"the list {list_name}", train, by_part[tested], unused, (list_name,), by_folder=False)


def _relative(row: Row) -> str:
    written = row.fields["path"].strip()
    path = PurePosixPath(written.replace("\\", "/"))  # as Windows writes it
    if not written or path.is_absolute() or PureWindowsPath(written).is_absolute() or ".." in path.parts:
        raise DataError(
            f"{row.where}: the path {written!r} is empty, absolute, or leads out of the folder of the list; write it "
            "relative to that folder"
        )
    return path.as_posix()


def _part(row: Row) -> str:
    if "split" not in row.fields:
        return ""
    part = part_named(row.fields["split"])
    if part is None:
        allowed = ", ".join(name for names in PART_NAMES.values() for name in names)
        raise DataError(f"{row.where}: the split {row.fields['split']!r} is unknown; write one of {allowed}")
    return part


def _described(row: Listed) -> str:
    return f"{row.label!r}" + (f" in {row.part}" if row.part else "")


def _ending(path: str, names: Collection[str]) -> str:
    near = next((name for name in names if name.rpartition(".")[0] == path), None)
    return f" without its ending ({near!r} does)" if near else ""
