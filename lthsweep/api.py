"""What `import lthsweep` gives: plan and run a sweep, and its tables as pandas frames. Torch-free: workers train."""

from __future__ import annotations

import tomllib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lthsweep.errors import SpecError
from lthsweep.plan.grid import expand
from lthsweep.reduce.merge import current, merge
from lthsweep.reduce.table import Table, TableFile
from lthsweep.spec import load_spec
from lthsweep.spec.load import spec_of
from lthsweep.spec.problems import Origin
from lthsweep.store.layout import SweepDir

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    import pandas as pd

    from lthsweep.plan.run import Plan
    from lthsweep.reduce.compare import Family
    from lthsweep.reduce.contrast import Contrast
    from lthsweep.reduce.frames import Frames
    from lthsweep.spec import Spec

__all__ = ["Sweep", "load", "plan", "run"]


class Sweep:
    """A sweep that was read from disk: what was asked, and what is known of it.

    Attributes:
        path: the directory, or the table that was copied out of it.
        spec: the file as resolved.
    """

    def __init__(self, path: Path, spec: Spec, table: Table | TableFile, plan: Plan | None = None) -> None:
        """Use `load`."""
        self.path = path
        self.spec = spec
        self._table = table
        self._plan = plan

    @cached_property
    def plan(self) -> Plan:
        """The cells of the grid and the runs that answer them."""
        return self._plan or expand(self.spec)

    @cached_property
    def frames(self) -> Frames:
        """All frames by name; each is made when it is first asked for."""
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
        """One row per grid point beside its dense runs: what there is of the network; empty without whole filters."""
        return self.frames["structures"]

    @property
    def runs(self) -> pd.DataFrame:
        """One row per run, finished or not, under its `key`."""
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
        """One hash over all records that the tables were made from: what to cite."""
        return self._table.sweep.records_sha256

    def query(
        self,
        where: str | None = None,
        *,
        sort: str | Sequence[str] | None = None,
        columns: str | Sequence[str] | None = None,
        table: str = "tickets",
    ) -> pd.DataFrame:
        """Rows of one table that fulfil a condition, see `lthsweep.reduce.query.query`."""
        from lthsweep.reduce.query import query  # here: planning and merging need no DuckDB

        return query(self.frames, where, sort, columns, table)

    def sql(self, statement: str) -> pd.DataFrame:
        """The answer to one SELECT over `tickets`, `controls`, `structures`, `runs`, `curves` and `layers`."""
        from lthsweep.reduce.query import sql

        return sql(self.frames, statement)

    def contrast(
        self,
        axis: str,
        *,
        metric: str = "test_accuracy",
        confidence: float | None = None,
        margin: float | None = None,
        family: Family = "table",
    ) -> Contrast:
        """Which value of an axis is best at each point, and is that more than noise: see `lthsweep.reduce.contrast`."""
        from lthsweep.reduce.contrast import COMPARABLE, Outcome, contrast

        runs = self.runs
        known = metric in COMPARABLE and metric in runs  # a table of an older version has fewer
        values = runs[metric] if known else [float("nan")] * len(runs)
        outcomes = {
            key: Outcome(state, float(value))
            for key, state, value in zip(runs["key"], runs["state"], values, strict=True)
        }
        return contrast(
            self.plan, outcomes, axis, metric=metric, confidence=confidence, margin=margin, family=family
        )

    def compare(
        self,
        axis: str,
        *,
        metric: str = "test_accuracy",
        confidence: float | None = None,
        margin: float | None = None,
        family: Family = "table",
    ) -> pd.DataFrame:
        """The rows of `contrast` as a frame: one per grid point and value of the axis, with a verdict."""
        import pandas as pd

        found = self.contrast(axis, metric=metric, confidence=confidence, margin=margin, family=family)
        return pd.DataFrame(found.rows).astype({"rank": "Int64"})

    def __repr__(self) -> str:
        return f"Sweep({self.spec.sweep.name!r} at {self.path})"


def load(path: str | os.PathLike[str]) -> Sweep:
    """Read a sweep: its directory, or a `table.h5` that was copied out of one.

    Records that the table of a directory does not know yet are merged in memory: what is shown is what is
    there now. Nothing is written, so a directory of somebody else will do; `lthsweep merge` writes the table.

    Raises:
        SpecError: if there is no sweep at `path`.
        StoreError: if its table is damaged and there are no records to make
            it from.
        SpecError: if the `sweep.toml` in the directory is not valid.
    """
    path = Path(path)
    if path.suffix == ".toml":
        raise SpecError(
            f"{path} is a sweep's file; give its directory (results/NAME unless --out said otherwise)"
        )
    if path.is_file():
        return _from_table(path, path)
    sweep = SweepDir(path)
    if sweep.sweep_toml.is_file() and not sweep.is_table_alone():
        spec = load_spec(sweep.sweep_toml)
        plan = expand(spec)
        return Sweep(path, spec, current(sweep, plan), plan)
    if sweep.table.is_file():
        return _from_table(path, sweep.table)
    raise SpecError(
        f"no sweep at {path}: it has neither sweep.toml nor table.h5; give the directory that `lthsweep run` "
        f"wrote to (results/NAME unless --out said otherwise), or a table.h5"
    )


def plan(source: str | os.PathLike[str], *, overrides: Sequence[str] = ()) -> Plan:
    """Expand the grid of a TOML file, a preset or a sweep directory; trains nothing, writes nothing.

    Args:
        source: a path or a preset's name.
        overrides: as `--set` takes them, e.g. `["train.epochs=4"]`.

    Raises:
        SpecError: with every error of the file.
    """
    return expand(_spec(source, overrides))


def run(
    source: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str] | None = None,
    overrides: Sequence[str] = (),
    cache: str | os.PathLike[str] | None = None,
) -> Sweep:
    """Train whatever a file asks for and is not done yet, in local processes, and merge the table.

    Runs that fail do not stop the others and are rows of the table; look at `sweep.tickets["verdict"]`.

    Args:
        source: a TOML file, a preset's name or a sweep directory.
        out: the sweep directory; default `results/<name>`, or the directory itself.
        overrides: as `--set` takes them.
        cache: folder of packed data; default $LTHSWEEP_CACHE or ~/.cache/lthsweep/data.

    Raises:
        SpecError: with every error of the file, before anything is written.
        MissingDataError: if the data is not on this machine; the message names the command that gets it.
        LaunchError: if workers cannot be started.
    """
    from lthsweep.launch.local import run_local

    spec = _spec(source, overrides)
    own = Path(source) if Path(source).is_dir() else Path("results") / spec.sweep.name
    sweep = SweepDir(Path(out) if out is not None else own)
    expanded = expand(spec)
    run_local(expanded, sweep, cache=None if cache is None else Path(cache))
    merge(sweep, expanded)
    return load(sweep.path)


def _spec(source: str | os.PathLike[str], overrides: Sequence[str]) -> Spec:
    path = Path(source)
    return load_spec(path if path.exists() else str(source), overrides)


def _from_table(path: Path, table: Path) -> Sweep:
    file = TableFile(table)
    return Sweep(
        path, spec_of(tomllib.loads(file.sweep.toml), origin=Origin(str(table), file.sweep.toml)), file
    )
