"""`merge`, `query`, `report`: from records to tables, rows, and figures.

pandas, scipy, DuckDB, and matplotlib are imported by the functions that use them, so that other commands start half a
second sooner.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from lthsweep.commands import EXIT_FAILED, EXIT_INCOMPLETE
from lthsweep.commands.console import echo_notes, plain_console, print_lines, print_rows
from lthsweep.commands.sources import (
    CsvOption,
    JsonOption,
    OpenedSweep,
    OutOption,
    SetOption,
    SourceArgument,
    TableArgument,
    damaged_records,
    open_source,
    require_sweep,
)
from lthsweep.errors import QueryError, StoreError
from lthsweep.launch.data_sources import other_data_here
from lthsweep.launch.disk_status import read_disk_status
from lthsweep.reduce.directory_pool import read_pool
from lthsweep.spec import dump_spec
from lthsweep.store.layout import SweepDir

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pandas as pd

    from lthsweep.api import Sweep
    from lthsweep.report.content import ReportInput

__all__ = ["merge", "print_table", "query", "report", "report_input"]

_SHOWN = 40


def merge(
    source: SourceArgument,
    overrides: SetOption = None,
    out: OutOption = None,
    full: Annotated[bool, typer.Option("--full", help="Read and hash all records again.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Do not print the table.")] = False,
) -> None:
    """Merge all records into table.h5 and print the winning-ticket table. Safe while runs are training."""
    from lthsweep.reduce.merge import merge as merge_records

    opened = open_source(source, overrides=overrides, out=out)
    require_sweep(opened)
    path = merge_records(opened.sweep, opened.plan, full=full)
    if not quiet:
        print_table(opened.sweep.path, plain_console())
    typer.echo(str(path))
    found = read_disk_status(opened.plan, opened.sweep)
    apart = read_pool(opened.plan, opened.sweep)
    notes = (*apart.notes(opened.shell_path), *damaged_records(opened, found), *other_data_here(opened.spec))
    for line in notes:
        typer.echo(line, err=True)
    if not found.is_complete:
        typer.echo(f"incomplete: {len(found.done)} of {len(opened.plan.runs)} runs have a record", err=True)
    if found.damaged:
        raise typer.Exit(EXIT_FAILED)
    if not found.is_complete or apart.pool.keys:
        raise typer.Exit(EXIT_INCOMPLETE)


def query(
    directory: TableArgument,
    where: Annotated[
        str | None,
        typer.Argument(help="A condition, for example \"sparsity >= 0.8 and verdict = 'matching'\"."),
    ] = None,
    sort: Annotated[str | None, typer.Option(help="Columns to sort by; -name for descending.")] = None,
    columns: Annotated[str | None, typer.Option(help="Columns to show, separated by commas.")] = None,
    table: Annotated[
        str, typer.Option(help="tickets, controls, structures, runs, curves, or layers.")
    ] = "tickets",
    statement: Annotated[
        str | None,
        typer.Option("--sql", help="A SELECT over these six tables."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=0, help="Print at most this many rows.")] = None,
    as_csv: CsvOption = False,
    as_json: JsonOption = False,
) -> None:
    """Print rows of a sweep's tables that satisfy a condition."""
    from lthsweep.api import load

    if as_csv and as_json:
        raise QueryError("--csv and --json cannot be combined; choose one")
    sweep = load(directory)
    echo_notes(sweep)
    if statement is not None:
        if where or sort or columns:
            raise QueryError("--sql takes no condition, --sort, or --columns; write them into the SELECT")
        found = sweep.sql(statement)
    else:
        found = sweep.query(where, sort=sort, columns=columns, table=table)
    omitted = 0 if limit is None else max(0, len(found) - limit)
    found = found if limit is None else found.head(limit)
    if as_json:
        typer.echo(found.to_json(orient="records", indent=2, double_precision=15))
    elif as_csv:
        found.to_csv(sys.stdout, index=False)
    elif statement is None and found.empty and not omitted:
        typer.echo(f"no rows: {_reason_for_no_rows(sweep, table, where)}")
    else:
        _print_frame(found, None if statement is not None or columns else table)
        if omitted:
            typer.echo(f"{omitted} more rows")


