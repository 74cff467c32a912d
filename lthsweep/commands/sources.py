"""The sweep that a command works on, from a TOML file, the name of a preset, or a sweep directory."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from lthsweep.data.availability import packed_samples, unavailable_reason, untrained_classes
from lthsweep.data.datasets import dataset
from lthsweep.data.entry import describe_data
from lthsweep.data.files import prepare_command
from lthsweep.data.lookup import last_source
from lthsweep.data.source import is_present
from lthsweep.errors import SpecError
from lthsweep.launch.data_sources import (
    check_unchanged,
    data_change,
    with_known_sources,
    with_prepared_sources,
)
from lthsweep.launch.disk_status import DiskStatus
from lthsweep.plan.data_tables import data_tables
from lthsweep.plan.expand import expand
from lthsweep.plan.rewind import RewindPoint
from lthsweep.plan.run import Plan, Recipe
from lthsweep.plan.steps import check_lengths
from lthsweep.spec import Spec, load_spec
from lthsweep.spec.names import folder_name
from lthsweep.store.layout import SweepDir
from lthsweep.wording import plural

__all__ = [
    "CacheOption",
    "CsvOption",
    "JsonOption",
    "OpenedSweep",
    "OutOption",
    "SetOption",
    "SourceArgument",
    "TableArgument",
    "changed_data",
    "damaged_records",
    "missing_data",
    "open_source",
    "pending_keys",
    "require_samples",
    "require_sweep",
    "table_alone",
    "unused_files",
    "with_prepared_data",
]

SourceArgument = Annotated[
    str, typer.Argument(metavar="SWEEP", help="A TOML file, the name of a preset, or a sweep directory.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override a key of the file, for example --set train.epochs=4."
    ),
]
OutOption = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="The sweep directory; default results/<name>.")
]
TableArgument = Annotated[Path, typer.Argument(metavar="SWEEP", help="A sweep directory or a table.h5.")]
CsvOption = Annotated[bool, typer.Option("--csv", help="Print CSV.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
CacheOption = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        metavar="DIR",
        help="Directory of packed data; default $LTHSWEEP_CACHE or ~/.cache/lthsweep/data.",
    ),
]


@dataclass(frozen=True)
class OpenedSweep:
    """A file, its plan, and its sweep directory, which might not exist yet."""

    spec: Spec
    plan: Plan
    sweep: SweepDir

    @property
    def shell_path(self) -> str:
        """The directory as an argument of a command that the user can copy."""
        return shlex.quote(str(self.sweep.path))


def open_source(
    given: str,
    *,
    overrides: Sequence[str] | None = None,
    out: Path | None = None,
    cache: Path | None = None,
    data_now: bool = False,
) -> OpenedSweep:
    """Read a file, a preset, or a directory, and expand its grid.

    Args:
        given: the argument of the command.
        overrides: settings above the file.
        out: the sweep directory; None for the default.
        cache: directory of packed data, None for the default.
        data_now: take the data as it is on this machine, not as the directory names it.

    Raises:
        SpecError: if it is none of these, or the file has errors.
    """
    if out is not None:
        _check_out(out)
    path = Path(given)
    if path.is_dir():
        sweep = SweepDir(path)
        if not sweep.sweep_toml.is_file():
            raise SpecError(
                f"{path} is not a sweep directory: it has no sweep.toml; `lthsweep run FILE --out "
                f"{shlex.quote(given)}` makes one"
            )
        if out is not None and out.resolve() != path.resolve():
            raise SpecError(f"{path} is itself a sweep directory; omit --out {out}, or give the TOML file")
        spec = load_spec(sweep.path, overrides or ())
    else:
        spec = load_spec(given, overrides or ())
        sweep = SweepDir(out or Path("results") / folder_name(spec.sweep.name))
    spec = with_known_sources(spec, sweep, cache, now=data_now)
    return OpenedSweep(spec, expand(spec), sweep)


def with_prepared_data(opened: OpenedSweep, cache: Path | None = None, *, new_data: bool) -> OpenedSweep:
    """Return a sweep with its data packed, and its keys final.

    Args:
        opened: from `open_source`.
        cache: directory of packed data, None for the default.
        new_data: accept data other than that of the records in the directory.

    Raises:
        MissingDataError, DataError, CodeError: if data cannot be prepared.
        ChangedDataError: if it is other data than that of the records, and `new_data` is False.
    """
    spec = with_prepared_sources(opened.spec, opened.sweep, cache)
    if not new_data:
        check_unchanged(spec, opened.sweep, cache)
    plan = opened.plan if spec == opened.spec else expand(spec)
    return OpenedSweep(spec, plan, opened.sweep)


def _check_out(out: Path) -> None:
    """Refuse a directory that holds other files."""
    if out.exists() and not out.is_dir():
        raise SpecError(f"--out {out} is a file; give a directory, which is created if missing")
    if out.is_dir() and not SweepDir(out).exists() and any(out.iterdir()):
        raise SpecError(f"--out {out} is not empty and not a sweep directory; give a new or an empty one")


def require_samples(opened: OpenedSweep, cache: Path | None = None) -> None:
    """Check that own data has enough samples to hold out and to train on, if it is packed on this machine.

    Data sets of known size are checked with the file; data that is not packed here is checked by the run.

    Args:
        opened: the sweep.
        cache: directory of packed data, None for the default.

    Raises:
        SpecError: if no samples are left to train on, or none of a class.
    """
    points = [RewindPoint.parse(written) for written in opened.spec.grid.rewind_epoch]
    for recipe in _recipes(opened):
        if dataset(recipe.dataset).n_train is None:
            check_lengths(recipe, points, packed_samples(recipe.data, cache=cache))
            _check_classes(recipe, cache)


def _check_classes(recipe: Recipe, cache: Path | None) -> None:
    untrained = untrained_classes(recipe.data, recipe.held_out, recipe.train_images, cache=cache)
    if untrained:
        raise SpecError(
            f"data.validation = {recipe.held_out}, data.train_images = {recipe.train_images}: no sample is left to "
            f"train class {untrained[0]!r} of {recipe.dataset} ({len(untrained)} of its classes); lower "
            "data.validation, raise data.train_images, or add samples"
        )


def missing_data(opened: OpenedSweep, cache: Path | None = None) -> tuple[str, ...]:
    """A line for each data set of the sweep that is not on this machine."""
    missing = [unavailable_reason(recipe.data, cache=cache) for recipe in _recipes(opened)]
    return tuple(f"data: {what}" for what in dict.fromkeys(missing) if what)


def changed_data(opened: OpenedSweep, cache: Path | None = None) -> tuple[str, ...]:
    """A line if the data is not that of the records in the directory."""
    change = data_change(opened.spec, opened.sweep, cache)
    return (f"data: the records in {opened.sweep.path} are of other data: {change}",) if change else ()


def pending_keys(opened: OpenedSweep, cache: Path | None = None) -> tuple[str, ...]:
    """A line for each data set that was not read yet, or changed since, so that keys can change."""
    lines = []
    for data in opened.plan.pending_data:
        last = last_source(data, None, cache)
        state = "changed since it was read" if last and is_present(last) else "is not packed yet"
        lines.append(
            f"data: {describe_data(data)} {state}, so the keys are not final; `{prepare_command(data)}` packs it"
        )
    return tuple(lines)


def unused_files(opened: OpenedSweep, cache: Path | None = None) -> tuple[str, ...]:
    """A line for each data set with files or rows that were found and not used."""
    counts = {
        name: (table, sum(notice.count for notice in found.report.unused))
        for name, table in data_tables(opened.spec).items()
        if (found := last_source(table, None, cache)) is not None
    }
    return tuple(
        f"data: {plural(count, 'file')} or rows of {name} not used; `{prepare_command(table)}` lists them"
        for name, (table, count) in counts.items()
        if count
    )


def _recipes(opened: OpenedSweep) -> list[Recipe]:
    """Each recipe once; seeds share it."""
    return list({id(run.recipe): run.recipe for run in opened.plan.dense}.values())


def table_alone(opened: OpenedSweep) -> tuple[str, ...]:
    """A line for a directory that holds a copied table without its records; runs then count as missing."""
    if not opened.sweep.is_table_alone():
        return ()
    path = opened.sweep.path
    return (f"{path} holds a table but no records: `lthsweep query {opened.shell_path}` reads its results",)


def damaged_records(opened: OpenedSweep, found: DiskStatus) -> tuple[str, ...]:
    """Lines about damaged records: their runs, and the command that repairs them."""
    if not found.damaged:
        return ()
    path, runs = opened.shell_path, opened.plan.runs
    lines = [
        f"  {key}: {runs[key].describe() if key in runs else 'a run of another grid or recipe'}"
        for key in found.damaged
    ]
    return (
        f"{plural(len(found.damaged), 'damaged record')}: their numbers are left out, and so are comparisons with them",
        *lines,
        f"  `lthsweep doctor {path} --quarantine; lthsweep run {path}` moves them away and trains these runs again",
    )


def require_sweep(opened: OpenedSweep) -> None:
    """Check that the sweep was run before.

    Raises:
        SpecError: if it has no directory yet.
    """
    if not opened.sweep.exists() and not opened.sweep.table.is_file():
        raise SpecError(f"there is no sweep at {opened.sweep.path}; start it with `lthsweep run`")
