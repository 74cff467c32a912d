"""Which data a sweep uses: the sources as they are now, compared with those of its records."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lthsweep.data.cache import prepare
from lthsweep.data.datasets import dataset
from lthsweep.data.files import prepare_command
from lthsweep.data.lookup import changed_files, current_source, find_pack, last_source
from lthsweep.data.source import has_changed, is_present
from lthsweep.errors import ChangedDataError, DataError, MissingDataError, SpecError
from lthsweep.plan.data_tables import data_tables, source_of, with_sources
from lthsweep.plan.run import Options
from lthsweep.spec import Spec, load_spec
from lthsweep.store.layout import SweepDir

__all__ = [
    "check_unchanged",
    "data_change",
    "other_data_here",
    "with_known_sources",
    "with_prepared_sources",
]


def with_known_sources(spec: Spec, sweep: SweepDir, cache: Path | None = None, *, now: bool = False) -> Spec:
    """Return a spec with the sources that are known without reading a file.

    Args:
        spec: the sweep.
        sweep: its directory, whose file can name sources.
        cache: folder of packs; None for the default.
        now: prefer the files of this machine to the names in spec and directory; the source of files that changed since
            they were read is not known.
    """
    tables = data_tables(spec)
    named = _named(spec, sweep, tables)
    sources = {}
    for name, table in tables.items():
        here = _current(table, cache) if now or name not in named else ""
        sources[name] = here or named.get(name, "") if here is not None else ""
    return with_sources(spec, sources)


def with_prepared_sources(spec: Spec, sweep: SweepDir, cache: Path | None = None) -> Spec:
    """Return a spec with the sources of its data as the files are now, packing them if needed.

    A source that the spec or the directory names is enough where the files are absent and the pack exists.

    Raises:
        CodeError: if a reader of the user is not allowed.
        MissingDataError: if files and pack are absent; the message names the command that gets them.
        DataError: if the files cannot be read or trained on.
    """
    tables = data_tables(spec)
    named = _named(spec, sweep, tables)
    return with_sources(
        spec, {name: _prepared(table, named.get(name, ""), cache) for name, table in tables.items()}
    )


def data_change(spec: Spec, sweep: SweepDir, cache: Path | None = None) -> str:
    """Return how the data of a spec differs from that of the records in its directory, "" if it does not.

    Data that joins the grid or leaves it is no change; data in place of other data is one.
    """
    before, now = _named_by(sweep), spec.sweep.sources
    gone = {name for name, digest in before.items() if digest not in now.values()}
    new = {name for name, digest in now.items() if digest not in before.values()}
    if not gone or not new or not sweep.record_keys():
        return ""
    tables = data_tables(spec)
    changed = []
    for name in sorted(gone & new):
        what = changed_files(tables[name], before[name], now[name], cache=cache)
        changed.append(f"{name} changed since then: {what or 'the old files were not read on this machine'}")
    others = "; ".join(sorted(new - gone))
    if others:
        changed.append(f"they were trained on {'; '.join(sorted(gone))}, the file now names {others}")
    return "; ".join(changed)


def other_data_here(spec: Spec, cache: Path | None = None) -> tuple[str, ...]:
    """Return a line for each data set whose files on this machine are not, or may not be, those of a spec."""
    lines = []
    for name, table in data_tables(spec).items():
        last = last_source(table, None, cache)
        if last is not None and last.digest != source_of(spec, table):
            lines.append(f"data: {name} on this machine is other data than that of these results")
        elif last is not None and is_present(last) and has_changed(last):
            lines.append(
                f"data: files of {name} changed since they were read; `{prepare_command(table)}` reads them again"
            )
    return tuple(lines)


def check_unchanged(spec: Spec, sweep: SweepDir, cache: Path | None = None) -> None:
    """Refuse to continue a sweep with other data.

    Raises:
        ChangedDataError: if the data is not that of the records in the directory.
    """
    change = data_change(spec, sweep, cache)
    if change:
        raise ChangedDataError(
            f"the records in {sweep.path} are of other data: {change}. Nothing was trained. Restore the data, or "
            "choose another directory with --out, or train the sweep anew in this one with --new-data: its old records "
            "stay there and no longer count"
        )


def _named_by(sweep: SweepDir) -> Mapping[str, str]:
    """The sources that the file in a sweep directory names; none if it cannot be read."""
    try:
        return load_spec(sweep.path).sweep.sources if sweep.sweep_toml.is_file() else {}
    except SpecError:  # reported where the directory is what the user gave
        return {}


def _named(spec: Spec, sweep: SweepDir, tables: Mapping[str, Options]) -> Mapping[str, str]:
    """The sources that a spec names, and those of its directory where the spec does not name them."""
    complete = tables.keys() <= spec.sweep.sources.keys()  # as in the file of the directory itself
    return spec.sweep.sources if complete else {**_named_by(sweep), **spec.sweep.sources}


def _current(table: Options, cache: Path | None) -> str | None:
    try:
        return current_source(table, cache=cache)
    except DataError:  # a path that is missing is reported when the data is prepared
        return dataset(str(table["name"])).digest


def _prepared(table: Options, named: str, cache: Path | None) -> str:
    try:
        return prepare(table, cache=cache).source
    except MissingDataError:
        if named and find_pack({**table, "source": named}, None, cache):
            return named
        raise