def report(
    source: SourceArgument,
    overrides: SetOption = None,
    out: OutOption = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to", metavar="DIR", help="Write page and figures here; default: the sweep directory."
        ),
    ] = None,
) -> None:
    """Draw the figures (PNG and SVG) and write report.html, a self-contained page."""
    from lthsweep.api import load
    from lthsweep.reduce.merge import merge as merge_records
    from lthsweep.report.write import write_report

    opened = open_source(source, overrides=overrides, out=out)
    require_sweep(opened)
    if opened.sweep.records.is_dir():
        if to is None:
            _writable(opened)
            merge_records(opened.sweep, opened.plan)
        for line in damaged_records(opened, read_disk_status(opened.plan, opened.sweep)):
            typer.echo(line, err=True)
    sweep = load(opened.sweep.path)
    echo_notes(sweep)
    written = write_report(SweepDir(opened.sweep.path if to is None else to), report_input(sweep))
    for path in written:
        typer.echo(str(path))


def _writable(opened: OpenedSweep) -> None:
    """Check that the directory can be written to.

    Raises:
        StoreError: otherwise; with the option that writes the report elsewhere.
    """
    if not os.access(opened.sweep.path, os.W_OK):
        raise StoreError(
            f"{opened.sweep.path} cannot be written to; `lthsweep report {opened.shell_path} --to DIR` writes the page "
            f"and the figures to another directory"
        )


def report_input(sweep: Sweep) -> ReportInput:
    """The input of a report, from the tables and the file of a sweep."""
    from lthsweep.report.content import ReportInput

    return ReportInput(
        name=sweep.spec.sweep.name,
        margin=sweep.spec.verdict.margin,
        confidence=sweep.spec.verdict.confidence,
        tickets=sweep.tickets,
        runs=sweep.runs,
        curves=sweep.curves,
        layers=sweep.layers,
        controls=sweep.controls,
        description=sweep.spec.sweep.description,
        folder=str(sweep.path),
        digest=sweep.records_sha256,
        spec_text=dump_spec(sweep.spec),
        notes=sweep.notes,
    )


def print_table(path: Path, console: Console) -> None:
    """Print the headline and the tables of a sweep directory."""
    from lthsweep.api import load
    from lthsweep.report.structure_table import structure_table
    from lthsweep.report.terminal import control_table, ticket_table

    sweep = load(path)
    _headline(sweep, console)
    console.print(ticket_table(sweep.tickets, limit=_SHOWN))
    if len(sweep.controls):
        console.print(control_table(sweep.controls, limit=_SHOWN))
    if len(sweep.structures):
        console.print(structure_table(sweep.structures, limit=_SHOWN))


def _headline(sweep: Sweep, console: Console) -> None:
    from lthsweep.report.terminal import headline

    lines = headline(
        sweep.tickets,
        name=sweep.spec.sweep.name,
        margin=sweep.spec.verdict.margin,
        confidence=sweep.spec.verdict.confidence,
        steps_per_epoch=float(sweep.runs["steps_per_epoch"].median()),
    )
    print_lines(console, *lines)


def _print_frame(found: pd.DataFrame, known: str | None) -> None:
    """Print rows: formatted if they are whole rows of the table `known`, else as plain values."""
    from lthsweep.report.structure_table import structure_table
    from lthsweep.report.terminal import control_table, ticket_table

    console = plain_console()
    shown: Mapping[str | None, Callable[[pd.DataFrame], Table]] = {
        "tickets": ticket_table,
        "controls": control_table,
        "structures": structure_table,
    }
    if known in shown:
        console.print(shown[known](found))
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in found.columns:
        table.add_column(str(column), justify="right" if found[column].dtype.kind in "if" else "left")
    for row in found.itertuples(index=False):
        table.add_row(*(_cell(value) for value in row))
    print_rows(console, table)


def _reason_for_no_rows(sweep: Sweep, table: str, where: str | None) -> str:
    from lthsweep.reduce.catalog import why_empty

    number = len(sweep.frames[table])
    return f"none of the {number} rows of {table} satisfy {where}" if number else why_empty(sweep.plan, table)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.6g}"
    return str(value)
