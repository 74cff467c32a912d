"""The Python API: plan and run a sweep, and read its tables as pandas frames. Does not import torch."""

from __future__ import annotations

import shlex
import tomllib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lthsweep.errors import SpecError
from lthsweep.launch.data_sources import check_unchanged, with_known_sources, with_prepared_sources
from lthsweep.plan.expand import expand
from lthsweep.reduce.merge import current, merge
from lthsweep.reduce.table import Table, TableFile
from lthsweep.spec import load_spec, spec_of
from lthsweep.spec.names import folder_name
from lthsweep.spec.problems import Origin
from lthsweep.store.layout import SweepDir

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    import pandas as pd

    from lthsweep.plan.run import Plan
    from lthsweep.reduce.axis_comparison import AxisComparison
    from lthsweep.reduce.frames import Frames
    from lthsweep.reduce.pooling import Pooling
    from lthsweep.spec import Spec

__all__ = ["Sweep", "load", "load_plan", "run"]


class Sweep:
    """A sweep read from disk: its file, its plan, and its tables.

    Attributes:
        path: the directory, or a copied table.
        spec: the resolved file.
    """

    def __init__(self, path: Path, spec: Spec, table: Table | TableFile, plan: Plan | None = None) -> None:
        """Use `load`."""
        self.path = path
        self.spec = spec
        self._table = table
        self._plan = plan

    @cached_property
    def plan(self) -> Plan:
        """The cells of the grid and their runs."""
        return self._plan or expand(self.spec)

    @cached_property
    def frames(self) -> Frames:
        """All frames by name, each made on first use."""
        return self._table.frames

    @property
    def tickets(self) -> pd.DataFrame:
        """The winning-ticket table: one row per grid point over its seeds, with the verdict."""
        return self.frames["tickets"]

    @property
    def controls(self) -> pd.DataFrame:
        """One row per control of a grid point: ticket − control, paired over seeds; empty without controls."""
        return self.frames["controls"]

    @property
    def structures(self) -> pd.DataFrame:
        """One row per grid point: the network before and after pruning; empty without whole filters."""
        return self.frames["structures"]

    @property
    def runs(self) -> pd.DataFrame:
        """One row per run, finished or not, by `key`."""
        return self.frames["runs"]

    @property
    def curves(self) -> pd.DataFrame:
        """One row per run and epoch: losses, accuracies, learning rate, seconds."""
        return self.frames["curves"]

    @property
    def layers(self) -> pd.DataFrame:
        """One row per run and prunable weight: size, weights remaining, sparsity, whether it is dead."""
        return self.frames["layers"]

    @property
    def records_sha256(self) -> str:
        """A hash over all records behind the tables, for citation."""
        return self._table.sweep.records_sha256

    @cached_property
    def pool(self) -> Pooling:
        """The runs that are set aside, because they saw other data or another network than the runs in use."""
        from lthsweep.reduce.pooling import origins_in, pool

        return pool(self.plan, origins_in(self._table["runs"]))

    @property
    def notes(self) -> tuple[str, ...]:
        """A line about the runs that are set aside, with the remedy; empty if all runs are pooled."""
        return self.pool.notes(shlex.quote(str(self.path)))

    def query(
        self,
        where: str | None = None,
        *,
        sort: str | Sequence[str] | None = None,
        columns: str | Sequence[str] | None = None,
        table: str = "tickets",
    ) -> pd.DataFrame:
        """Rows of one table that satisfy a condition, see `lthsweep.reduce.query.query`."""
        from lthsweep.reduce.query import query  # imported here: planning and merging need no DuckDB

        return query(self.frames, where, sort, columns, table)

    def sql(self, statement: str) -> pd.DataFrame:
        """The result of one SELECT over `tickets`, `controls`, `structures`, `runs`, `curves`, and `layers`."""
        from lthsweep.reduce.query import sql

        return sql(self.frames, statement)

    def axis_comparison(
        self,
        axis: str,
        *,
        metric: str = "test_accuracy",
        confidence: float | None = None,
        margin: float | None = None,
    ) -> AxisComparison:
        """Compare the values of an axis at each point, see `lthsweep.reduce.axis_comparison.compare_axis`."""
        from lthsweep.reduce.axis_comparison import COMPARABLE, RunScore, compare_axis
        from lthsweep.reduce.run_result import ResultState

        runs = self.runs
        known = metric in COMPARABLE and metric in runs
        values = runs[metric] if known else [float("nan")] * len(runs)
        scores = {
            key: RunScore(ResultState(state), float(value))
            for key, state, value in zip(runs["key"], runs["state"], values, strict=True)
        }
        return compare_axis(self.plan, scores, axis, metric=metric, confidence=confidence, margin=margin)

    def compare(
        self,
        axis: str,
        *,
        metric: str = "test_accuracy",
        confidence: float | None = None,
        margin: float | None = None,
    ) -> pd.DataFrame:
        """The rows of `axis_comparison` as a frame: one per grid point and value, with a verdict."""
        import pandas as pd

        found = self.axis_comparison(axis, metric=metric, confidence=confidence, margin=margin)
        return pd.DataFrame(found.records()).astype({"rank": "Int64"})

    def __repr__(self) -> str:
        return f"Sweep({self.spec.sweep.name!r} at {self.path})"


