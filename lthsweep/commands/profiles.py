"""`profiles`: list the site profiles for SLURM, or print one to copy."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console

from lthsweep.commands.console import simple_table
from lthsweep.commands.sources import JsonOption
from lthsweep.launch.slurm.sites.profile import profile_names, profile_text, read_profile

__all__ = ["profiles"]


def profiles(
    name: Annotated[
        str | None,
        typer.Argument(help="Check this profile, a name or a path, and print its file."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the site profiles for SLURM that are included, or print one."""
    if name is not None:
        read_profile(name)  # an invalid profile is an error, not output
        typer.echo(profile_text(name), nl=False)
        return
    known = {profile: read_profile(profile).about for profile in profile_names()}
    if as_json:
        listed = {
            profile: {"description": about.description, "date": about.date and about.date.isoformat()}
            for profile, about in known.items()
        }
        typer.echo(json.dumps(listed, indent=2))
        return
    table = simple_table()
    for profile, about in known.items():
        table.add_row(profile, about.description, f"as of {about.date}" if about.date else "")
    Console().print(table)
    typer.echo(
        '\nlthsweep profiles NAME > my-site.toml copies one; [slurm] profile = "./my-site.toml" uses it.'
    )
