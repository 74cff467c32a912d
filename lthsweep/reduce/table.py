"""The schema of `table.h5`: seven compound datasets, built in memory, identical bytes for identical content.

No time, no host and no path is written that is not in a record. Format v110, gzip and fletcher32: readable by
h5dump since 1.10, and a flipped bit is an error instead of a number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from h5py import h5f, h5p
from numpy.typing import NDArray

from lthsweep.errors import CorruptRecordError, StoreError
from lthsweep.reduce.columns import Column, integer, number, table_array, text
from lthsweep.store.commit import read_whole

if TYPE_CHECKING:
    from lthsweep.reduce.frames import Frames

__all__ = ["SCHEMA", "TABLES", "SweepRow", "Table", "TableFile", "encode_table"]

SCHEMA = 5
"""Version of the layout. A new metric does not change it: `merge` remakes a table that lacks one."""

TABLES = ("tickets", "controls", "structures", "runs", "curves", "layers")
"""The tables for queries, in the order in which the page explains them."""

_SIGNATURE = b"\x89HDF\r\n\x1a\n"

_CHUNK_BYTES = 1 << 18
_MAX_BYTES = 1 << 34
"""Largest size that a table may declare: a small hostile file can declare terabytes."""


@dataclass(frozen=True)
class SweepRow:
    """The single row of /sweep: the sources of the table.

    Attributes:
        name: of the sweep.
        schema: see `SCHEMA`.
        records: number of records that were read.
        records_sha256: over the sorted keys and sha256 of the records: cite it, and readers can check the
            table.
        failures_sha256: over the failures shown in the table.
        margin, confidence: of the verdicts.
        toml: the file as resolved.
    """

    name: str
    schema: int
    records: int
    records_sha256: str
    failures_sha256: str
    margin: float
    confidence: float
    toml: str


_SWEEP_COLUMNS = [
    Column(
        field.name,
        "",
        {"str": text, "int": integer, "float": number}[str(field.type)],
        attrgetter(field.name),
    )
    for field in fields(SweepRow)
]


@dataclass(frozen=True)
class Table:
    """The tables as compound arrays by name, and the hash of their sources."""

    sweep: SweepRow
    tables: Mapping[str, NDArray[np.void]]

    def __getitem__(self, table: str) -> NDArray[np.void]:
        """Return the rows of one table."""
        return self.tables[table]

    @property
    def frames(self) -> Frames:
        """The tables as pandas frames, each made on first use."""
        return _frames(self.tables.__getitem__)


class TableFile:
    """A `table.h5` in memory: later reads stay consistent, even if the file is replaced meanwhile."""

    def __init__(self, path: Path) -> None:
        """Read the file and its /sweep.

        Raises:
            FileNotFoundError: if it does not exist.
            StoreError: if it is damaged, hostile, or of another schema.
        """
        self._path = path
        image = read_whole(path)
        if not image.startswith(_SIGNATURE):
            raise CorruptRecordError(
                f"{path} is not an HDF5 file; give a sweep directory or its table.h5. If it was a table, "
                f"`lthsweep merge` creates it again from the records"
            )
        try:
            self._file = h5py.File(h5f.open_file_image(image))
            known = "sweep" in self._file
        except (OSError, ValueError, RuntimeError) as error:  # the last one for a damaged list of names
            raise self._damaged(str(error)) from error
        if not known:
            raise StoreError(f"{path} is not a table of lthsweep; give a sweep directory or its table.h5")
        row = self["sweep"]
        names = tuple(field.name for field in fields(SweepRow))
        if len(row) != 1 or row.dtype.names != names or row["schema"][0] != SCHEMA:
            raise StoreError(
                f"{path} was made by another version of lthsweep; `lthsweep merge` creates it again"
            )
        self.sweep = SweepRow(**{name: _plain(row[name][0].item()) for name in names})

    def __getitem__(self, table: str) -> NDArray[np.void]:
        """Return the rows of one table, read from the image at each call."""
        try:
            dataset = _guarded(self._file, table)
            rows: NDArray[np.void] = dataset[()]
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise self._damaged(f"/{table}: {error}") from error
        return rows

    @property
    def frames(self) -> Frames:
        """The tables as pandas frames, each made on first use."""
        return _frames(self.__getitem__)

    def _damaged(self, reason: str) -> CorruptRecordError:
        return CorruptRecordError(
            f"{self._path} is damaged ({reason}); `lthsweep merge` creates it again from the records"
        )


def encode_table(table: Table) -> bytes:
    """Return the bytes of `table.h5`, a pure function of the rows."""
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_fapl_core(backing_store=False)
    access.set_libver_bounds(h5f.LIBVER_V110, h5f.LIBVER_V110)
    creation = h5p.create(h5p.FILE_CREATE)
    creation.set_obj_track_times(False)  # the root group would carry the time of day
    with h5py.File(h5f.create(b"table.h5", h5f.ACC_TRUNC, creation, access)) as file:
        for name in TABLES:
            _write(file, name, table.tables[name])
        _write(file, "sweep", table_array(_SWEEP_COLUMNS, [table.sweep]))
        file.flush()
        image: bytes = file.id.get_file_image()
    return image


def _frames(source: Callable[[str], NDArray[np.void]]) -> Frames:
    from lthsweep.reduce.frames import Frames  # pandas takes 0.3 s to import, and merging does not need it

    return Frames(TABLES, source)


def _write(file: h5py.File, name: str, rows: NDArray[np.void]) -> None:
    if len(rows) == 0:  # nothing to compress, and HDF5 refuses chunks larger than the data
        file.create_dataset(name, shape=(0,), dtype=rows.dtype)
        return
    chunk = max(1, min(len(rows), _CHUNK_BYTES // rows.dtype.itemsize))
    file.create_dataset(
        name,
        data=rows,
        dtype=rows.dtype,
        chunks=(chunk,),
        compression="gzip",
        compression_opts=4,
        shuffle=True,
        fletcher32=True,
    )


def _guarded(file: h5py.File, name: str) -> h5py.Dataset:
    """Return a dataset of this file: no link, no external storage, no absurd size."""
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise ValueError("is a link to elsewhere, or missing")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.names is None or dataset.ndim != 1:
        raise ValueError("is not a table")
    if dataset.external or dataset.is_virtual:
        raise ValueError("keeps its data elsewhere")
    if dataset.size * dataset.dtype.itemsize > _MAX_BYTES:
        raise ValueError("declares an absurd size")
    if any(dataset.dtype[field].kind not in "Sbif" for field in dataset.dtype.names):
        raise ValueError("has columns of a foreign type")
    return dataset


def _plain(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value
