"""Results from an older table, so that each record is read once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from lthsweep.reduce.run_result import PROVENANCE, RunResult
from lthsweep.reduce.table import TableFile
from lthsweep.store.metrics import METRICS, Metrics
from lthsweep.store.record import CURVE_DTYPE, LAYER_DTYPE

__all__ = ["results_in"]


def results_in(
    table: TableFile, digests: Mapping[str, str], planned: Collection[str]
) -> dict[str, RunResult]:
    """Return the results in a table, bit for bit those of its records.

    Args:
        table: an older table of the same schema.
        digests: key → sha256 of the record now on disk; rows made from another record are not used.
        planned: keys of the present plan. A run outside it, now or then, is read from its record: the table
            does not keep its manifest.
    """
    runs = table["runs"]
    curves, layers = table["curves"], table["layers"]
    curves_of, layers_of = dict(_blocks(curves["key"])), dict(_blocks(layers["key"]))
    metrics = {name: runs[name].tolist() for name in METRICS}
    provenance = {name: [value.decode() for value in runs[name].tolist()] for name in PROVENANCE}
    results = {}
    for i, (name, digest) in enumerate(zip(runs["key"].tolist(), runs["record"].tolist(), strict=True)):
        key = name.decode()
        if not digest or digests.get(key) != digest.decode() or not runs["in_plan"][i] or key not in planned:
            continue
        audit = int(runs["audit_ok"][i])
        results[key] = RunResult(
            key=key,
            kind=runs["kind"][i].decode(),
            outcome=runs["outcome"][i].decode(),
            digest=digest.decode(),
            metrics=Metrics(**{name: values[i] for name, values in metrics.items()}),
            provenance=tuple(provenance[name][i] for name in PROVENANCE),
            audit_ok=None if audit < 0 else bool(audit),
            curves=_columns(curves[curves_of.get(name, slice(0))], CURVE_DTYPE),
            layers=_columns(layers[layers_of.get(name, slice(0))], LAYER_DTYPE, {"name": "layer"}),
        )
    return results


def _blocks(keys: NDArray[np.bytes_]) -> Iterator[tuple[bytes, slice]]:
    """Yield (key, its rows): the rows of one run are contiguous."""
    if len(keys) == 0:
        return
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    for key, start, stop in zip(keys[starts].tolist(), starts, [*starts[1:], len(keys)], strict=True):
        yield key, slice(start, stop)


def _columns(
    rows: NDArray[np.void], dtype: np.dtype[np.void], renamed: Mapping[str, str] | None = None
) -> NDArray[np.void]:
    out = np.zeros(len(rows), dtype=dtype)
    for name in dtype.names or ():
        out[name] = rows[(renamed or {}).get(name, name)]
    return out
