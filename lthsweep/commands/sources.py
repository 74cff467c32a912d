"""What a command is pointed at: a TOML file, a preset's name, or a sweep directory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from lthsweep.data.at_hand import packed_samples, what_is_missing
from lthsweep.data.registry import DATASETS
from lthsweep.errors import SpecError
from lthsweep.plan.expand import expand
from lthsweep.plan.rewind import RewindPoint
from lthsweep.plan.run import Plan, Recipe
from lthsweep.plan.steps import check_lengths
from lthsweep.spec import Spec, load_spec
from lthsweep.store.layout import SweepDir

__all__ = [
    "CacheOption",
    "JsonOption",
    "OutOption",
    "SetOption",
    "Source",
    "SourceArgument",
    "missing_data",
    "open_source",
    "require_samples",
    "require_sweep",
    "table_alone",
]

SourceArgument = Annotated[
    str, typer.Argument(metavar="SWEEP", help="A TOML file, a preset's name, or a sweep directory.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the file, e.g. --set train.epochs=4."),
]
OutOption = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="The sweep directory; default results/<name>.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
CacheOption = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        metavar="DIR",
        help="Folder of packed data; default $LTHSWEEP_CACHE or ~/.cache/lthsweep/data.",
    ),
]


@dataclass(frozen=True)
class Source:
    """A file with its plan, and the sweep directory that belongs to it (which may not exist yet)."""

    spec: Spec
    plan: Plan
    sweep: SweepDir


def open_source(given: str, *, overrides: Sequence[str] | None = None, out: Path | None = None) -> Source:
    """Read a file, preset or directory and expand its grid.

    Raises:
        SpecError: if it is none of these, or something in the file is wrong.
    """
    if out is not None:
        _check_out(out)
    path = Path(given)
    if path.is_dir():
        sweep = SweepDir(path)
        if not sweep.sweep_toml.is_file():
            raise SpecError(
                f"{path} is no sweep directory: it has no sweep.toml; `lthsweep run FILE --out {path}`"
            )
        if out is not None and out.resolve() != path.resolve():
            raise SpecError(
                f"{path} is a sweep directory itself; leave --out {out} away, or give the TOML file"
            )
        spec = load_spec(sweep.sweep_toml, overrides or ())
        return Source(spec, expand(spec), sweep)
    spec = load_spec(given, overrides or ())
    return Source(spec, expand(spec), SweepDir(out or Path("results") / spec.sweep.name))


def _check_out(out: Path) -> None:
    """Refuse a place where a sweep would mix with other things."""
    if out.exists() and not out.is_dir():
        raise SpecError(f"--out {out} is a file; name a directory, which is made if it is not there")
    if out.is_dir() and not SweepDir(out).exists() and any(out.iterdir()):
        raise SpecError(f"--out {out} is not empty and no sweep directory; name one of its own")


def require_samples(source: Source, cache: Path | None = None) -> None:
    """Refuse to hold out or to train on more of the user's own data than there is, if it is packed here.

    A data set of known size was checked with the file. What is not packed here is for the run to find out.

    Args:
        source: the sweep.
        cache: folder of packed data, None for the default.

    Raises:
        SpecError: if nothing is left to train on, or to train.
    """
    points = [RewindPoint.parse(written) for written in source.spec.grid.rewind_epoch]
    for recipe in _recipes(source):
        if DATASETS[recipe.data["name"]].n_train is None:
            check_lengths(recipe, points, packed_samples(recipe.data, cache=cache))


def missing_data(source: Source, cache: Path | None = None) -> tuple[str, ...]:
    """A line for each data set of the sweep that a run would not find here."""
    lacking = [what_is_missing(recipe.data, cache=cache) for recipe in _recipes(source)]
    return tuple(f"data: {what}" for what in dict.fromkeys(lacking) if what)


def _recipes(source: Source) -> list[Recipe]:
    """Each once: seeds share theirs."""
    return list({id(run.recipe): run.recipe for run in source.plan.dense}.values())


def table_alone(source: Source) -> tuple[str, ...]:
    """A line about results that were copied without their records: what is said of runs is not about those."""
    if not source.sweep.is_table_alone():
        return ()
    path = source.sweep.path
    return (f"{path} holds a table and no records: `lthsweep query {path}` reads what was done there",)


def require_sweep(source: Source) -> None:
    """Refuse a sweep that was never run.

    Raises:
        SpecError: if there is no directory with results yet.
    """
    if not source.sweep.exists() and not source.sweep.table.is_file():
        raise SpecError(f"there is no sweep at {source.sweep.path} yet; `lthsweep run` makes it")
