"""`run --on slurm`: submit a plan as jobs, and return as soon as they are in the queue."""

from __future__ import annotations

import os
from pathlib import Path

from lthsweep.launch.network_check import require_networks
from lthsweep.launch.preflight import open_sweep, require_code, require_data
from lthsweep.launch.slurm.advance import Advance, advance
from lthsweep.launch.slurm.dry_run import dry_run
from lthsweep.launch.slurm.halt import read_halt, remove_halt, reset_attempts
from lthsweep.launch.slurm.journal import open_journal, read_journal
from lthsweep.launch.slurm.sites.site import Site
from lthsweep.plan.run import Plan
from lthsweep.store.failures import clear_failure, read_failures
from lthsweep.store.layout import SweepDir

__all__ = ["run_slurm"]


def run_slurm(
    plan: Plan, sweep: SweepDir, site: Site, *, retry_failed: bool = False, cache: Path | None = None
) -> Advance:
    """Submit the runs that have no record and no job, and a controller job for the rest.

    Args:
        plan: all runs.
        sweep: the sweep directory, on a disk that the compute nodes share; created if it does not exist.
        site: the cluster.
        retry_failed: whether to submit runs that failed or were canceled, too.
        cache: folder of packed data, on such a disk too; None for the default.

    Raises:
        CodeError, MissingDataError, ModelError, SpecError: before anything is written.
        ClusterSilentError, RefusedError: see `lthsweep.launch.slurm.advance`; earlier submissions stay.
        StoreError: if the directory cannot be written.
    """
    require_code(plan, sweep)
    require_data(plan, cache)
    require_networks(plan, sweep, cache)
    dry_run(sweep, site)
    open_sweep(plan.spec, sweep)
    open_journal(sweep)
    if cache is not None:
        os.environ["LTHSWEEP_CACHE"] = str(cache.absolute())  # sbatch passes the environment to the jobs
    halted = read_halt(sweep)
    if retry_failed:
        _forget_failures(plan, sweep)
    if halted is not None and (retry_failed or halted.by == "user"):
        remove_halt(sweep)
    return advance(plan, sweep, site)


def _forget_failures(plan: Plan, sweep: SweepDir) -> None:
    # Infrastructure failures are cleared too: three failures with one cause would halt the sweep again at once.
    for key in read_failures(sweep):
        if key in plan.runs:
            clear_failure(sweep, key)
    journal = read_journal(sweep)
    if journal:
        reset_attempts(sweep, journal[-1].number)
