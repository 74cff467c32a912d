"""Which records of a directory are pooled, before they are merged: for commands that only look."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lthsweep.data.entry import describe_data
from lthsweep.data.lookup import find_pack
from lthsweep.data.packed import read_info
from lthsweep.errors import StoreError
from lthsweep.reduce.pooling import Pooling, RecordOrigin, manifest_source, origin_of, origins_in, pool
from lthsweep.reduce.run_result import result_of
from lthsweep.reduce.table import TableFile
from lthsweep.store.record import read_summary
from lthsweep.store.seal import read_seal
from lthsweep.wording import plural

if TYPE_CHECKING:
    from pathlib import Path

    from lthsweep.plan.run import Plan
    from lthsweep.store.layout import SweepDir

__all__ = ["DirectoryPool", "decoded_otherwise", "read_pool"]

_MOST_OPENED = 500
"""Number of records outside the plan that are opened, at a third of a millisecond each."""


@dataclass(frozen=True)
class DirectoryPool:
    """The records of a directory that the numbers of its table leave out.

    Attributes:
        pool: the runs of the plan that are set aside.
        used: key → origin of the dense runs in use.
        foreign: number of records outside the plan.
        other_data: source digest → number of these records that have it, where it is none of the plan's.
    """

    pool: Pooling
    used: Mapping[str, RecordOrigin]
    foreign: int
    other_data: Mapping[str, int]

    def notes(self, directory: str) -> tuple[str, ...]:
        """Return a line for runs that are set aside, and one for records outside the plan.

        Args:
            directory: of the sweep, as an argument of a shell command.
        """
        if not self.foreign:
            return self.pool.notes(directory)
        other_data = sum(self.other_data.values())
        parts = []
        if other_data:
            sources = ", ".join(source[:12] for source in self.other_data)
            parts.append(f"{_belong(other_data, directory)} to other data (source {sources})")
        if self.foreign > other_data:
            parts.append(f"{_belong(self.foreign - other_data, directory)} to another grid or recipe")
        line = f"{', '.join(parts)}, and not to the table"
        return (*self.pool.notes(directory), line)


def read_pool(plan: Plan, sweep: SweepDir) -> DirectoryPool:
    """Return which records of a directory are not pooled, from its table and the dense runs that are newer.

    A ticket that is not in the table has the origin of its dense run: workers refuse to train it on other data.
    """
    recorded = set(sweep.record_keys())
    digests, known, sources = _of_table(sweep)
    origins = {key: origin for key, origin in known.items() if key in recorded}
    for run in plan.dense:
        if run.key in recorded and not _is_current(sweep, run.key, digests):
            origins.pop(run.key, None)
            if (found := _read(sweep, run.key)) is not None:
                origins[run.key] = found
    for run in plan.tickets:
        if run.key in recorded and run.key not in origins and run.trunk in origins:
            origins[run.key] = origins[run.trunk]
    foreign = recorded - plan.runs.keys()
    divided = pool(plan, origins)
    used = {
        run.key: origins[run.key] for run in plan.dense if run.key in origins and run.key not in divided.keys
    }
    return DirectoryPool(divided, used, len(foreign), _other_data(plan, sweep, foreign, sources))


def decoded_otherwise(plan: Plan, found: DirectoryPool, cache: Path | None = None) -> tuple[str, ...]:
    """Return a line for each pack of this machine whose values differ from those of the dense runs in use.

    Args:
        plan: the grid.
        found: its records.
        cache: folder of packs; None for the default.
    """
    here: dict[str, str] = {}
    others: dict[tuple[str, str], set[str]] = {}
    for key, origin in found.used.items():
        data = plan[key].recipe.data
        name = describe_data(data)
        if name not in here:
            folder = find_pack(data, None, cache)
            here[name] = read_info(folder).fingerprint if folder else origin.data
        if here[name] != origin.data:
            others.setdefault((name, origin.data), set()).add(origin.host)
    return tuple(
        f"{name}: the pack of this machine holds other values ({here[name][:12]}) than the dense runs in use were "
        f"trained on ({used[:12]}, on {', '.join(sorted(hosts))}): their tickets fail here, and new dense runs can be "
        f"set aside; run on such a machine, or copy its pack"
        for (name, used), hosts in others.items()
    )


def _belong(number: int, directory: str) -> str:
    return f"{plural(number, 'record')} in {directory} {'belongs' if number == 1 else 'belong'}"


def _of_table(sweep: SweepDir) -> tuple[dict[str, str], dict[str, RecordOrigin], dict[str, str]]:
    """Return key → sha256 of the record, origin, digest of the source; empty if the table is missing or damaged."""
    try:
        runs = TableFile(sweep.table)["runs"]
        keys, digests, sources = (
            [value.decode() for value in runs[name].tolist()] for name in ("key", "record", "source")
        )
        origins = origins_in(runs)
    except (StoreError, FileNotFoundError, ValueError):
        return {}, {}, {}
    return dict(zip(keys, digests, strict=True)), origins, dict(zip(keys, sources, strict=True))


def _is_current(sweep: SweepDir, key: str, digests: Mapping[str, str]) -> bool:
    try:
        return bool(digests.get(key)) and digests[key] == read_seal(sweep.record(key)).whole
    except (StoreError, FileNotFoundError):
        return False


def _read(sweep: SweepDir, key: str) -> RecordOrigin | None:
    try:
        return origin_of(result_of(read_summary(sweep.record(key))))
    except (StoreError, FileNotFoundError):  # damaged: `doctor` reports it
        return None


def _other_data(
    plan: Plan, sweep: SweepDir, foreign: Collection[str], sources: Mapping[str, str]
) -> dict[str, int]:
    """Return source digest → number of records outside the plan that have it, without the sources of the plan."""
    own = {manifest_source(run.manifest) for run in plan.dense}
    found: dict[str, int] = {}
    trunks: dict[str, str] = {}
    for key in sorted(foreign)[:_MOST_OPENED]:
        source = sources[key] if key in sources else _source_in(sweep, key, trunks)
        if source and source not in own:
            found[source] = found.get(source, 0) + 1
    return found


def _source_in(sweep: SweepDir, key: str, trunks: dict[str, str]) -> str:
    try:
        manifest = read_summary(sweep.record(key)).manifest
        trunk = str(manifest.get("trunk", key))
        if trunk not in trunks:
            trunks[trunk] = manifest_source(
                manifest if trunk == key else read_summary(sweep.record(trunk)).manifest
            )
    except (StoreError, FileNotFoundError):
        return ""
    return trunks[trunk]
