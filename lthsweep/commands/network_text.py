"""`plan --model`: a network with its parameters, and which of them are pruned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer
from rich.console import Console

from lthsweep.commands.console import simple_table

__all__ = ["print_network"]


def print_network(network: Mapping[str, Any]) -> None:
    """Print the description of a network, from `lthsweep.launch.trial_process.description`."""
    shape = " × ".join(map(str, network["input_shape"]))
    data = f"{network['data']}, {shape}, {network['classes']} classes"
    typer.echo(f"\nmodel {network['name']}, init {network['init']}: {data}")
    if library := network["library"]:
        typer.echo(f"{library['library']} {library['version']}, hash {library['hash'][:12]}")
    rows = network["parameters"]
    weights = sum(row["pruned"] for row in rows)
    typer.echo(
        f"{network['params']:,} parameters, {network['params_prunable']:,} of them prunable in {weights} weights; "
        f"{network['macs']:,} multiply-accumulates"
    )
    table = simple_table("parameter", "shape", "count", "pruned")
    for row in rows:
        table.add_row(row["name"], "×".join(map(str, row["shape"])), f"{row['count']:,}", _pruned(row))
    Console(width=200).print(table)
    for name, places in network["buffers"].items():
        typer.echo(f"buffer {name}: {'×'.join(map(str, places)) or 'a number'}")
    if network["uncounted"]:
        typer.echo(
            f"not in the multiply-accumulates, because no use was seen: {', '.join(network['uncounted'])}"
        )


def _pruned(row: Mapping[str, Any]) -> str:
    text = "yes" if row["pruned"] else f"no: {row['reason']}"
    if row["shared_with"]:
        text += f"; shared with {', '.join(row['shared_with'])}"
    return text if row["gradient"] else f"{text}; no gradient reaches it"
