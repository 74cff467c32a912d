"""Consoles, and lines and tables that survive a pipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from lthsweep.api import Sweep

__all__ = ["echo_notes", "plain_console", "print_lines", "print_rows", "simple_table"]


def plain_console(*, quiet: bool = False, lines: bool = False) -> Console:
    """A console on standard output; a pipe or a file gets lines of 120 columns.

    Args:
        quiet: print nothing.
        lines: print lines even on a terminal. Open MPI gives its ranks one although their output is forwarded.
    """
    console = Console(quiet=quiet)
    if console.is_terminal and not lines:
        return console
    return Console(quiet=quiet, width=120, force_terminal=False)


def print_lines(console: Console, *lines: str) -> None:
    """Print lines as they are: not wrapped, and without markup or colors."""
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def print_rows(console: Console, table: Table) -> None:
    """Print a table in full width: a pipe or a file has no width to wrap at."""
    (console if console.is_terminal else Console(width=100_000)).print(table)


def echo_notes(sweep: Sweep) -> None:
    """Print to standard error which runs are set aside, so that rows on standard output stay rows."""
    for note in sweep.notes:
        typer.echo(note, err=True)


def simple_table(*headings: str) -> Table:
    """An empty table without lines; without headings, only its rows are printed."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=bool(headings))
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table
