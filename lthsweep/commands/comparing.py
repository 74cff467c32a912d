"""`compare`: which value of an axis is best at each point of the grid, and is the difference more than noise."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from lthsweep.commands.display import plain_console
from lthsweep.commands.sources import JsonOption
from lthsweep.errors import QueryError, UnknownNameError

__all__ = ["compare"]

_FAMILIES = ("table", "point")


def compare(
    directory: Annotated[Path, typer.Argument(metavar="SWEEP", help="A sweep directory or a table.h5.")],
    axis: Annotated[
        str, typer.Option(help="The axis whose values are compared, e.g. model.init or prune.method.")
    ],
    metric: Annotated[str, typer.Option(help="A metric of a run, e.g. test_loss.")] = "test_accuracy",
    confidence: Annotated[
        float | None, typer.Option(help="Of the intervals and of the verdicts; default the file's.")
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            min=0.0, help="A difference that does not matter; default the file's for accuracies, else 0."
        ),
    ] = None,
    family: Annotated[
        str, typer.Option(help="Correct for all pairs of the table, or of each point alone: table or point.")
    ] = "table",
    every: Annotated[bool, typer.Option("--all", help="Show every value with interval and p.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare the values of one axis at every point of the grid, paired over seeds."""
    from lthsweep.api import load
    from lthsweep.report.standings import answer_lines, every_row, how_lines, standings_table

    if as_csv and as_json:
        raise QueryError("--csv and --json cannot be combined; choose one")
    if family not in _FAMILIES:
        raise UnknownNameError.of("--family", family, known=_FAMILIES)
    if confidence is not None and not 0 < confidence < 1:
        raise QueryError(f"--confidence {confidence:g} is no confidence; write 0.95 for 95 %")
    sweep = load(directory)
    asked: dict[str, Any] = {"metric": metric, "confidence": confidence, "margin": margin, "family": family}
    if as_csv:
        sweep.compare(axis, **asked).to_csv(sys.stdout, index=False)
        return
    found = sweep.contrast(axis, **asked)
    if as_json:
        told = {name: value for name, value in vars(found).items() if name != "rows"}
        typer.echo(
            json.dumps({**told, "test": "paired t, two-sided, Holm", "rows": _plain(found.rows)}, indent=2)
        )
        return
    console = plain_console()
    for line in how_lines(found, sweep.spec.sweep.name):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    table = every_row(found) if every else standings_table(found)
    if console.is_terminal:
        console.print(table)
    else:  # a pipe has no width
        Console(width=100_000).print(table)
    for line in answer_lines(found):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _plain(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """JSON has no NaN."""
    return [
        {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in row.items()
        }
        for row in rows
    ]
