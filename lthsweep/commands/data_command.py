"""`data list`, `data prepare`, `data verify`: data sets on disk, packed once for all workers."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lthsweep.commands.console import simple_table
from lthsweep.commands.prepared import notice_line, prepared_json, prepared_lines
from lthsweep.commands.sources import CacheOption, JsonOption, SetOption
from lthsweep.data.availability import list_datasets, verify_dataset
from lthsweep.data.cache import prepare as prepare_pack
from lthsweep.data.datasets import DATASETS, dataset
from lthsweep.data.lookup import last_source
from lthsweep.data.packed import Packed, is_intact
from lthsweep.data.source import Report
from lthsweep.errors import DataError, UnknownNameError
from lthsweep.presets import preset_names
from lthsweep.spec import load_spec, spec_of
from lthsweep.usercode import is_code, is_library, pinned

__all__ = ["app"]

app = typer.Typer(help="List, download, pack, and verify data sets.", no_args_is_help=True)

NameArgument = Annotated[
    str,
    typer.Argument(metavar="NAME", help="A data set, or a TOML file or preset that names one."),
]
RootOption = Annotated[
    Path | None,
    typer.Option("--root", help="Directory of the original files; default $LTHSWEEP_DATA or ~/data."),
]
PathOption = Annotated[
    Path | None, typer.Option("--path", help="For your own data: its folder, archive, or CSV file.")
]
SizeOption = Annotated[
    int | None, typer.Option("--size", help="For digits and image_folder: pixels per side.")
]


@app.command("list")
def list_(root: RootOption = None, cache: CacheOption = None, as_json: JsonOption = False) -> None:
    """List the data sets: which are on this machine, which are packed, and how to get the others."""
    rows = list_datasets(root, cache)
    if as_json:
        typer.echo(json.dumps([asdict(row) for row in rows], indent=2))
        return
    where = "files or pack, or the command that gets it"
    table = simple_table("name", "classes", "shape", "train", "test", "state", where)
    for row in rows:
        shape = "×".join(map(str, row.shape)) if row.shape else "any"
        numbers = (row.classes, row.n_train, row.n_test)
        classes, train, test = ("any" if number is None else str(number) for number in numbers)
        table.add_row(row.name, classes, shape, train, test, row.state, row.path or row.command or row.where)
    Console().print(table)


@app.command()
def prepare(
    name: NameArgument,
    root: RootOption = None,
    cache: CacheOption = None,
    path: PathOption = None,
    size: SizeOption = None,
    overrides: SetOption = None,
    download: Annotated[
        bool, typer.Option("--download/--no-download", help="Download missing files from the original host.")
    ] = True,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse data with any file or row that is not used.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Find or download a data set, check it, and pack it for fast reading. Safe to run concurrently.

    Prints the classes with their counts, everything that was found and not used, and why.
    """
    options = _options(name, path, size, overrides)
    packed = prepare_pack(options, root=root, cache=cache, download=download)
    if not is_intact(packed):
        typer.echo(f"the pack in {packed.folder} was damaged, and is made again", err=True)
        shutil.rmtree(packed.folder)
        packed = prepare_pack(options, root=root, cache=cache, download=download)
    source = last_source(options, root, cache)
    report = source.report if source else Report()
    if as_json:
        typer.echo(json.dumps(prepared_json(packed, report), indent=2))
    else:
        typer.echo(
            f"{packed.name}: {len(packed.train_labels):,} training and {len(packed.test_labels):,} test "
            f"{_samples(packed)}, "
            f"{len(packed.class_names)} classes, fingerprint {packed.fingerprint[:16]}"
        )
        for line in prepared_lines(packed, report):
            typer.echo(line)
    if strict and report.unused:
        found = "; ".join(notice_line(notice) for notice in report.unused)
        raise DataError(
            f"--strict: not everything is used: {found}; remove these, or prepare without --strict"
        )


@app.command()
def verify(
    name: NameArgument,
    root: RootOption = None,
    cache: CacheOption = None,
    path: PathOption = None,
    size: SizeOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the files with their published checksums, and the pack with its fingerprint."""
    checks = verify_dataset(_options(name, path, size, overrides), root, cache)
    if as_json:
        typer.echo(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        for check in checks:
            typer.echo(f"{check.verdict:9}  {check.what}  {check.where}  {check.detail}".rstrip())
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


def _samples(packed: Packed) -> str:
    samples = dataset(packed.name).samples
    if packed.vocabulary:
        return f"{samples} of {packed.shape[0]} tokens, vocabulary of {len(packed.vocabulary):,}"
    channels, height, width = packed.shape
    return f"{samples} of {height}×{width}×{channels}"


def _options(
    name: str, path: Path | None, size: int | None, overrides: list[str] | None
) -> dict[str, object]:
    """The checked `data` table of a file or preset, or of a named data set with the given options."""
    if is_code(name):
        name = pinned(name)
    elif name not in DATASETS and not is_library(name):
        if name not in preset_names() and not Path(name).exists() and Path(name).suffix != ".toml":
            raise UnknownNameError.of("data set or preset", name, known=[*DATASETS, *preset_names()])
        return load_spec(name, overrides or ()).sweep.data.model_dump(mode="json")
    data = (
        {"name": name}
        | ({} if path is None else {"path": str(path)})
        | ({} if size is None else {"size": size})
    )
    # Checked as part of a file, for the same defaults and errors.
    model = "text_cnn" if dataset(name).gives == "texts" else "lenet_300_100"
    tables = {"sweep": {"model": {"name": model}, "data": data}, "grid": {"sparsity": [0.5]}}
    return spec_of(tables, overrides or ()).sweep.data.model_dump(mode="json")
