"""`run`: train what is missing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lthsweep.commands.display import Display, duration, plain_console
from lthsweep.commands.interrupt import Interrupt
from lthsweep.commands.sources import (
    CacheOption,
    OutOption,
    SetOption,
    Source,
    SourceArgument,
    open_source,
    require_samples,
)
from lthsweep.commands.tables import print_table
from lthsweep.errors import UnknownNameError
from lthsweep.launch.coordinator import RunHooks
from lthsweep.launch.disk_status import DiskStatus
from lthsweep.launch.dispatch import RunSummary
from lthsweep.launch.local import run_local, slots_of
from lthsweep.launch.work import work_left

__all__ = ["run"]

EXIT_FAILED = 1
EXIT_INCOMPLETE = 3
PLACES = ("local", "mpi", "slurm")


def run(
    source: SourceArgument,
    overrides: SetOption = None,
    out: OutOption = None,
    on: Annotated[
        str,
        typer.Option(
            "--on",
            metavar="PLACE",
            help="Where the runs are trained: local processes, mpi for mpirun's ranks, slurm for jobs of a cluster.",
        ),
    ] = "local",
    retry_failed: Annotated[
        bool,
        typer.Option(
            "--retry-failed",
            help="With --on slurm: also runs that failed or were canceled. Elsewhere they are always tried again.",
        ),
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="With --on slurm: stay until the sweep is done.")
    ] = False,
    rank0_trains: Annotated[
        bool | None,
        typer.Option(
            "--rank0-trains/--rank0-coordinates",
            help="With --on mpi: rank 0 trains too, in a process of its own; default if there are 2 ranks.",
            show_default=False,
        ),
    ] = None,
    silence: Annotated[
        float,
        typer.Option(
            min=1.0, help="With --on mpi: seconds after which a rank that says nothing is given up."
        ),
    ] = 900.0,
    cache: CacheOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no table.")] = False,
) -> None:
    """Train whatever the file asks for and is not done yet, then merge the table. Safe to repeat at any time."""
    if on not in PLACES:
        raise UnknownNameError.of("--on", on, known=PLACES)
    if on == "local":
        opened = open_source(source, overrides=overrides, out=out)
        require_samples(opened, cache)
        slots = slots_of(opened.spec)
        devices = ", ".join(sorted({slot.device for slot in slots}))

        def workers(left: int) -> str:
            return f"workers: {min(len(slots), max(left, 1))} on {devices}"

        _train(opened, run_local, workers, cache, plain_console(quiet=quiet))
        return
    if on == "slurm":
        from lthsweep.commands.cluster import submit

        opened = open_source(source, overrides=overrides, out=out)
        require_samples(opened, cache)
        submit(opened, plain_console(quiet=quiet), retry_failed=retry_failed, wait=wait, cache=cache)
        return
    from lthsweep.launch.mpi.job import mpi_job, run_mpi

    with mpi_job() as wire:
        if wire is not None:  # any other rank has done its work by now, and rank 0 says how it went
            opened = open_source(source, overrides=overrides, out=out)
            require_samples(opened, cache)
            launch = partial(run_mpi, wire=wire, rank0_trains=rank0_trains, silence=silence)
            where = f"MPI ranks: {wire.size}"
            _train(opened, launch, lambda left: where, cache, plain_console(quiet=quiet, lines=True))


def _train(
    opened: Source,
    launch: Callable[..., RunSummary],
    where: Callable[[int], str],
    cache: Path | None,
    console: Console,
) -> None:
    work = work_left(opened.plan, opened.sweep)
    _announce(opened, work.found, len(work.nodes), where(len(work.nodes)), console)
    interrupt = Interrupt(console)
    with interrupt.handled(), Display(opened.plan, work, console) as display:
        hooks = RunHooks(display, interrupt.asked, interrupt.watch)
        ended = launch(opened.plan, opened.sweep, hooks=hooks, cache=cache)
    from lthsweep.reduce.merge import merge  # pandas and scipy: not before the work is done

    merge(opened.sweep, opened.plan)
    if not console.quiet:
        print_table(opened.sweep.path, console)
    _report_end(opened, ended, console)
    if ended.failed:
        if console.quiet:  # quiet is for progress and tables, not for what went wrong
            _report_end(opened, ended, Console(stderr=True, width=120))
        raise typer.Exit(EXIT_FAILED)
    if ended.stopped:
        raise typer.Exit(EXIT_INCOMPLETE)


def _announce(opened: Source, found: DiskStatus, left: int, where: str, console: Console) -> None:
    console.print(
        f"{opened.spec.sweep.name}: {_runs(left)} left of {len(opened.plan.runs)}, "
        f"{where}, results in {opened.sweep.path}",
        highlight=False,
        soft_wrap=True,
    )
    if found.foreign:
        console.print(
            f"{len(found.foreign)} records there belong to another grid or recipe; they stay, and are kept apart",
            highlight=False,
        )


def _runs(number: int) -> str:
    return f"{number} run{'' if number == 1 else 's'}"


def _report_end(opened: Source, ended: RunSummary, console: Console) -> None:
    console.print(
        f"{_runs(len(ended.finished))} finished in {duration(ended.seconds)}, {ended.found_done} were done before"
        f"{f' and {len(ended.present)} by others meanwhile' if ended.present else ''}, "
        f"{len(ended.failed)} failed, {len(ended.blocked)} wait for a failed one",
        highlight=False,
    )
    if ended.skipped:
        console.print(
            f"{len(ended.skipped)} tickets cannot be made: the run they descend from diverged",
            highlight=False,
        )
    for key, cause in ended.failed.items():
        console.print(
            f"  {key} {opened.plan[key].describe()}: {cause}", highlight=False, markup=False, soft_wrap=True
        )
        console.print(f"    lthsweep logs {opened.sweep.path} {key[:8]}", highlight=False, soft_wrap=True)
    if ended.stopped:
        console.print(f"stopped; `lthsweep run {opened.sweep.path}` goes on", highlight=False, soft_wrap=True)
    console.print(
        f"table: {opened.sweep.table}   figures: lthsweep report {opened.sweep.path}",
        highlight=False,
        soft_wrap=True,
    )
