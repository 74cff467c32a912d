"""`data list`, `data prepare`, `data verify`: data sets on disk, packed once for all workers."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from lthsweep.commands.sources import CacheOption, JsonOption, SetOption
from lthsweep.data.availability import list_datasets, verify_dataset
from lthsweep.data.cache import prepare as prepare_pack
from lthsweep.data.datasets import DATASETS, dataset
from lthsweep.data.packed import Packed
from lthsweep.errors import UnknownNameError
from lthsweep.presets import preset_names
from lthsweep.spec import load_spec, spec_of
from lthsweep.usercode import is_code, pinned

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
    Path | None, typer.Option("--path", help="For your own data: its folder, or a zip of it.")
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
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in (
        "name",
        "classes",
        "shape",
        "train",
        "test",
        "state",
        "where, or the command that gets it",
    ):
        table.add_column(heading, overflow="fold")
    for row in rows:
        shape = "×".join(str(side) for side in row.shape) if row.shape else "any"
        counts = (
            str(count) if count is not None else "any" for count in (row.classes, row.n_train, row.n_test)
        )
        classes, train, test = counts
        table.add_row(row.name, classes, shape, train, test, row.state, row.command or row.where)
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
) -> None:
    """Find or download a data set, check it, and pack it for fast reading. Safe to run concurrently."""
    packed = prepare_pack(_options(name, path, size, overrides), root=root, cache=cache, download=download)
    typer.echo(
        f"{packed.name}: {len(packed.train_labels):,} training and {len(packed.test_labels):,} test "
        f"{_samples(packed)}, "
        f"{len(packed.class_names)} classes, fingerprint {packed.fingerprint[:16]}"
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


def _options(name: str, path: Path | None, size: int | None, overrides: list[str] | None) -> dict[str, Any]:
    """The `data` table of a file or preset, or of a named data set with the given options."""
    given = list(overrides or ())
    if is_code(name):
        name = pinned(name)
    elif name not in DATASETS:
        if name not in preset_names() and not Path(name).exists() and Path(name).suffix != ".toml":
            raise UnknownNameError.of("data set or preset", name, known=[*DATASETS, *preset_names()])
        return load_spec(name, given).sweep.data.model_dump(mode="json")
    data: dict[str, Any] = {"name": name}
    if path is not None:
        data["path"] = str(path)
    if size is not None:
        data["size"] = size
    if not given:
        return data
    # Validated as part of a file, for the same error messages; a label is required there, but not used here.
    model = "text_cnn" if dataset(name).gives == "texts" else "lenet_300_100"
    own = {"label": "data"} if dataset(name).own_files else {}
    tables = {"sweep": {"model": {"name": model}, "data": {**own, **data}}, "grid": {"sparsity": [0.5]}}
    return spec_of(tables, given).sweep.data.model_dump(mode="json")
