"""`profiles`: which clusters lthsweep knows, and the file of one to copy. Starts without torch."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from lthsweep.commands.sources import JsonOption
from lthsweep.launch.slurm.sites.profile import profile_names, profile_text, read_profile

__all__ = ["profiles"]


def profiles(
    name: Annotated[
        str | None,
        typer.Argument(help="Check this profile, which may be the path of your own, and print its file."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the site profiles for SLURM that come with lthsweep, or print the file of one."""
    if name is not None:
        read_profile(name)  # what it says is shown only if it could be used
        typer.echo(profile_text(name), nl=False)
        return
    known = {profile: read_profile(profile).about for profile in profile_names()}
    if as_json:
        told = {
            profile: {"description": about.description, "date": about.date and about.date.isoformat()}
            for profile, about in known.items()
        }
        typer.echo(json.dumps(told, indent=2))
        return
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for profile, about in known.items():
        table.add_row(profile, about.description, f"as of {about.date}" if about.date else "")
    Console().print(table)
    typer.echo(
        '\nlthsweep profiles NAME > my-site.toml copies one; [slurm] profile = "./my-site.toml" uses it.'
    )
