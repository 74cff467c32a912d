"""`compare`: rank the values of an axis at each point of the grid, with tests of their differences."""

from __future__ import annotations

import json
import math
import sys
from typing import Annotated

import typer

from lthsweep.commands.console import echo_notes, plain_console, print_lines, print_rows
from lthsweep.commands.sources import CsvOption, JsonOption, TableArgument
from lthsweep.errors import QueryError

__all__ = ["compare"]


def compare(
    directory: TableArgument,
    axis: Annotated[str, typer.Option(help="The axis whose values are compared, for example model.init.")],
    metric: Annotated[str, typer.Option(help="A metric of a run, for example test_loss.")] = "test_accuracy",
    confidence: Annotated[
        float | None, typer.Option(help="Confidence of intervals and verdicts; default: as in the file.")
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            min=0.0, help="Differences up to this are ignored; default: the file's for accuracies, else 0."
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Show all values with intervals and p.")] = False,
    as_csv: CsvOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compare the values of one axis at every point of the grid, paired over seeds."""
    from lthsweep.api import load
    from lthsweep.report.comparison_table import (
        comparison_table,
        full_comparison_table,
        result_lines,
        settings_lines,
    )

    if as_csv and as_json:
        raise QueryError("--csv and --json cannot be combined; choose one")
    if confidence is not None and not 0 < confidence < 1:
        raise QueryError(f"--confidence must be in (0, 1), for example 0.95, not {confidence:g}")
    sweep = load(directory)
    echo_notes(sweep)
    if as_csv:
        frame = sweep.compare(axis, metric=metric, confidence=confidence, margin=margin)
        frame.to_csv(sys.stdout, index=False)
        return
    found = sweep.axis_comparison(axis, metric=metric, confidence=confidence, margin=margin)
    if as_json:
        settings = {name: value for name, value in vars(found).items() if name != "rows"}
        rows = [_without_nan(row) for row in found.records()]
        typer.echo(json.dumps({**settings, "test": "paired t, two-sided, Holm", "rows": rows}, indent=2))
        return
    console = plain_console()
    print_lines(console, *settings_lines(found, sweep.spec.sweep.name))
    print_rows(console, full_comparison_table(found) if every else comparison_table(found))
    print_lines(console, *result_lines(found))


def _without_nan(row: dict[str, object]) -> dict[str, object]:
    """A row with None in place of NaN, which JSON does not have."""
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()
    }
