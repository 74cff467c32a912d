"""The command line: registers the commands of `lthsweep.commands` and turns errors into exit codes.

Exit codes: 0 all done, 1 something failed (named), 2 bad input and nothing written, 3 incomplete.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import version as package_version
from typing import Annotated

import typer

from lthsweep.commands import (
    cluster,
    comparing,
    data_command,
    doctor,
    logs,
    planning,
    profiles,
    running,
    status,
    tables,
)
from lthsweep.errors import LthsweepError

__all__ = ["app", "main"]

app = typer.Typer(
    name="lthsweep",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(planning.init)
app.command()(planning.presets)
app.command()(profiles.profiles)
app.command()(planning.plan)
app.command()(running.run)
app.command()(status.status)
app.command()(logs.logs)
app.command()(cluster.cancel)
app.command()(tables.merge)
app.command()(tables.query)
app.command()(comparing.compare)
app.command()(tables.report)
app.add_typer(data_command.app, name="data")
app.command()(doctor.doctor)
app.command(hidden=True)(cluster.controller)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(package_version("lthsweep"))
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Sweeps for the Lottery Ticket Hypothesis: one TOML file in, one winning-ticket table out."""


def main() -> None:
    """Run the command line; errors of this package become a message and an exit code."""
    try:
        app()
    except LthsweepError as error:
        print(f"lthsweep: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:  # outside the block in which `run` handles it
        sys.exit(130)
    except BrokenPipeError:  # `lthsweep query … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


if __name__ == "__main__":
    main()
