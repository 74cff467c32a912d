"""The table of networks before and after pruning."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
from rich.console import Console

from lthsweep.report.structure_table import structure_table


def frame(**changes):
    both = {
        "accuracy": [0.91, 0.93],
        "loss": [0.25, 0.21],
        "params": [136_000.0, 272_474.0],
        "macs": [2.1e7, 4.08e7],
        "bytes": [560_000.0, 1_110_000.0],
        "epoch_seconds": [2.0, 4.0],
        "test_seconds": [0.05, 0.1],
    }
    columns = {
        "prune.method": ["filter", "magnitude"],
        "sparsity": [0.5, 0.5],
        "rewind_epoch": [1, 1],
        "method": ["filter", "magnitude"],
        "control": ["ticket", "ticket"],
        "n": [3, 3],
        "n_planned": [3, 3],
        "weights_remaining": [0.502, 0.5],
    }
    for name, values in both.items():
        columns[f"{name}_dense"] = [values[1]] * 2
        columns[name] = values
    columns["bytes_sparse"] = [570_000.0, 600_000.0]
    columns["layer_sparsity"] = ['{"a": 0.25, "b": 0.75}', '{"a": 0.1, "b": 0.6}']
    return pd.DataFrame({**columns, **changes})


def lines(table):
    out = io.StringIO()
    Console(file=out, width=160, color_system=None).print(table)
    return [line.split() for line in out.getvalue().splitlines()[3:] if line.strip()]


def test_the_dense_network_is_above_its_tickets():
    """Tickets of the same dense runs share its row."""
    dense, filters, weights = lines(structure_table(frame()))

    assert dense[:3] == ["dense", "100.0", "93.00"]
    assert filters[:5] == ["filter", "0.5", "1", "50.2", "91.00"]
    assert weights[0] == "magnitude"
    assert filters[-1] == "25–75"
    assert "136" in filters and "272" in weights


def test_each_dense_network_has_a_row():
    """Two models on one axis are two comparisons."""
    found = lines(structure_table(frame(params_dense=[2.2e6, 2.7e5])))

    assert [line[0] for line in found] == ["dense", "filter", "dense", "magnitude"]


def test_a_control_is_named():
    """A control has the structure of its ticket and other weights."""
    assert lines(structure_table(frame(control=["reinit", "ticket"])))[1][:2] == ["filter", "reinit"]


def test_unknown_values_are_dashes():
    """A point without a record is a row without a dense row above it."""
    unknown = {name: [np.nan, np.nan] for name in frame().columns if frame()[name].dtype == "float64"}

    found = lines(structure_table(frame(**{**unknown, "sparsity": [0.5, 0.5], "layer_sparsity": ["", ""]})))

    assert [line[0] for line in found] == ["filter", "magnitude"]
    assert found[0].count("–") == 10


def test_omitted_rows_are_counted():
    """Half a table must not look like a whole one."""
    out = io.StringIO()
    Console(file=out, width=160).print(structure_table(frame(), limit=1))

    assert "1 row more; `lthsweep query --table structures` shows them" in out.getvalue()
