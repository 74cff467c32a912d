"""Records → one table: `table.h5` is a pure function of the records, the failures and the plan.

The same directory gives the same bytes at any time, on any host, in any order of reading, also while runs are
training. Records never change, so the rows of a record in an older table are used again if its sha256 is the same.
`lthsweep.store.checked` decides which records are damaged: they have the state "damaged", and no numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lthsweep.errors import StoreError
from lthsweep.reduce.catalog import COLUMNS
from lthsweep.reduce.control_rows import control_rows
from lthsweep.reduce.detail import curve_rows, layer_rows
from lthsweep.reduce.pooling import origin_of, pool
from lthsweep.reduce.reuse import results_in
from lthsweep.reduce.run_result import RunResult, result_of
from lthsweep.reduce.run_rows import run_rows
from lthsweep.reduce.structure_rows import structure_rows
from lthsweep.reduce.table import SCHEMA, TABLES, SweepRow, Table, TableFile, encode_table
from lthsweep.reduce.ticket_rows import ticket_rows
from lthsweep.spec import dump_spec
from lthsweep.store.checked import CheckedRecords, check_records, note_checked
from lthsweep.store.commit import replace
from lthsweep.store.failures import DAMAGED, Failure, read_failures
from lthsweep.store.record import Summary, read_summary

if TYPE_CHECKING:
    from lthsweep.plan.run import Plan
    from lthsweep.store.layout import SweepDir

__all__ = ["current", "merge", "reduce_records"]

_DAMAGED = Failure(
    "its record is damaged; `lthsweep doctor --quarantine` moves it away, then `lthsweep run` trains it again",
    kind=DAMAGED,
    attempt=0,
)


def merge(sweep: SweepDir, plan: Plan, *, full: bool = False) -> Path:
    """Replace `table.h5` by the table of the present records, in one step, if it differs.

    Args:
        sweep: the directory.
        plan: the grid to answer.
        full: read and hash every record, even if the existing table has its rows. The bytes are the same.

    Returns:
        The path of the table.

    Raises:
        StoreError: if the table cannot be written; or if there is a table but no folder of records, as in copied
            results, which a table of missing rows must not replace.
    """
    if sweep.is_table_alone():
        raise StoreError(
            f"{sweep.path} holds a table and no records, so there is nothing to merge; `lthsweep query` and `report` "
            f"read the table as it is, `lthsweep run` starts the sweep anew"
        )
    old = None if full else _old_table(sweep.table)
    table, checked = _up_to_date(sweep, plan, old, full=full)
    if table is not old:
        assert isinstance(table, Table)
        replace(sweep.table, encode_table(table))
    note_checked(sweep, checked)
    return sweep.table


def current(sweep: SweepDir, plan: Plan) -> Table | TableFile:
    """Return the table that `merge` would write: the file if it is up to date, else one made in memory."""
    return _up_to_date(sweep, plan, _old_table(sweep.table))[0]


def reduce_records(
    plan: Plan, results: Iterable[RunResult], failures: Mapping[str, Failure] | None = None
) -> Table:
    """Return the table of some records. A pure function; the order of `results` does not matter.

    Args:
        plan: the grid to answer; every point has a row, with or without results.
        results: the records.
        failures: key → last failure. Failures of runs that have a record or are not in the plan are ignored.
    """
    known = {one.key: one for one in results}
    failed = {key: one for key, one in (failures or {}).items() if key in plan.runs and key not in known}
    aside = pool(plan, {key: origin_of(one) for key, one in known.items()}).keys
    used = {key: one for key, one in known.items() if key not in aside}
    order = [*plan.runs, *sorted(known.keys() - plan.runs.keys())]
    return Table(
        sweep=_sweep_row(plan, {key: one.digest for key, one in known.items()}, failed),
        tables={
            "tickets": ticket_rows(plan, used, failed, aside),
            "controls": control_rows(plan, used, failed, aside),
            "structures": structure_rows(plan, used, failed, aside),
            "runs": run_rows(plan, known, failed, aside),
            "curves": curve_rows(order, known),
            "layers": layer_rows(order, known),
        },
    )


def _up_to_date(
    sweep: SweepDir, plan: Plan, old: TableFile | None, *, full: bool = False
) -> tuple[Table | TableFile, CheckedRecords]:
    """Return the table of the present records, which is `old` if it is up to date, and the check of the records."""
    read: dict[str, RunResult] = {}

    def keep(summary: Summary) -> None:
        read[summary.key] = result_of(summary)

    checked = check_records(sweep, full=full, keep=keep)
    digests = checked.digests
    failures = read_failures(sweep) | dict.fromkeys(checked.damaged, _DAMAGED)
    if old is not None:
        shown = {key: one for key, one in failures.items() if key in plan.runs and key not in digests}
        if old.sweep == _sweep_row(plan, digests, shown):
            return old, checked
    known = _known(old, digests, plan)
    results = []
    for key in digests:
        result = read.get(key) or known.get(key)
        if result is None:
            try:
                result = result_of(read_summary(sweep.record(key)))
            except FileNotFoundError:  # removed since it was checked
                continue
        results.append(result)
    return reduce_records(plan, results, failures), checked


def _old_table(path: Path) -> TableFile | None:
    """Return the existing table if it is whole and has every declared column."""
    try:
        table = TableFile(path)
        columns = {name: table[name].dtype.names or () for name in TABLES}  # reading verifies the checksums
    except (FileNotFoundError, StoreError):
        return None
    known = all(column.name in columns[name] for name in TABLES for column in COLUMNS[name])
    return table if known else None


def _known(old: TableFile | None, digests: Mapping[str, str], plan: Plan) -> dict[str, RunResult]:
    if old is None:
        return {}
    try:
        return results_in(old, digests, plan.runs)
    except (KeyError, ValueError, TypeError, IndexError):  # its schema number is right, its content is not
        return {}


def _sweep_row(plan: Plan, digests: Mapping[str, str], failures: Mapping[str, Failure]) -> SweepRow:
    spec = plan.spec
    return SweepRow(
        name=spec.sweep.name,
        schema=SCHEMA,
        records=len(digests),
        records_sha256=_hash(f"{key} {digest}" for key, digest in digests.items()),
        failures_sha256=_hash(f"{key} {one.attempt} {one.host} {one.cause}" for key, one in failures.items()),
        margin=float(spec.verdict.margin),
        confidence=float(spec.verdict.confidence),
        toml=dump_spec(spec),
    )


def _hash(lines: Iterable[str]) -> str:
    return hashlib.sha256("".join(f"{line}\n" for line in sorted(lines)).encode()).hexdigest()