def load(path: str | os.PathLike[str]) -> Sweep:
    """Read a sweep from its directory or from a copied `table.h5`.

    Records newer than the directory's table are merged in memory. Nothing is written, so the directory can belong to
    another user; `lthsweep merge` writes the table.

    Raises:
        SpecError: if there is no sweep at `path`, or its `sweep.toml` is not valid.
        StoreError: if its table is damaged and there are no records to rebuild it from.
    """
    path = Path(path)
    if path.suffix == ".toml" and not path.is_dir():
        raise SpecError(
            f"{path} is the file of a sweep; give its directory (results/NAME, or the one given with --out)"
        )
    if path.is_file():
        return _from_table(path, path)
    sweep = SweepDir(path)
    if sweep.sweep_toml.is_file() and not sweep.is_table_alone():
        spec = load_spec(sweep.path)
        plan = expand(spec)
        return Sweep(path, spec, current(sweep, plan), plan)
    if sweep.table.is_file():
        return _from_table(path, sweep.table)
    raise SpecError(
        f"no sweep at {path}: it has neither sweep.toml nor table.h5; give the directory that `lthsweep run` "
        f"wrote (results/NAME, or the one given with --out), or a table.h5"
    )


def load_plan(source: str | os.PathLike[str], *, overrides: Sequence[str] = ()) -> Plan:
    """The plan of a TOML file, a preset, or a sweep directory; trains and writes nothing.

    Args:
        source: a path or the name of a preset.
        overrides: as for `--set`, for example `["train.epochs=4"]`.

    Raises:
        SpecError: with every error of the file.
    """
    spec = load_spec(str(source), overrides)
    return expand(with_known_sources(spec, _directory(source, None, spec), now=True))


def run(
    source: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str] | None = None,
    overrides: Sequence[str] = (),
    cache: str | os.PathLike[str] | None = None,
) -> Sweep:
    """Train the missing runs of a sweep in local processes, and merge its table.

    A failed run does not stop the others; its grid point has the verdict "failed" in `tickets`.

    Args:
        source: a TOML file, the name of a preset, or a sweep directory.
        out: the sweep directory; default `results/<name>`, or the directory itself.
        overrides: as for `--set`.
        cache: directory of packed data; default $LTHSWEEP_CACHE or ~/.cache/lthsweep/data.

    Raises:
        SpecError: with every error of the file, before anything is written.
        MissingDataError: if the data is not on this machine; the message names the command to get it.
        ChangedDataError: if it is other data than that of the records in the directory.
        LaunchError: if workers cannot start.
    """
    from lthsweep.launch.local import run_local

    folder = None if cache is None else Path(cache)
    spec = load_spec(str(source), overrides)
    sweep = _directory(source, out, spec)
    spec = with_prepared_sources(spec, sweep, folder)
    check_unchanged(spec, sweep, folder)
    expanded = expand(spec)
    run_local(expanded, sweep, cache=folder)
    merge(sweep, expanded)
    return load(sweep.path)


def _directory(source: str | os.PathLike[str], out: str | os.PathLike[str] | None, spec: Spec) -> SweepDir:
    own = Path(source) if Path(source).is_dir() else Path("results") / folder_name(spec.sweep.name)
    return SweepDir(Path(out) if out is not None else own)


def _from_table(path: Path, table: Path) -> Sweep:
    file = TableFile(table)
    text = file.sweep.toml
    return Sweep(path, spec_of(tomllib.loads(text), origin=Origin(str(table), text)), file)
