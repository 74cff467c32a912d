"""Rows of /curves and /layers: the epochs of each training, and the layers of each network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import h5py
import numpy as np
from numpy.typing import NDArray

from lthsweep.reduce.columns import ColumnInfo, text
from lthsweep.reduce.run_result import RunResult
from lthsweep.store.record import CURVE_DTYPE, LAYER_DTYPE

__all__ = ["CURVE_COLUMNS", "LAYER_COLUMNS", "curve_rows", "layer_rows"]

CURVE_COLUMNS = (
    ColumnInfo("key", "of the run"),
    ColumnInfo("epoch", "epochs completed since initialization: a ticket rewound to epoch 2 starts at 3"),
    ColumnInfo("step", "steps since initialization"),
    ColumnInfo("train_loss", "training loss over the epoch"),
    ColumnInfo("train_accuracy", "training accuracy over the epoch"),
    ColumnInfo("val_loss", "validation loss after the epoch"),
    ColumnInfo("val_accuracy", "validation accuracy after the epoch"),
    ColumnInfo("lr", "learning rate of the last step of the epoch"),
    ColumnInfo("seconds", "seconds of training and validation of the epoch"),
)

LAYER_COLUMNS = (
    ColumnInfo("key", "of the run"),
    ColumnInfo("layer", "name of the weight, such as `features.0.0.weight`"),
    ColumnInfo("size", "number of weights"),
    ColumnInfo("remaining", "number of remaining weights"),
    ColumnInfo("sparsity", "fraction removed in this layer"),
    ColumnInfo("dead", "true if no weight remains"),
)


def curve_rows(keys: Sequence[str], results: Mapping[str, RunResult]) -> NDArray[np.void]:
    """Return one row per recorded epoch of each run, in the order of `keys`: key, then a record's columns."""
    recorded = [key for key in keys if key in results]
    return _stacked(recorded, [results[key].curves for key in recorded], CURVE_DTYPE, {})


def layer_rows(keys: Sequence[str], results: Mapping[str, RunResult]) -> NDArray[np.void]:
    """Return one row per prunable weight of each run, in the order of `keys` and of the model.

    Columns: key, layer (name of the weight), size, remaining (weights), sparsity, dead.
    """
    recorded = [key for key in keys if key in results]
    parts = [results[key].layers for key in recorded]
    blocks = {part["name"].tobytes(): part["name"] for part in parts}  # few models, many records
    width = max((len(name) for names in blocks.values() for name in names.tolist()), default=1)
    names = h5py.string_dtype("utf-8", max(width, 1))
    kept = np.dtype([(name, LAYER_DTYPE[name]) for name in LAYER_DTYPE.names or () if name != "name"])
    return _stacked(recorded, parts, kept, {"layer": ("name", names)})


def _stacked(
    keys: Sequence[str],
    parts: Sequence[NDArray[np.void]],
    columns: np.dtype[np.void],
    renamed: Mapping[str, tuple[str, np.dtype[np.bytes_]]],
) -> NDArray[np.void]:
    """Concatenate the rows of many records behind their key.

    Args:
        keys: of the records, in the order of the rows.
        parts: one per key.
        columns: taken over as they are.
        renamed: new name → (name in the parts, new type), put between the key and the others.
    """
    key_column = text(keys)
    dtype = np.dtype(
        [
            ("key", key_column.dtype),
            *((new, kind) for new, (_, kind) in renamed.items()),
            *((name, columns[name]) for name in columns.names or ()),
        ]
    )
    sources = {new: old for new, (old, _) in renamed.items()} | {name: name for name in columns.names or ()}
    lengths = [len(part) for part in parts]
    out = np.zeros(sum(lengths), dtype=dtype)
    out["key"] = np.repeat(key_column, lengths)
    start = 0
    for part, length in zip(parts, lengths, strict=True):
        rows = out[start : start + length]
        for new, old in sources.items():
            rows[new] = part[old]
        start += length
    return out
