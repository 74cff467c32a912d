"""Checks and preparations before a sweep is run: user code, data, and the sweep directory."""

from __future__ import annotations

import os
from pathlib import Path

from lthsweep.data.cache import open_packed, prepare
from lthsweep.data.entry import describe_data
from lthsweep.data.lookup import find_pack
from lthsweep.errors import ChangedDataError, StoreError
from lthsweep.plan.run import Plan
from lthsweep.spec import Spec, resolved_file
from lthsweep.store import commit
from lthsweep.store.layout import SweepDir
from lthsweep.usercode import is_code, require_allowed

__all__ = ["open_sweep", "require_code", "require_data"]

_TEMP_SECONDS = 3600.0
"""The writer of a temporary file this old is dead."""


def require_code(plan: Plan, sweep: SweepDir) -> None:
    """Check that the user code that workers will run is allowed, present and unchanged.

    Runs that have a record need no code, so old versions of it can be missing.

    Raises:
        CodeError: otherwise; the message names the way to allow it.
    """
    named = {
        (name, key)
        for key, run in plan.runs.items()
        for name in (
            str(run.recipe.model["init"]),
            str(run.recipe.model["name"]),
            str(run.recipe.data["name"]),
            run.prune.method if run.prune else "",
        )
        if is_code(name)
    }
    for name in sorted({name for name, key in named if not sweep.has_record(key)}):
        require_allowed(name)


def require_data(plan: Plan, cache: Path | None = None) -> None:
    """Check that every data set of a plan is packed, and pack those that are on this machine.

    Raises:
        MissingDataError: if a data set is not on this machine; the message names the command that gets it.
        ChangedDataError: if the files on this machine are not those of the plan.
        DataError: if a pack is damaged.
    """
    for data in {describe_data(run.recipe.data): run.recipe.data for run in plan.dense}.values():
        if find_pack(data, None, cache):
            open_packed(data, cache=cache)  # a damaged pack fails here once, and not in every run
            continue
        packed = prepare(data, cache=cache)
        if data["source"] not in ("", packed.source):
            raise ChangedDataError(
                f"{describe_data(data)} is not the data of this plan: its source is {packed.source[:12]}…, the plan "
                f"names {str(data['source'])[:12]}…; restore the files, or copy the pack"
            )


def open_sweep(spec: Spec, sweep: SweepDir) -> None:
    """Make the sweep directory, write the resolved file into it, and delete what killed writers left.

    Raises:
        StoreError: if it belongs to another user or cannot be written.
    """
    if sweep.path.exists() and sweep.path.stat().st_uid != os.getuid() and os.getuid() != 0:
        raise StoreError(f"{sweep.path} belongs to another user; choose another place with --out")
    sweep.create()
    text = resolved_file(spec).encode()
    old = sweep.sweep_toml.read_bytes() if sweep.sweep_toml.exists() else text
    if old != text:
        commit.replace(sweep.previous_toml, old)
    if old != text or not sweep.sweep_toml.exists():
        commit.replace(sweep.sweep_toml, text)
    for folder in (sweep.path, sweep.records, sweep.checkpoints, sweep.failures, sweep.workers):
        commit.sweep_temps(folder, _TEMP_SECONDS)
