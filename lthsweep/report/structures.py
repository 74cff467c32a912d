"""Before and after pruning on a terminal: a row of the dense network, then what pruning made of it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
from rich import box
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from lthsweep.report.axes import canonical, labels
from lthsweep.report.numbers import DASH, as_float, count, percent, plural, size

__all__ = ["structure_table"]


def structure_table(structures: pd.DataFrame, *, limit: int | None = None) -> Table:
    """One row per grid point; those of the same dense runs stand together, below a row of these.

    "file" is the network as it runs, "packed" the file of its survivors with their mask; times are those of a training
    epoch and of a pass over the test set; "layers" is the lowest and the highest sparsity of a layer.

    Args:
        structures: the frame of that name, otherwise shown in its order.
        limit: grid points to show; a caption says how many were left out.
    """
    names = [str(name) for name in structures.columns]
    axes = [name for name in names[: names.index("method")] if name != "prune.method"]
    left_out = 0 if limit is None else max(len(structures) - limit, 0)
    table = Table(
        title="the network before and after pruning",
        title_justify="left",
        caption=f"{plural(left_out, 'row')} more; `lthsweep query --table structures` shows them"
        if left_out
        else None,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("method", no_wrap=True)
    for axis in axes:
        table.add_column("k" if axis == "rewind_epoch" else escape(axis.rpartition(".")[2]), justify="right")
    for heading in ("left %", *_MEASURES, "packed", "layers %"):
        table.add_column(heading, justify="right", no_wrap=True)
    short = {axis: labels(canonical(value) for value in structures[axis]) for axis in axes}
    shown = structures.iloc[: len(structures) - left_out].to_dict("records")
    before = [tuple(text(row, "_dense") for text in _MEASURES.values()) for row in shown]
    told: set[tuple[str, ...]] = set()
    for row, dense in sorted(zip(shown, before, strict=True), key=lambda pair: before.index(pair[1])):
        if dense not in told and any(cell != DASH for cell in dense):
            table.add_row("dense", *[""] * len(axes), "100.0", *dense, "", "")
        told.add(dense)
        control = "" if row["control"] in ("ticket", "") else f" {row['control']}"
        table.add_row(
            Text(f"{row['method']}{control}"),
            *(Text(short[axis][canonical(row[axis])]) for axis in axes),
            percent(row["weights_remaining"], 1),
            *(text(row, "") for text in _MEASURES.values()),
            size(row["bytes_sparse"]),
            _span(row["layer_sparsity"]),
        )
    return table


def _seconds(value: Any) -> str:
    """Three digits, in seconds or milliseconds."""
    number = as_float(value)
    if not math.isfinite(number):
        return DASH
    return f"{number:.3g} s" if number >= 1 else f"{1000 * number:.3g} ms"


def _reader(column: str, text: Callable[[Any], str]) -> Callable[[Mapping[Any, Any], str], str]:
    return lambda row, suffix: text(row[column + suffix])


def _loss(value: Any) -> str:
    return DASH if math.isnan(as_float(value)) else f"{as_float(value):.3f}"


def _span(layers: Any) -> str:
    """The lowest and the highest sparsity of a layer, in percent."""
    found: Sequence[float] = list(json.loads(layers).values()) if isinstance(layers, str) and layers else []
    return f"{100 * min(found):.0f}–{100 * max(found):.0f}" if found else DASH


_MEASURES: Mapping[str, Callable[[Mapping[Any, Any], str], str]] = {
    "accuracy": _reader("accuracy", percent),
    "loss": _reader("loss", _loss),
    "params": _reader("params", count),
    "MACs": _reader("macs", count),
    "file": _reader("bytes", size),
    "epoch": _reader("epoch_seconds", _seconds),
    "test": _reader("test_seconds", _seconds),
}
"""Heading → the cell of a row, of the grid point ("") or of its dense runs ("_dense")."""
