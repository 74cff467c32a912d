"""`run`: train the missing runs on this machine, on MPI ranks, or with SLURM, and merge the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lthsweep.commands import EXIT_FAILED, EXIT_INCOMPLETE
from lthsweep.commands.console import plain_console, print_lines
from lthsweep.commands.display import Display
from lthsweep.commands.interrupt import Interrupt
from lthsweep.commands.sources import (
    CacheOption,
    OpenedSweep,
    OutOption,
    SetOption,
    SourceArgument,
    damaged_records,
    open_source,
    require_samples,
    unused_files,
    with_prepared_data,
)
from lthsweep.commands.tables import print_table
from lthsweep.errors import UnknownNameError
from lthsweep.launch.coordinator import RunHooks
from lthsweep.launch.disk_status import read_disk_status
from lthsweep.launch.dispatch import RunSummary
from lthsweep.launch.local import run_local, slots_of
from lthsweep.launch.work import Work, work_left
from lthsweep.reduce.directory_pool import decoded_otherwise, read_pool
from lthsweep.wording import duration, plural

__all__ = ["run"]

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
            help="Where to train: local (processes of this machine), mpi (ranks of mpirun), or slurm (jobs).",
        ),
    ] = "local",
    retry_failed: Annotated[
        bool,
        typer.Option(
            "--retry-failed",
            help="With --on slurm: also failed and canceled runs. Elsewhere these are always retried.",
        ),
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="With --on slurm: wait until the sweep is done.")
    ] = False,
    rank0_trains: Annotated[
        bool | None,
        typer.Option(
            "--rank0-trains/--rank0-coordinates",
            help="With --on mpi: rank 0 also trains, in a separate process; default with 2 ranks.",
            show_default=False,
        ),
    ] = None,
    silence: Annotated[
        float,
        typer.Option(
            min=1.0, help="With --on mpi: seconds without a message after which a rank counts as lost."
        ),
    ] = 900.0,
    new_data: Annotated[
        bool,
        typer.Option(
            "--new-data",
            help="Train the sweep anew where its data changed; records of the old data stay and no longer count.",
        ),
    ] = False,
    cache: CacheOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print neither progress nor table.")] = False,
) -> None:
    """Train the missing runs of a sweep, then merge the table. Safe to repeat at any time."""
    if on not in PLACES:
        raise UnknownNameError.of("--on", on, known=PLACES)
    if on == "mpi":
        from lthsweep.launch.mpi.job import mpi_job, run_mpi

        with mpi_job() as wire:
            if wire is not None:  # the other ranks have finished; only rank 0 reports
                opened = _open(source, overrides, out, cache, new_data)
                launch = partial(run_mpi, wire=wire, rank0_trains=rank0_trains, silence=silence)
                console = plain_console(quiet=quiet, lines=True)
                work = work_left(opened.plan, opened.sweep)
                _train(opened, work, launch, f"MPI ranks: {wire.size}", cache, console)
        return
    opened, console = _open(source, overrides, out, cache, new_data), plain_console(quiet=quiet)
    if on == "slurm":
        from lthsweep.commands.cluster import submit

        submit(opened, console, retry_failed=retry_failed, wait=wait, cache=cache)
        return
    work = work_left(opened.plan, opened.sweep)
    _train(opened, work, run_local, _local_workers(opened, len(work.nodes)), cache, console)


def _local_workers(opened: OpenedSweep, left: int) -> str:
    slots = slots_of(opened.spec)
    devices = ", ".join(sorted({slot.device for slot in slots}))
    return f"{plural(min(len(slots), max(left, 1)), 'worker')} on {devices}"


def _open(
    source: str, overrides: list[str] | None, out: Path | None, cache: Path | None, new_data: bool
) -> OpenedSweep:
    opened = open_source(source, overrides=overrides, out=out, cache=cache)
    opened = with_prepared_data(opened, cache, new_data=new_data)
    require_samples(opened, cache)
    for line in unused_files(opened, cache):
        typer.echo(line, err=True)
    return opened


def _train(
    opened: OpenedSweep,
    work: Work,
    launch: Callable[..., RunSummary],
    where: str,
    cache: Path | None,
    console: Console,
) -> None:
    apart = read_pool(opened.plan, opened.sweep)
    print_lines(
        console,
        f"{opened.spec.sweep.name}: {plural(len(work.nodes), 'run')} left of {len(opened.plan.runs)}, {where}, "
        f"results in {opened.sweep.path}",
        *apart.notes(opened.shell_path),
        *(decoded_otherwise(opened.plan, apart, cache) if work.nodes else ()),
    )
    interrupt = Interrupt(console)
    with interrupt.handled(), Display(opened.plan, work, console) as display:
        hooks = RunHooks(display, interrupt.asked, interrupt.watch)
        ended = launch(opened.plan, opened.sweep, hooks=hooks, cache=cache)
    from lthsweep.reduce.merge import merge  # pandas and scipy: only after the training

    merge(opened.sweep, opened.plan)
    if not console.quiet:
        print_table(opened.sweep.path, console)
    damaged = damaged_records(opened, read_disk_status(opened.plan, opened.sweep))
    _report_end(opened, ended, damaged, console)
    set_aside = read_pool(opened.plan, opened.sweep).pool.notes(opened.shell_path)
    for line in set_aside:
        typer.echo(line, err=True)
    if ended.failed or damaged:
        if console.quiet:  # --quiet does not hide failures
            _report_end(opened, ended, damaged, Console(stderr=True, width=120))
        raise typer.Exit(EXIT_FAILED)
    if ended.stopped or set_aside:
        raise typer.Exit(EXIT_INCOMPLETE)


def _report_end(opened: OpenedSweep, ended: RunSummary, damaged: Sequence[str], console: Console) -> None:
    path = opened.shell_path
    others = f" and {len(ended.present)} by other coordinators" if ended.present else ""
    lines = [
        f"{plural(len(ended.finished), 'run')} finished in {duration(ended.seconds)}, "
        f"{ended.found_done} were done before{others}, {len(ended.failed)} failed, "
        f"{len(ended.blocked)} blocked by a failed run"
    ]
    if ended.skipped:
        skipped = plural(len(ended.skipped), "ticket")
        lines.append(f"{skipped} skipped: their dense run or an earlier level diverged")
    for key, cause in ended.failed.items():
        lines.append(f"  {key} {opened.plan[key].describe()}: {cause}")
        lines.append(f"    lthsweep logs {path} {key[:8]}")
    if ended.stopped:
        lines.append(f"stopped; `lthsweep run {path}` goes on")
    lines += damaged
    print_lines(console, *lines, f"table: {opened.sweep.table}   figures: lthsweep report {path}")
