"""The table of a network before and after pruning, for a terminal."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence

import pandas as pd
from rich.table import Table
from rich.text import Text

from lthsweep.report.axes import FrameRow, as_written
from lthsweep.report.numbers import DASH, as_float, count, percent, percent_left, size
from lthsweep.report.plain_table import add_axes, axis_cells, plain_table

__all__ = ["structure_table"]


def structure_table(structures: pd.DataFrame, *, limit: int | None = None) -> Table:
    """One row per grid point, grouped below a row of the dense runs that they share.

    "file" is the size of the network as it runs, "packed" that of the remaining weights with their mask; times are of a
    training epoch and of a pass over the test set; "layers" is the lowest and the highest sparsity of a layer.

    Args:
        structures: the frame `structures`; rows keep their order within a group.
        limit: grid points to show; a caption counts the others.
    """
    names = [str(name) for name in structures.columns]
    axes = [name for name in names[: names.index("method")] if name != "prune.method"]
    table = plain_table(
        "the network before and after pruning",
        rows=len(structures),
        limit=limit,
        shown_by="lthsweep query --table structures",
    )
    table.add_column("method", no_wrap=True)
    add_axes(table, axes)
    for heading in ("left %", *_MEASURES, "packed", "layers %"):
        table.add_column(heading, justify="right", no_wrap=True)
    cells = axis_cells(structures, axes)
    shown = as_written(structures).iloc[:limit].to_dict("records")
    before = [tuple(text(row, "_dense") for text in _MEASURES.values()) for row in shown]
    shown_dense: set[tuple[str, ...]] = set()
    for row, dense in sorted(zip(shown, before, strict=True), key=lambda pair: before.index(pair[1])):
        if dense not in shown_dense and any(cell != DASH for cell in dense):
            table.add_row("dense", *[""] * len(axes), "100.0", *dense, "", "")
        shown_dense.add(dense)
        control = "" if row["control"] in ("ticket", "") else f" {row['control']}"
        table.add_row(
            Text(f"{row['method']}{control}"),
            *cells(row),
            percent_left(row["weights_remaining"]),
            *(text(row, "") for text in _MEASURES.values()),
            size(row["bytes_sparse"]),
            _span(row["layer_sparsity"]),
        )
    return table


def _seconds(value: object) -> str:
    """A duration with three digits, in seconds or milliseconds."""
    number = as_float(value)
    if not math.isfinite(number):
        return DASH
    return f"{number:.3g} s" if number >= 1 else f"{1000 * number:.3g} ms"


def _reader(column: str, text: Callable[[object], str]) -> Callable[[FrameRow, str], str]:
    return lambda row, suffix: text(row[column + suffix])


def _loss(value: object) -> str:
    return DASH if math.isnan(as_float(value)) else f"{as_float(value):.3f}"


def _span(layers: object) -> str:
    """The range of the layers' sparsities in percent, from their JSON text."""
    found: Sequence[float] = list(json.loads(layers).values()) if isinstance(layers, str) and layers else []
    return f"{100 * min(found):.0f}–{100 * max(found):.0f}" if found else DASH


_MEASURES: Mapping[str, Callable[[FrameRow, str], str]] = {
    "accuracy": _reader("accuracy", percent),
    "loss": _reader("loss", _loss),
    "params": _reader("params", count),
    "MACs": _reader("macs", count),
    "file": _reader("bytes", size),
    "epoch": _reader("epoch_seconds", _seconds),
    "test": _reader("test_seconds", _seconds),
}
"""Heading → the text of a row's column with the suffix "" (the grid point) or "_dense" (its dense runs)."""
